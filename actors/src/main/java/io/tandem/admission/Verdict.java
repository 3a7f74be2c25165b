package io.tandem.admission;

/** What becomes of a request; each gets exactly one verdict, unless it is cancelled first. */
public sealed interface Verdict {

    Applicant applicant();

    /** Send it to the GPUs now. */
    record Dispatch(Applicant applicant, Forecast forecast, long queuedNanos) implements Verdict {}

    /**
     * Refuse it.
     *
     * @param forecast what was predicted without the queue here
     * @param predictedTtftNanos from acceptance, the queue included
     * @param retryAfterNanos when the same request would have met its class's targets
     */
    record Reject(
            Applicant applicant,
            Cause cause,
            Forecast forecast,
            double predictedTtftNanos,
            long retryAfterNanos,
            long queuedNanos)
            implements Verdict {}

    /** Its own time limit passed while it waited. */
    record Expire(Applicant applicant, long queuedNanos) implements Verdict {}

    /** Why a request is refused. */
    enum Cause {
        /** The first token would be late. */
        TTFT,
        /** Tokens would come too slowly. */
        ITL,
        /** It is among the largest while there is no room for all. */
        SIZE,
        /** Too many wait. */
        FULL,
        /** A dearer class took its place in a full queue. */
        DISPLACED
    }
}
