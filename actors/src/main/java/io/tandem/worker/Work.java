package io.tandem.worker;

import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;

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

    /** Copies under way between the sequence's blocks and their windows. */
    int copying;

    /** By slot of the lease, where the blocks travel through windows; null = none there now. */
    MemorySegment[] windows = {};

    /** Pieces of windows that are filled and not yet with the transport. */
    final ArrayDeque<FilledPiece> filled = new ArrayDeque<>();

    /** Layers from a group on, or all of them. */
    record FilledPiece(int slot, long offset, long bytes) {}

    /** Where blocks that come through windows, or from device to device, land. */
    Landing landing;

    /** The blocks go from device to device. */
    boolean direct;

    /** Summed up and not yet with the transport. */
    final ArrayDeque<SummedBlock> summed = new ArrayDeque<>();

    /** A block that can be offered. */
    record SummedBlock(int slot, int block, long sum) {}

    /** For what a moving sequence has not computed yet. */
    LeaseId tailLease;

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
    /** Leading blocks that are with the transport, or with the copier when they travel through windows. */
    int sentBlocks;

    /** No transfer and no copy touches the sequence's blocks. */
    boolean isIdle() {
        return !transferring && copying == 0;
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
        return transferring && (receives || sentBlocks > cachedBlocks);
    }
}
