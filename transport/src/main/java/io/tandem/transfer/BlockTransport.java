package io.tandem.transfer;

import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;

/**
 * Moves KV blocks between workers: reserve at the receiver, stream from the sender, acknowledge by length and checksum.
 * All calls are safe from any thread, never block, and are bounded: a full queue is an explicit result. Listeners run on
 * the transport's own threads and must not block.
 */
public interface BlockTransport extends AutoCloseable {

    /** Where this side receives; to be told to senders. */
    TransferEndpoint endpoint();

    /**
     * Opens a lease to receive into. The memory of {@code slots} must stay valid until the listener's terminal call, which
     * comes exactly once: all blocks verified, or failed (deadline and abort included).
     *
     * @param slots destination of each block to be received, by the position the sender will name; each as long as a block
     * @param deadlineNanos by System.nanoTime()
     */
    default OpenResult openReceive(LeaseId lease, MemorySegment[] slots, long deadlineNanos, ReceiveListener listener) {
        return openReceive(lease, slots, slots.length, deadlineNanos, listener);
    }

    /**
     * The same for a sender that will say at its opening how many blocks it has.
     *
     * @param least complete with as many blocks as the sender opens with, if those are {@code least} to {@code slots.length}
     */
    OpenResult openReceive(
            LeaseId lease, MemorySegment[] slots, int least, long deadlineNanos, ReceiveListener listener);

    /** The same for a receiver that takes memory for the stream only when the blocks come that way. */
    OpenResult openReceive(
            LeaseId lease, ReceiveTarget target, int least, long deadlineNanos, ReceiveListener listener);

    /** Ends a receive from this side; the sender is told. No more bytes are written once the listener was called. */
    void abortReceive(LeaseId lease);

    /**
     * Opens a lease to send on.
     *
     * @param blocks how many blocks will be sent in all
     * @param deadlineNanos by System.nanoTime()
     */
    default OpenResult openSend(
            LeaseId lease, TransferEndpoint to, int blocks, long deadlineNanos, SendListener listener) {
        return openSend(lease, to, blocks, 1, deadlineNanos, listener);
    }

    /** The same for blocks that are sent in pieces, so many each at most. */
    OpenResult openSend(
            LeaseId lease,
            TransferEndpoint to,
            int blocks,
            int piecesABlock,
            long deadlineNanos,
            SendListener listener);

    /**
     * Queues one block; its memory must stay valid and unchanged until the listener's terminal call.
     *
     * @param slot index of the block's destination, as both sides agreed
     */
    SendResult send(LeaseId lease, int slot, MemorySegment source);

    /**
     * Queues a piece of a block. The pieces of a slot come in order and without gaps, those of different slots in any order.
     *
     * @param source the whole block; the piece is there and stays unchanged until the listener's terminal call
     * @param offset where the piece begins
     * @param bytes length of the piece
     */
    SendResult send(LeaseId lease, int slot, MemorySegment source, long offset, long bytes);

    /** Ends a send from this side; the receiver is told. */
    void abortSend(LeaseId lease);

    /**
     * Lets blocks go past the stream between this worker and others on its host that can do the same. Once, before the first
     * lease.
     *
     * @param epoch this worker's incarnation
     */
    void enableDirect(DirectPath path, long epoch);

    /**
     * Opens a lease to offer blocks of this worker's pool on. The first question for a receiver answers NO_DIRECT_PATH and begins
     * to open a way there; the stream serves until then.
     */
    OpenResult openDirectSend(
            LeaseId lease, TransferEndpoint to, int blocks, long deadlineNanos, SendListener listener);

    /**
     * Offers a block on such a lease; it must stay unchanged until the listener's terminal call.
     *
     * @param block its number in the pool
     * @param sum of its bytes, by the direct path's checksum
     */
    SendResult offer(LeaseId lease, int slot, int block, long blockBytes, long sum);

    /** Why blocks to a receiver do not take the direct path; empty when they do. */
    String directRefusal(TransferEndpoint to);

    /** Every peer this side has sent to, with the way that blocks take there and the reason; for people. */
    List<String> describePeers();

    /**
     * Has all peers close this worker's pool and waits until they have.
     *
     * @return false when one has not, or went without a word: the pool must not be freed while this process lives
     */
    boolean endDirect(Duration patience);

    TransportCounters counters();

    @Override
    void close();

    /** Answer to opening a lease. */
    enum OpenResult {
        OPENED,
        TOO_MANY_LEASES,
        DUPLICATE,
        UNREACHABLE,
        CLOSED,
        /** Blocks take the stream. */
        NO_DIRECT_PATH
    }

    /** Answer to queueing a block. */
    enum SendResult {
        QUEUED,
        BACK_PRESSURED,
        NO_SUCH_LEASE,
        CLOSED
    }

    /** The end of a receive: exactly one of the two calls. */
    interface ReceiveListener {
        void onComplete(LeaseId lease, TransferStats stats);

        void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats);
    }

    /** The end of a send: exactly one of the two calls, after which the source memory is no longer read. */
    interface SendListener {
        /** A block is on its way and its memory is read no more; before the terminal call, which may come without it. */
        default void onBlockSent(LeaseId lease, int slot) {}

        void onAcknowledged(LeaseId lease, TransferStats stats);

        void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats);
    }

    /** Totals since start. */
    record TransportCounters(
            long blocksSent,
            long bytesSent,
            long blocksReceived,
            long bytesReceived,
            long checksumFailures,
            long leasesFailed,
            int openReceives,
            int openSends,
            long backPressured,
            long directBlocksSent,
            long directBlocksReceived) {}
}
