package io.tandem.worker;

import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;

/** One piece of work on one worker. Owned by the worker's actor, but for the final fields, which the engine's thread reads. */
public final class Work {
    static final TransferStats NOTHING_MOVED = new TransferStats(0, 0, 0, 0);

    final long key;
    final RequestTarget target;
    final WorkerMessage.Kind kind;
    final boolean wantsLogprobs;
    final long sinceNanos;
    final long deadlineNanos;

    /** When its owner was asked to move it. */
    long moveAskedNanos;

    /** Set when the work is to end; it does once no transfer touches its blocks. */
    boolean cancelled;

    /** The engine knows the sequence no more. */
    boolean ended;

    /** A transfer reads or writes the sequence's blocks. */
    boolean transferring;

    /** Index of the last token told, plus one; written by the engine's thread after the telling. */
    volatile int publishedTokens;

    LeaseId lease;

    /** Of the move that takes the sequence elsewhere; the engine's thread reads it. */
    volatile LeaseId moveLease;

    /** Copies under way from windows to the sequence's blocks. */
    int copying;

    /** Where blocks that come on {@link #lease} land. */
    Landing landing;

    /** For what a moving sequence has not computed yet. */
    LeaseId tailLease;

    Landing tailLanding;

    /** Leases whose end the transport has not told. */
    int openLeases;

    /** Why the first of them ended badly. */
    TransferFailure failure;

    // Decode side.
    boolean arrived;
    TransferStats stats = NOTHING_MOVED;
    int[] nextTokens;
    boolean adopted;
    RequestMessage.OfRequest reservation;

    // Prefill side.
    boolean prefilled;
    boolean acknowledged;
    int wholeBlocks;
    int[] blockIds = {};
    /** Blocks that are whole once {@link #passUnderWay} is over. */
    int blocksUnderWay;

    long passUnderWay;
    TransferEndpoint pushTo;
    int cachedBlocks;
    int totalBlocks;
    OutgoingLease out;

    /** No transfer and no copy touches the sequence's blocks. */
    boolean isIdle() {
        return !transferring && copying == 0 && (out == null || out.isIdle());
    }

    /** Gives back what its blocks arrived in, once it is idle. */
    void giveBackWindows() {
        if (landing != null) {
            landing.giveBack();
        }
        if (tailLanding != null) {
            tailLanding.giveBack();
        }
    }

    Work(
            long key,
            RequestTarget target,
            WorkerMessage.Kind kind,
            boolean wantsLogprobs,
            long sinceNanos,
            long deadlineNanos) {
        this.key = key;
        this.target = target;
        this.kind = kind;
        this.wantsLogprobs = wantsLogprobs;
        this.sinceNanos = sinceNanos;
        this.deadlineNanos = deadlineNanos;
    }

    public long key() {
        return key;
    }

    /** Whether a transfer touches the work's blocks now. */
    public boolean moving() {
        boolean receives = kind == WorkerMessage.Kind.RESERVE || kind == WorkerMessage.Kind.MIGRATE;
        return transferring && (receives || out != null && out.hasBegun());
    }
}
