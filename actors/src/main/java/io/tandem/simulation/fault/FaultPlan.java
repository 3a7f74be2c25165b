package io.tandem.simulation.fault;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.SplittableRandom;

/**
 * What one seed stands for: the size of the cluster, its load, how its network misbehaves, and which faults strike when.
 * Times in milliseconds of virtual time.
 *
 * @param workers at start prefill first, then decode and mixed
 * @param kvBlocks of each worker
 * @param requests in all
 * @param loadMillis within which they arrive
 * @param latencyMicros of a control message, at most
 * @param lossPerMillion control messages lost besides those lost to faults
 * @param doublePerMillion control messages that come twice
 * @param ordered whether messages between two nodes keep their order
 * @param cutLossPercent of the messages sent into a partition, those that are lost; the others come late
 * @param kvFaultPerMillion transfer messages dropped, damaged or doubled
 */
record FaultPlan(
        long seed,
        int apis,
        int workers,
        int prefills,
        int blockTokens,
        int kvBlocks,
        int maxSequences,
        boolean prefixCache,
        boolean byCost,
        int splitFromTokens,
        int requests,
        int loadMillis,
        int latencyMicros,
        int lossPerMillion,
        int doublePerMillion,
        boolean ordered,
        int cutLossPercent,
        int kvFaultPerMillion,
        int detectMillis,
        int downMillis,
        List<Fault> faults) {

    /** What strikes. */
    enum Kind {
        KILL_WORKER,
        KILL_API,
        HANG,
        PARTITION,
        CUT_TRANSFERS,
        STEP_CLOCK,
        FAIL_STEPS,
        CHANGE_ROLE,
        DRAIN
    }

    /**
     * One fault.
     *
     * @param victim index of a node, taken modulo the nodes it can strike
     * @param forMillis how long; a killed node starts again after that
     * @param amount kind-specific: milliseconds of a clock step, role, number of nodes split off
     */
    record Fault(Kind kind, int atMillis, int victim, int forMillis, int amount) {}

    private static final List<Kind> KINDS = List.copyOf(EnumSet.allOf(Kind.class));

    /** Draws everything from the seed. */
    static FaultPlan of(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        int workers = random.nextInt(2, 6);
        int loadMillis = random.nextInt(2_000, 10_000);
        boolean wild = random.nextInt(4) == 0;
        int detect = random.nextInt(1_000, 3_500);
        int blockTokens = 1 << random.nextInt(2, 5);
        int kvTokens = random.nextInt(320, 1_600);
        return new FaultPlan(
                seed,
                random.nextInt(1, 3),
                workers,
                random.nextInt(0, workers),
                blockTokens,
                kvTokens / blockTokens,
                random.nextInt(2, 12),
                random.nextInt(5) > 0,
                random.nextInt(3) > 0,
                random.nextInt(1, 40),
                random.nextInt(8, 48),
                loadMillis,
                random.nextInt(50, 3_000),
                wild ? random.nextInt(20_000) : 0,
                wild ? random.nextInt(20_000) : 0,
                !wild || random.nextBoolean(),
                random.nextInt(3) * 50,
                random.nextInt(3) == 0 ? random.nextInt(20_000) : 0,
                detect,
                detect + random.nextInt(2_000, 5_000),
                faults(random, loadMillis));
    }

    private static List<Fault> faults(SplittableRandom random, int loadMillis) {
        List<Fault> faults = new ArrayList<>();
        for (int i = random.nextInt(6); i > 0; i--) {
            Kind kind = KINDS.get(random.nextInt(KINDS.size()));
            faults.add(new Fault(
                    kind,
                    random.nextInt(100, loadMillis + 2_000),
                    random.nextInt(1 << 20),
                    random.nextInt(4) == 0 ? random.nextInt(8_000, 20_000) : random.nextInt(20, 8_000),
                    random.nextInt(-1_000_000, 1_000_000)));
        }
        return faults;
    }
}
