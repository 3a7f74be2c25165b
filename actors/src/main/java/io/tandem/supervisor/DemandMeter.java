package io.tandem.supervisor;

/** The {@link DemandWindow} of a node, fed by any thread. Prompts count without what lately was found in caches. */
public final class DemandMeter {
    /** Weight of one prompt in the running share of cached tokens. */
    private static final double NEWEST = 0.05;

    private final DemandWindow window;
    private double cachedShare;

    public DemandMeter(long halfLifeNanos) {
        window = new DemandWindow(halfLifeNanos);
    }

    /** A request is let in. Refused ones are no demand: when a kind of worker limits, what it serves strains it, and that shows. */
    public synchronized void arrived(int promptTokens, long nowNanos) {
        window.arrived((int) Math.round(promptTokens * (1 - cachedShare)), nowNanos);
    }

    /** A request is over; one without output says nothing. */
    public synchronized void finished(int promptTokens, int cachedTokens, int outputTokens, long nowNanos) {
        if (outputTokens <= 0) {
            return;
        }
        if (promptTokens > 0) {
            cachedShare += NEWEST * (Math.min(1.0, cachedTokens / (double) promptTokens) - cachedShare);
        }
        window.finished(promptTokens, outputTokens, nowNanos);
    }

    public synchronized DemandReport report(String node, long nowNanos) {
        return window.report(node, nowNanos);
    }
}
