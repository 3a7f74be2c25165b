package io.tandem.transfer;

import io.tandem.transfer.BlockTransport.SendListener;
import io.tandem.transfer.wire.BlockChunkEncoder;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import org.agrona.concurrent.ManyToOneConcurrentArrayQueue;

/** One transfer on the sending side. The queue takes blocks from any thread; all else belongs to the agent. */
final class SendLease {
    private static final int MAX_QUEUED_PIECES = 16_384;

    /** Of the wire's field, without its null value. */
    private static final long WAIT_MICROS_MAX = BlockChunkEncoder.waitedMicrosMaxValue();

    /**
     * A piece of a block to send; the buffer is a view of the block's memory, for the checksum. One that is offered has a number
     * in the pool and its sum instead.
     */
    record Block(int slot, MemorySegment memory, ByteBuffer view, long from, long end, int poolBlock, long sum) {
        static Block piece(int slot, MemorySegment memory, long from, long bytes) {
            return new Block(slot, memory, memory.asByteBuffer(), from, from + bytes, -1, 0);
        }

        static Block offered(int slot, int poolBlock, long bytes, long sum) {
            return new Block(slot, MemorySegment.NULL, ByteBuffer.allocate(0), 0, bytes, poolBlock, sum);
        }
    }

    final LeaseId id;
    final long senderId;
    final TransferEndpoint to;
    final int blocks;
    final long deadlineNanos;
    final SendListener listener;
    final ManyToOneConcurrentArrayQueue<Block> queue;

    /** The way on which blocks are offered; null by stream. */
    final PoolExports.Link link;

    /** Set once the receiver was told that no more comes: how it ends when the receiver says that it reads no more. */
    TransferFailure ending;

    long endingSinceNanos;
    BlockSender.Peer peer;
    boolean opened;
    /** Set by any thread; the agent ends the lease in its next turn. */
    volatile boolean aborting;

    Block current;
    long sentOfCurrent;
    int blocksSent;
    long bytesSent;
    long firstByteNanos;
    /** Since when there is nothing to send; 0 while there is, and before the first byte. */
    long starvedSinceNanos;

    long waitedNanos;
    /** Of these, what the receiver does not know yet. */
    long untoldWaitNanos;

    long disconnectedSinceNanos;
    long allSentNanos;

    SendLease(
            LeaseId id,
            long senderId,
            TransferEndpoint to,
            int blocks,
            int piecesABlock,
            long deadlineNanos,
            SendListener listener,
            PoolExports.Link link) {
        this.link = link;
        this.id = id;
        this.senderId = senderId;
        this.to = to;
        this.blocks = blocks;
        this.deadlineNanos = deadlineNanos;
        this.listener = listener;
        queue = new ManyToOneConcurrentArrayQueue<>(Math.clamp((long) blocks * piecesABlock, 2, MAX_QUEUED_PIECES));
    }

    /** Nothing to send is here now. */
    void starves(long nowNanos) {
        if (starvedSinceNanos == 0 && firstByteNanos != 0 && blocksSent < blocks) {
            starvedSinceNanos = nowNanos;
        }
    }

    /** Something is. */
    void goesOn(long nowNanos) {
        if (starvedSinceNanos != 0) {
            waitedNanos += nowNanos - starvedSinceNanos;
            untoldWaitNanos += nowNanos - starvedSinceNanos;
            starvedSinceNanos = 0;
        }
    }

    /** What is to be told with the next chunk. */
    long untoldWaitMicros() {
        return Math.min(untoldWaitNanos / 1_000, WAIT_MICROS_MAX);
    }

    TransferStats stats(long nowNanos, int checksumFailures) {
        return new TransferStats(
                blocksSent,
                bytesSent,
                firstByteNanos == 0 ? 0 : nowNanos - firstByteNanos,
                waitedNanos,
                checksumFailures,
                link == null ? 0 : blocksSent);
    }
}
