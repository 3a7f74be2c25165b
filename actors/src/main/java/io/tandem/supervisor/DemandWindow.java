package io.tandem.supervisor;

import java.util.Collection;
import java.util.List;

/**
 * The requests of one node that arrived and ended lately, with weights that halve every half-life. It lives where requests
 * arrive and travels in {@link DemandReport}s, so that a supervisor which starts anew knows the demand with the first reports.
 * Time comes as an argument. Not thread-safe.
 */
public final class DemandWindow {
    private final double halfLifeNanos;
    private final LengthHistogram uncached = new LengthHistogram();
    private final LengthHistogram outputs = new LengthHistogram();
    private double arrivals;
    private double contextSum;
    private long firstNanos;
    private long updatedNanos;
    private boolean started;

    public DemandWindow(long halfLifeNanos) {
        if (halfLifeNanos < 1) {
            throw new IllegalArgumentException("the half-life must be above 0, not " + halfLifeNanos + " ns");
        }
        this.halfLifeNanos = (double) halfLifeNanos;
    }

    /**
     * A request arrives.
     *
     * @param uncachedTokens of its prompt that are to be computed, as predicted where it is routed
     */
    public void arrived(int uncachedTokens, long nowNanos) {
        forget(nowNanos);
        arrivals++;
        uncached.add(uncachedTokens, 1);
    }

    /** A request has all its output. */
    public void finished(int promptTokens, int outputTokens, long nowNanos) {
        forget(nowNanos);
        outputs.add(outputTokens, 1);
        contextSum += outputTokens * (promptTokens + outputTokens / 2.0);
    }

    private void forget(long nowNanos) {
        if (!started) {
            started = true;
            firstNanos = nowNanos;
            updatedNanos = nowNanos;
        }
        double age = (double) Math.max(0, nowNanos - updatedNanos);
        updatedNanos = Math.max(updatedNanos, nowNanos);
        if (age > 0) {
            double factor = Math.exp(-age * Math.log(2) / halfLifeNanos);
            arrivals *= factor;
            contextSum *= factor;
            uncached.scale(factor);
            outputs.scale(factor);
        }
    }

    /** What was seen, in the form that travels. */
    public DemandReport report(String node, long nowNanos) {
        forget(nowNanos);
        double seen = Math.max(1e9, (double) (nowNanos - firstNanos));
        // Seconds that the decayed count stands for: all of them at first, halfLife / ln 2 in the long run.
        double seconds = halfLifeNanos / Math.log(2) * (1 - Math.exp(-seen * Math.log(2) / halfLifeNanos)) / 1e9;
        return new DemandReport(
                node, (float) (arrivals / seconds), uncached.toArray(), outputs.toArray(), (float) contextSum);
    }

    /** The demand of one window alone. */
    public Demand demand(long nowNanos) {
        return sum(List.of(report("", nowNanos)));
    }

    /** The demand of all nodes together. */
    public static Demand sum(Collection<DemandReport> reports) {
        double requests = 0;
        double context = 0;
        LengthHistogram uncached = new LengthHistogram();
        LengthHistogram outputs = new LengthHistogram();
        for (DemandReport r : reports) {
            requests += r.requestsPerSecond();
            context += r.contextSum();
            uncached.addAll(LengthHistogram.of(r.uncached()));
            outputs.addAll(LengthHistogram.of(r.outputs()));
        }
        double outputTokens = outputs.totalTokens();
        return new Demand(requests, uncached, outputs, outputTokens <= 0 ? 0 : context / outputTokens);
    }
}
