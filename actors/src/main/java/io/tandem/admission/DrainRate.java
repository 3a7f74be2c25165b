package io.tandem.admission;

/**
 * How fast what waits here gets away: GPU time of dispatched prompts over time, measured while something waits. It falls when
 * decodes slow the prompts down or when other nodes send to the same GPUs, so it holds this node's share of them as well.
 */
final class DrainRate {
    private static final double HALF_LIFE_NANOS = 10e9;
    private static final double PRIOR_NANOS = 1e9;
    private static final double LEAST = 0.02;

    private double workNanos;
    private double waitingNanos;
    private long seenNanos;
    private boolean waiting;

    /** Time goes on; {@code waitingNow} holds from now. */
    void advance(long nowNanos, boolean waitingNow) {
        if (waiting && nowNanos > seenNanos) {
            double elapsed = nowNanos - seenNanos;
            double kept = Math.pow(0.5, elapsed / HALF_LIFE_NANOS);
            workNanos *= kept;
            waitingNanos = waitingNanos * kept + elapsed;
        }
        seenNanos = nowNanos;
        waiting = waitingNow;
    }

    /** A prompt of that much GPU time left; it counts when something waited before it. */
    void dispatched(double nanos) {
        if (waiting) {
            workNanos += nanos;
        }
    }

    /** GPU nanoseconds a nanosecond; until measured, that of idle workers. */
    double of(int workers) {
        double rate = (workNanos + PRIOR_NANOS * workers) / (waitingNanos + PRIOR_NANOS);
        return Math.clamp(rate, LEAST * workers, workers);
    }
}
