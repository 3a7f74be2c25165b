package io.tandem.simulation;

import java.util.SplittableRandom;

/**
 * The cache-aware rule of SGLang's router (SMG), with its default thresholds: the shortest queue while loads are far apart, else
 * the worker with the longest match if it covers enough of the prompt, else the shortest queue. It is given the true matches,
 * where the original keeps an approximate tree of its own. Decode workers: the shortest queue.
 */
public final class CacheAwarePlacement implements Placement {
    private static final int ABSOLUTE = 64;
    private static final double RELATIVE = 1.5;
    private static final double MATCHED_SHARE = 0.3;

    private final Layout layout;
    private final int blockTokens;
    private final SplittableRandom random;
    private final InFlight inFlight;

    public CacheAwarePlacement(Scenario s) {
        layout = s.layout();
        blockTokens = s.cluster().blockTokens();
        random = new SplittableRandom(s.seed());
        inFlight = new InFlight(layout);
    }

    @Override
    public Plan place(Arrival arrival) {
        int worker = inFlight.add(choose(arrival));
        return layout.split() ? new Plan(worker, Plan.LATER) : Plan.whole(worker);
    }

    private int choose(Arrival arrival) {
        int end = layout.prefillEnd();
        int least = inFlight.fewest(0, end, random);
        int most = least;
        int match = 0;
        for (int w = 0; w < end; w++) {
            most = inFlight.on(w) > inFlight.on(most) ? w : most;
            match = arrival.depths()[w] > arrival.depths()[match] ? w : match;
        }
        int high = inFlight.on(most);
        int low = inFlight.on(least);
        boolean imbalanced = high - low > ABSOLUTE && high > RELATIVE * low;
        double share = (double) arrival.depths()[match] * blockTokens / arrival.inputTokens();
        return !imbalanced && share > MATCHED_SHARE ? match : least;
    }

    @Override
    public int decodeWorker(Arrival arrival) {
        return inFlight.add(inFlight.fewest(layout.prefillEnd(), layout.workers(), random));
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
