package io.tandem.routing;

/**
 * By how much the decodes of a worker have more context than they were booked with: what is expected of an output comes from those that
 * ended, and when outputs become longer, or the first ones of all are under way, the short ones end first. A moving mean that forgets
 * within seconds; it never says less, since those that have just begun will grow. Not thread-safe.
 */
final class ContextDrift {
    private static final double MEMORY_NANOS = 4e9;

    private double ratio = 1;

    /**
     * Decodes were met under way.
     *
     * @param meanTokens their context
     * @param bookedTokens what was expected of them, above 0
     * @param elapsedNanos since they were met before
     */
    void met(double meanTokens, double bookedTokens, double elapsedNanos) {
        ratio += (1 - Math.exp(-Math.max(0, elapsedNanos) / MEMORY_NANOS)) * (meanTokens / bookedTokens - ratio);
    }

    /** At least 1. */
    double factor() {
        return Math.max(1, ratio);
    }
}
