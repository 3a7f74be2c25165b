package io.tandem.simulation;

import java.util.SplittableRandom;

/**
 * The default profile of llm-d (August 2026): workers that hold at least 80 % of the prompt are preferred unless their backlog
 * would delay the first token by more than 18 s against the best other one; among what is left, the fewest uncached tokens in
 * flight. Decode workers: the fewest requests. The peak prefill throughput it wants calibrated is taken from the engine model.
 */
public final class LlmdPlacement implements Placement {
    private static final double STICKY_SHARE = 0.8;
    private static final double TTFT_PENALTY_NANOS_MAX = 18e9;

    private final Layout layout;
    private final int blockTokens;
    private final double tokenNanos;
    private final SplittableRandom random;
    private final InFlight inFlight;
    private final long[] uncachedTokens;
    private final int[] booked;

    public LlmdPlacement(Scenario s) {
        layout = s.layout();
        blockTokens = s.cluster().blockTokens();
        int full = s.cluster().maxBatchTokens();
        tokenNanos = new EngineProfile(s).prefillNanos(full) / full;
        random = new SplittableRandom(s.seed());
        inFlight = new InFlight(layout);
        uncachedTokens = new long[layout.workers()];
        booked = new int[s.trace().size()];
    }

    @Override
    public Plan place(Arrival arrival) {
        int sticky = lightest(arrival, true);
        int other = lightest(arrival, false);
        int worker = sticky < 0 ? other : sticky;
        if (sticky >= 0 && other >= 0) {
            double penalty = (uncachedTokens[sticky] - uncachedTokens[other]) * tokenNanos;
            worker = penalty > TTFT_PENALTY_NANOS_MAX ? other : sticky;
        }
        int uncached = Math.max(0, arrival.inputTokens() - arrival.depths()[worker] * blockTokens);
        uncachedTokens[worker] += uncached;
        booked[arrival.request()] = uncached;
        inFlight.add(worker);
        return layout.split() ? new Plan(worker, Plan.LATER) : Plan.whole(worker);
    }

    /** The fewest uncached tokens in flight among those that hold enough of the prompt, or among the others; -1 = none. */
    private int lightest(Arrival arrival, boolean holders) {
        int best = -1;
        int ties = 1;
        for (int w = 0; w < layout.prefillEnd(); w++) {
            boolean holds = (double) arrival.depths()[w] * blockTokens >= STICKY_SHARE * arrival.inputTokens();
            if (holds != holders) {
                continue;
            }
            if (best < 0 || uncachedTokens[w] < uncachedTokens[best]) {
                best = w;
                ties = 1;
            } else if (uncachedTokens[w] == uncachedTokens[best] && random.nextInt(++ties) == 0) {
                best = w;
            }
        }
        return best;
    }

    @Override
    public int decodeWorker(Arrival arrival) {
        return inFlight.add(inFlight.fewest(layout.prefillEnd(), layout.workers(), random));
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        uncachedTokens[worker] -= booked[request];
        inFlight.prefillEnded(worker);
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        inFlight.finished(worker);
    }
}
