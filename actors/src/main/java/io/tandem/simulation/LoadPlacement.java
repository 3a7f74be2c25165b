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
    private final int[] inFlight;

    public LoadPlacement(Layout layout, Rule rule, long seed) {
        this.layout = layout;
        this.rule = rule;
        random = new SplittableRandom(seed);
        inFlight = new int[layout.workers()];
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
        int worker = switch (rule) {
            case RANDOM -> random.nextInt(from, to);
            case LEAST_LOADED -> leastLoaded(from, to);
            case POWER_OF_TWO -> ofTwo(from, to);
        };
        inFlight[worker]++;
        return worker;
    }

    private int leastLoaded(int from, int to) {
        int best = from;
        int ties = 1;
        for (int w = from + 1; w < to; w++) {
            if (inFlight[w] < inFlight[best]) {
                best = w;
                ties = 1;
            } else if (inFlight[w] == inFlight[best] && random.nextInt(++ties) == 0) {
                best = w;
            }
        }
        return best;
    }

    private int ofTwo(int from, int to) {
        int first = random.nextInt(from, to);
        if (to - from == 1) {
            return first;
        }
        int second = random.nextInt(from, to - 1);
        second += second >= first ? 1 : 0;
        return inFlight[second] < inFlight[first] ? second : first;
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        if (layout.split()) {
            inFlight[worker]--;
        }
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        if (!layout.split() || worker >= layout.prefillWorkers()) {
            inFlight[worker]--;
        }
    }
}
