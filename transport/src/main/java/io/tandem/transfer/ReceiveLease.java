package io.tandem.transfer;

import io.tandem.transfer.BlockTransport.ReceiveListener;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/** One transfer on the receiving side. */
final class ReceiveLease {
    final LeaseId id;
    final MemorySegment[] slots;
    final int least;
    final ByteBuffer[] views;
    final long[] received;
    final long deadlineNanos;
    final ReceiveListener listener;

    /** Set by any thread; the agent ends the lease in its next scan. */
    volatile boolean aborting;

    BlockReceiver.Peer peer;
    long senderId;
    /** Blocks that the sender said it has. */
    int expected;

    int blocksDone;
    long bytesDone;
    int checksumFailures;
    long firstByteNanos;

    ReceiveLease(LeaseId id, MemorySegment[] slots, int least, long deadlineNanos, ReceiveListener listener) {
        this.id = id;
        this.least = least;
        expected = slots.length;
        this.slots = slots.clone();
        this.deadlineNanos = deadlineNanos;
        this.listener = listener;
        received = new long[slots.length];
        views = new ByteBuffer[slots.length];
        for (int i = 0; i < slots.length; i++) {
            views[i] = slots[i].asByteBuffer();
        }
    }

    boolean complete() {
        return blocksDone == expected;
    }

    TransferStats stats(long nowNanos) {
        return new TransferStats(
                blocksDone, bytesDone, firstByteNanos == 0 ? 0 : nowNanos - firstByteNanos, checksumFailures);
    }
}
