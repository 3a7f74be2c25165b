package io.tandem.request;

import io.tandem.RouteDecision;

/** What one attempt of a request saw, beside what was predicted of it. Plain state, time as an argument. */
final class AttemptTimes {
    /** Fewer gaps say more of chance than of the worker. */
    private static final int GAPS_LEAST = 8;

    private final long decidedNanos;
    private long firstNanos;
    private long lastNanos;
    private int gaps;
    private boolean first = true;
    private boolean moved;

    AttemptTimes(long decidedNanos) {
        this.decidedNanos = decidedNanos;
    }

    /** A token of it came; answers whether it was the first. */
    boolean token(long nowNanos) {
        if (first) {
            first = false;
            firstNanos = nowNanos;
            lastNanos = nowNanos;
            return true;
        }
        if (!moved) {
            gaps++;
            lastNanos = nowNanos;
        }
        return false;
    }

    /** It goes on where nothing was predicted of it. */
    void moved() {
        moved = true;
    }

    RouteDecision.Observed observed() {
        return new RouteDecision.Observed(
                first ? 0 : Math.max(1, firstNanos - decidedNanos),
                gaps < GAPS_LEAST ? 0 : (double) (lastNanos - firstNanos) / gaps);
    }
}
