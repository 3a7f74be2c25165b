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
 * @param door of each API node
 * @param indexBlocks that an API node's index knows at most
 * @param keptEventWords of block events that a worker can send again
 * @param supervised whether a supervisor changes roles
 * @param lifelineMicros until the death of a process is seen by its closed connections, at most; 0 = it is not
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
        Door door,
        int indexBlocks,
        int keptEventWords,
        boolean supervised,
        int lifelineMicros,
        List<Fault> faults) {

    /**
     * How requests come in.
     *
     * @param enabled off = all go to their GPUs at once
     * @param queue requests that wait, at most
     * @param cold requests for each worker while its speed is not known
     * @param ttftMillis target of the tight class
     * @param itlMicros target of the tight class
     * @param serveWhenIdle see reference.conf
     */
    record Door(boolean enabled, int queue, int cold, int ttftMillis, int itlMicros, boolean serveWhenIdle) {
        private static Door draw(SplittableRandom random) {
            return new Door(
                    random.nextInt(8) > 0,
                    random.nextInt(3) == 0 ? random.nextInt(1, 6) : 64,
                    random.nextInt(1, 12),
                    random.nextInt(3) == 0 ? random.nextInt(20, 300) : 60_000,
                    random.nextInt(4) == 0 ? random.nextInt(3_000, 8_000) : 1_000_000,
                    random.nextBoolean());
        }
    }

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
        DRAIN,
        /** A process is called dead that lives. */
        FALSE_ALARM
    }

    /**
     * One fault.
     *
     * @param victim index of a node, taken modulo the nodes it can strike; of those that send work away, an odd one is the busiest
     * @param forMillis how long; a killed node starts again after that
     * @param amount kind-specific: milliseconds of a clock step, role, number of nodes split off
     */
    record Fault(Kind kind, int atMillis, int victim, int forMillis, int amount) {}

    /** Blocks of an index that never has to give one up. */
    static final int ROOM_FOR_ALL = 1 << 14;

    private static final List<Kind> KINDS = List.copyOf(EnumSet.complementOf(EnumSet.of(Kind.FALSE_ALARM)));

    /** Draws everything from the seed. */
    static FaultPlan of(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        SplittableRandom lifelines = new SplittableRandom(~seed);
        int workers = random.nextInt(2, 6);
        int loadMillis = random.nextBoolean() ? random.nextInt(2_000, 10_000) : random.nextInt(400, 2_000);
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
                Door.draw(random),
                random.nextInt(5) == 0 ? random.nextInt(1, 200) : ROOM_FOR_ALL,
                random.nextInt(3) == 0 ? random.nextInt(200) : 4_096,
                random.nextInt(2) == 0,
                lifelines.nextInt(4) == 0 ? 0 : lifelines.nextInt(100, 100_000),
                faults(random, lifelines, loadMillis));
    }

    private static List<Fault> faults(SplittableRandom random, SplittableRandom lifelines, int loadMillis) {
        List<Fault> faults = new ArrayList<>();
        for (int i = random.nextInt(6); i > 0; i--) {
            faults.add(fault(KINDS.get(random.nextInt(KINDS.size())), random, loadMillis + 2_000));
        }
        for (int i = random.nextInt(2) * random.nextInt(6); i > 0; i--) {
            faults.add(fault(random.nextBoolean() ? Kind.DRAIN : Kind.CHANGE_ROLE, random, loadMillis));
        }
        for (int i = lifelines.nextInt(2) * lifelines.nextInt(4); i > 0; i--) {
            faults.add(fault(Kind.FALSE_ALARM, lifelines, loadMillis));
        }
        return faults;
    }

    private static Fault fault(Kind kind, SplittableRandom random, int untilMillis) {
        return new Fault(
                kind,
                random.nextInt(100, untilMillis),
                random.nextInt(1 << 20),
                random.nextInt(4) == 0 ? random.nextInt(8_000, 20_000) : random.nextInt(20, 8_000),
                random.nextInt(-1_000_000, 1_000_000));
    }
}
