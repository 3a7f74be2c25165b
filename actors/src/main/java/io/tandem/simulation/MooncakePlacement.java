package io.tandem.simulation;

/**
 * Mooncake's conductor (Qin et al., FAST 2025, algorithm 1): the prefill worker with the least predicted TTFT, the least loaded
 * decode worker, and rejection at arrival when either predicted time is beyond its target. Without the copying of hot prefixes
 * between workers.
 */
public final class MooncakePlacement implements Placement {
    private final Layout layout;
    private final int blockTokens;
    private final Slo slo;
    private final EngineProfile profile;
    private final long[] freeAtNanos;
    private final int[] decodes;
    private final long[] contextTokens;
    private final int[] inputTokens;

    public MooncakePlacement(Scenario s) {
        layout = s.layout();
        blockTokens = s.cluster().blockTokens();
        slo = s.slo();
        profile = new EngineProfile(s);
        freeAtNanos = new long[layout.workers()];
        decodes = new int[layout.workers()];
        contextTokens = new long[layout.workers()];
        inputTokens = s.trace().inputTokens();
    }

    @Override
    public Plan place(Arrival arrival) {
        int prefill = 0;
        double leastEnd = Double.MAX_VALUE;
        for (int w = 0; w < layout.prefillEnd(); w++) {
            int uncached = Math.max(1, arrival.inputTokens() - arrival.depths()[w] * blockTokens);
            double end = Math.max(freeAtNanos[w], arrival.nowNanos()) + profile.prefillNanos(uncached);
            if (end < leastEnd) {
                leastEnd = end;
                prefill = w;
            }
        }
        int decode = layout.prefillEnd();
        for (int w = decode + 1; w < layout.workers(); w++) {
            decode = contextTokens[w] < contextTokens[decode] ? w : decode;
        }
        double itl = profile.stepNanos(decodes[decode] + 1, contextTokens[decode] + arrival.inputTokens());
        if (leastEnd - arrival.nowNanos() + itl > slo.ttftNanos() || itl > slo.itlNanos()) {
            return Plan.REJECTED;
        }
        freeAtNanos[prefill] = (long) leastEnd;
        decodes[decode]++;
        contextTokens[decode] += arrival.inputTokens();
        return new Plan(prefill, decode);
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        if (worker >= layout.prefillEnd()) {
            decodes[worker]--;
            contextTokens[worker] -= inputTokens[request];
        }
    }
}
