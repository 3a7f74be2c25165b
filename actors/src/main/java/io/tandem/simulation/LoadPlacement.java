package io.tandem.simulation;

import java.util.SplittableRandom;

/** Baselines that know requests in flight only: random, the least loaded, the less loaded of two. */
public final class LoadPlacement implements Placement {
    /** The rule. */
    public enum Rule {
        /** Uniform. */
        RANDOM,
        /** Fewest requests in flight; ties drawn. */
        LEAST_LOADED,
        /** Two drawn, the one with fewer in flight. */
        POWER_OF_TWO
    }

    private final Layout layout;
    private final Rule rule;
    private final SplittableRandom random;
    private final InFlight inFlight;

    public LoadPlacement(Layout layout, Rule rule, long seed) {
        this.layout = layout;
        this.rule = rule;
        random = new SplittableRandom(seed);
        inFlight = new InFlight(layout);
    }

    @Override
    public Plan place(Arrival arrival) {
        int worker = choose(0, layout.prefillEnd());
        return layout.split() ? new Plan(worker, Plan.LATER) : Plan.whole(worker);
    }

    @Override
    public int decodeWorker(Arrival arrival) {
        return choose(layout.prefillEnd(), layout.workers());
    }

    private int choose(int from, int to) {
        return inFlight.add(
                switch (rule) {
                    case RANDOM -> random.nextInt(from, to);
                    case LEAST_LOADED -> inFlight.fewest(from, to, random);
                    case POWER_OF_TWO -> ofTwo(from, to);
                });
    }

    private int ofTwo(int from, int to) {
        int first = random.nextInt(from, to);
        if (to - from == 1) {
            return first;
        }
        int second = random.nextInt(from, to - 1);
        second += second >= first ? 1 : 0;
        return inFlight.on(second) < inFlight.on(first) ? second : first;
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        inFlight.prefillEnded(worker);
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        inFlight.finished(worker);
    }
}
