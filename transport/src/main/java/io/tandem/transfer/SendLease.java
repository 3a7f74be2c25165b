package io.tandem.transfer;

import io.tandem.transfer.BlockTransport.SendListener;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import org.agrona.concurrent.ManyToOneConcurrentArrayQueue;

/** One transfer on the sending side. The queue takes blocks from any thread; all else belongs to the agent. */
final class SendLease {
    private static final int MAX_QUEUED_BLOCKS = 1024;

    /** A block to send; the buffer is a view of the memory, for the checksum. */
    record Block(int slot, MemorySegment memory, ByteBuffer view) {}

    final LeaseId id;
    final long senderId;
    final TransferEndpoint to;
    final int blocks;
    final long deadlineNanos;
    final SendListener listener;
    final ManyToOneConcurrentArrayQueue<Block> queue;

    BlockSender.Peer peer;
    boolean opened;
    /** Set by any thread; the agent ends the lease in its next turn. */
    volatile boolean aborting;

    Block current;
    long sentOfCurrent;
    int blocksSent;
    long bytesSent;
    long firstByteNanos;
    long disconnectedSinceNanos;
    long allSentNanos;

    SendLease(LeaseId id, long senderId, TransferEndpoint to, int blocks, long deadlineNanos, SendListener listener) {
        this.id = id;
        this.senderId = senderId;
        this.to = to;
        this.blocks = blocks;
        this.deadlineNanos = deadlineNanos;
        this.listener = listener;
        queue = new ManyToOneConcurrentArrayQueue<>(Math.max(2, Math.min(blocks, MAX_QUEUED_BLOCKS)));
    }

    TransferStats stats(long nowNanos, int checksumFailures) {
        return new TransferStats(
                blocksSent, bytesSent, firstByteNanos == 0 ? 0 : nowNanos - firstByteNanos, checksumFailures);
    }
}
