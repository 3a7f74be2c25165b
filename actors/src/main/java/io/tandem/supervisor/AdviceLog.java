package io.tandem.supervisor;

import java.time.Duration;

/**
 * Which advice is worth a line in the log. Nobody acts on it there, so the policy comes to the same one every few rounds for as
 * long as the load lasts. Time as an argument. Not thread-safe.
 */
final class AdviceLog {
    /** The same advice is said again after this long. */
    static final Duration REPEAT = Duration.ofMinutes(5);

    private RebalancePolicy.Flip latest;
    private long saidNanos;

    /** Whether it differs from the latest one that was said, or that was said long ago; then it counts as said. */
    boolean isNew(RebalancePolicy.Flip flip, long nowNanos) {
        boolean isNew = !flip.equals(latest) || nowNanos - saidNanos >= REPEAT.toNanos();
        if (isNew) {
            latest = flip;
            saidNanos = nowNanos;
        }
        return isNew;
    }
}
