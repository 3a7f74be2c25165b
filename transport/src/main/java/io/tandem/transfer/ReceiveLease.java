package io.tandem.transfer;

import io.tandem.transfer.BlockTransport.ReceiveListener;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/** One transfer on the receiving side. */
final class ReceiveLease {
    final LeaseId id;
    final ReceiveTarget target;
    final int blocks;
    final int least;
    /** Bytes there are of each slot; of a block that is offered, more than none. */
    final long[] received;

    final long deadlineNanos;
    final ReceiveListener listener;

    /** Set by any thread; the agent ends the lease in its next scan. */
    volatile boolean aborting;

    BlockReceiver.Peer peer;
    long senderId;
    /** Blocks that the sender said it has. */
    int expected;

    /** Memory of each slot once the sender has opened by stream. */
    MemorySegment[] slots = {};

    ByteBuffer[] views = {};

    /** The pool that the blocks are fetched from; null by stream. */
    PoolImports.Link link;

    /** Fetches under way: nobody hears of the end before they are over. */
    int fetching;

    /** How it ends once they are. */
    TransferFailure ending;

    int blocksDone;

    /** Of those to be fetched. */
    int blocksOffered;

    long bytesDone;
    int checksumFailures;
    long firstByteNanos;

    /** When something arrived last. */
    private long latestNanos;

    private long waitedNanos;

    ReceiveLease(LeaseId id, ReceiveTarget target, int least, long deadlineNanos, ReceiveListener listener) {
        this.id = id;
        this.target = target;
        this.least = least;
        this.deadlineNanos = deadlineNanos;
        this.listener = listener;
        blocks = target.blocks();
        expected = blocks;
        received = new long[blocks];
    }

    /** Takes the target's memory; false when there is none now. */
    boolean takeMemory() {
        MemorySegment[] memory = target.memory();
        if (memory == null) {
            return false;
        }
        slots = memory.clone();
        views = new ByteBuffer[blocks];
        for (int i = 0; i < blocks; i++) {
            AgentTransport.requireBlock("slots[" + i + "]", slots[i]);
            views[i] = slots[i].asByteBuffer();
        }
        return true;
    }

    boolean complete() {
        return blocksDone == expected;
    }

    /**
     * Something arrives.
     *
     * @param senderWaitedNanos how long its sender had nothing to send before; while what it had sent was on its way still, that
     *     was no pause here
     */
    void arrives(long senderWaitedNanos, long nowNanos) {
        if (firstByteNanos == 0) {
            firstByteNanos = nowNanos;
        } else {
            waitedNanos += Math.clamp(nowNanos - latestNanos, 0, senderWaitedNanos);
        }
        latestNanos = nowNanos;
    }

    TransferStats stats(long nowNanos) {
        return new TransferStats(
                blocksDone,
                bytesDone,
                firstByteNanos == 0 ? 0 : nowNanos - firstByteNanos,
                waitedNanos,
                checksumFailures,
                link == null ? 0 : blocksDone);
    }
}
