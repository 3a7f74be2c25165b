package io.tandem.routing;

/** Share of a worker's time that its prompts took lately: a moving mean that forgets within seconds. Not thread-safe. */
public final class PromptShare {
    private static final double MEMORY_NANOS = 4e9;

    private double share;
    private long latestNanos;

    /**
     * A step ended now.
     *
     * @param promptNanos of it that went to prompts; below 0 counts as none
     */
    public void stepEnded(double promptNanos, long durationNanos, long nowNanos) {
        double elapsed = Math.max(1, Math.max(durationNanos, nowNanos - latestNanos));
        share += (1 - Math.exp(-elapsed / MEMORY_NANOS)) * (Math.max(0, promptNanos) / elapsed - share);
        latestNanos = nowNanos;
    }

    /** In [0, 1]; without a step since the latest one it fades. */
    public double share(long nowNanos) {
        return share * Math.exp(-Math.max(0, nowNanos - latestNanos) / MEMORY_NANOS);
    }

    /** The worker has another role: what came to it in the old one says nothing of what will. */
    public void roleChanged(long nowNanos) {
        share = 0;
        latestNanos = nowNanos;
    }

    /** Takes over what the worker itself has measured. */
    void adopt(double measured, long nowNanos) {
        share = measured;
        latestNanos = nowNanos;
    }
}
