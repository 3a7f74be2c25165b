package io.tandem.supervisor;

/** The {@link DemandWindow} of a node, fed by any thread. */
public final class DemandMeter {
    private final DemandWindow window;

    public DemandMeter(long halfLifeNanos) {
        window = new DemandWindow(halfLifeNanos);
    }

    /**
     * A request is let in. Refused ones are no demand: when a kind of worker limits, what it serves strains it, and that shows.
     *
     * @param uncachedTokens of its prompt that are to be computed
     */
    public synchronized void arrived(int uncachedTokens, long nowNanos) {
        window.arrived(uncachedTokens, nowNanos);
    }

    /** A request is over; one without output says nothing. */
    public synchronized void finished(int promptTokens, int outputTokens, long nowNanos) {
        if (outputTokens > 0) {
            window.finished(promptTokens, outputTokens, nowNanos);
        }
    }

    public synchronized DemandReport report(String node, long nowNanos) {
        return window.report(node, nowNanos);
    }
}
