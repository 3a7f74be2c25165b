package io.tandem.worker;

import io.tandem.request.RequestTarget;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import io.tandem.transfer.TransferStats;

/** One piece of work on one worker. Owned by the worker's actor, but for the final fields, which the engine's thread reads. */
public final class Work {
    static final TransferStats NOTHING_MOVED = new TransferStats(0, 0, 0, 0);

    final long key;
    final RequestTarget target;
    final WorkerMessage.Kind kind;
    final boolean wantsLogprobs;
    final long deadlineNanos;

    /** Set when the work is to end; it does once no transfer touches its blocks. */
    boolean cancelled;

    /** The engine knows the sequence no more. */
    boolean ended;

    /** A transfer reads or writes the sequence's blocks. */
    boolean transferring;

    LeaseId lease;

    // Decode side.
    boolean arrived;
    TransferStats stats = NOTHING_MOVED;
    int[] nextTokens;

    // Prefill side.
    boolean prefilled;
    boolean acknowledged;
    int wholeBlocks;
    int[] blockIds = {};
    TransferEndpoint pushTo;
    int cachedBlocks;
    int totalBlocks;
    int sentBlocks;

    Work(long key, RequestTarget target, WorkerMessage.Kind kind, boolean wantsLogprobs, long deadlineNanos) {
        this.key = key;
        this.target = target;
        this.kind = kind;
        this.wantsLogprobs = wantsLogprobs;
        this.deadlineNanos = deadlineNanos;
    }
}
