package io.tandem.transfer;

import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;

/** The API in front of the two agents: bounds and book-keeping that need no agent's thread. */
class AgentTransport implements BlockTransport {
    private static final long CLOSE_POLL_NANOS = 1_000_000;

    private volatile TransferEndpoint endpoint;
    private final TransferLimits limits;
    private final Counters counters;
    private final ConcurrentHashMap<LeaseId, SendLease> sends;
    private final ConcurrentHashMap<Long, ReceiveLease> receives;
    private final BlockSender sender;
    private final BlockReceiver receiver;
    private volatile Runnable wakeSender = () -> {};
    private volatile Runnable wakeReceiver = () -> {};
    private final AtomicLong lastSender = new AtomicLong(System.nanoTime());
    private final AtomicBoolean closed = new AtomicBoolean();

    AgentTransport(
            TransferEndpoint endpoint,
            TransferLimits limits,
            Counters counters,
            ConcurrentHashMap<LeaseId, SendLease> sends,
            ConcurrentHashMap<Long, ReceiveLease> receives,
            BlockSender sender,
            BlockReceiver receiver) {
        this.endpoint = endpoint;
        this.limits = limits;
        this.counters = counters;
        this.sends = sends;
        this.receives = receives;
        this.sender = sender;
        this.receiver = receiver;
    }

    /** How to end a rest of each agent, where they rest. */
    final void wakeBy(Runnable senderWakes, Runnable receiverWakes) {
        wakeSender = senderWakes;
        wakeReceiver = receiverWakes;
        receiver.imports().wakeBy(receiverWakes);
    }

    @Override
    public final TransferEndpoint endpoint() {
        return endpoint;
    }

    @Override
    public final OpenResult openReceive(
            LeaseId lease, MemorySegment[] slots, int least, long deadlineNanos, ReceiveListener listener) {
        for (int i = 0; i < slots.length; i++) {
            requireBlock("slots[" + i + "]", slots[i]);
        }
        return openReceive(lease, ReceiveTarget.of(slots), least, deadlineNanos, listener);
    }

    @Override
    public final OpenResult openReceive(
            LeaseId lease, ReceiveTarget target, int least, long deadlineNanos, ReceiveListener listener) {
        if (least < 0 || least > target.blocks()) {
            throw new IllegalArgumentException("least must be 0 to " + target.blocks() + ", not " + least);
        }
        if (closed.get()) {
            return OpenResult.CLOSED;
        }
        if (receives.size() >= limits.maxLeases()) {
            return OpenResult.TOO_MANY_LEASES;
        }
        ReceiveLease opened = new ReceiveLease(lease, target, least, deadlineNanos, listener);
        if (receives.putIfAbsent(lease.id(), opened) != null) {
            return OpenResult.DUPLICATE;
        }
        if (target.blocks() == 0 && !receiver.offerEmpty(opened)) {
            receives.remove(lease.id(), opened);
            return OpenResult.TOO_MANY_LEASES;
        }
        wakeReceiver.run();
        return closedMeanwhile() && receives.remove(lease.id(), opened) ? OpenResult.CLOSED : OpenResult.OPENED;
    }

    @Override
    public final void abortReceive(LeaseId lease) {
        ReceiveLease opened = receives.get(lease.id());
        if (opened != null && opened.id.equals(lease)) {
            opened.aborting = true;
            receiver.scanSoon();
        }
    }

    @Override
    public final OpenResult openSend(
            LeaseId lease,
            TransferEndpoint to,
            int blocks,
            int piecesABlock,
            long deadlineNanos,
            SendListener listener) {
        return openSend(lease, to, blocks, piecesABlock, deadlineNanos, listener, null);
    }

    @Override
    public final OpenResult openDirectSend(
            LeaseId lease, TransferEndpoint to, int blocks, long deadlineNanos, SendListener listener) {
        PoolExports.Link link = sender.exports().open(to);
        return link == null ? OpenResult.NO_DIRECT_PATH : openSend(lease, to, blocks, 1, deadlineNanos, listener, link);
    }

    private OpenResult openSend(
            LeaseId lease,
            TransferEndpoint to,
            int blocks,
            int piecesABlock,
            long deadlineNanos,
            SendListener listener,
            PoolExports.Link link) {
        if (closed.get()) {
            return OpenResult.CLOSED;
        }
        if (sends.size() >= limits.maxLeases()) {
            return OpenResult.TOO_MANY_LEASES;
        }
        if (!canReach(to)) {
            return OpenResult.UNREACHABLE;
        }
        SendLease opened = new SendLease(
                lease, lastSender.incrementAndGet(), to, blocks, piecesABlock, deadlineNanos, listener, link);
        if (sends.putIfAbsent(lease, opened) != null) {
            return OpenResult.DUPLICATE;
        }
        if (!sender.offer(opened)) {
            sends.remove(lease, opened);
            return OpenResult.TOO_MANY_LEASES;
        }
        wakeSender.run();
        return closedMeanwhile() && sends.remove(lease, opened) ? OpenResult.CLOSED : OpenResult.OPENED;
    }

    /** Shared memory reaches the same host only. */
    private boolean canReach(TransferEndpoint to) {
        return !to.channels().isEmpty()
                && (!to.wire().equals("ipc") || to.hostId().equals(endpoint.hostId()));
    }

    /** The agents read and write by address, from their own threads. */
    static void requireBlock(String name, MemorySegment memory) {
        if (!memory.isNative() || memory.byteSize() == 0 || memory.byteSize() > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(
                    name + " must be off-heap memory of 1 to 2147483647 bytes, not " + memory);
        }
    }

    private boolean closedMeanwhile() {
        return closed.get();
    }

    @Override
    public final SendResult send(LeaseId lease, int slot, MemorySegment source) {
        return send(lease, slot, source, 0, source.byteSize());
    }

    @Override
    public final SendResult send(LeaseId lease, int slot, MemorySegment source, long offset, long bytes) {
        requireBlock("source", source);
        Objects.checkFromIndexSize(offset, bytes, source.byteSize());
        return queue(lease, false, slot, () -> SendLease.Block.piece(slot, source, offset, bytes));
    }

    @Override
    public final SendResult offer(LeaseId lease, int slot, int block, long blockBytes, long sum) {
        return queue(lease, true, slot, () -> SendLease.Block.offered(slot, block, blockBytes, sum));
    }

    private SendResult queue(LeaseId lease, boolean direct, int slot, Supplier<SendLease.Block> block) {
        if (closed.get()) {
            return SendResult.CLOSED;
        }
        SendLease opened = sends.get(lease);
        if (opened == null) {
            return SendResult.NO_SUCH_LEASE;
        }
        if (direct != (opened.link != null)) {
            throw new IllegalArgumentException(lease + (direct ? " sends by stream" : " offers blocks") + " only");
        }
        if (slot < 0 || slot >= opened.blocks) {
            throw new IllegalArgumentException(
                    "slot must be 0 to " + (opened.blocks - 1) + " for " + lease + ", not " + slot);
        }
        boolean queued = opened.queue.offer(block.get());
        wakeSender.run();
        return queued ? SendResult.QUEUED : SendResult.BACK_PRESSURED;
    }

    @Override
    public final void enableDirect(DirectPath path, long epoch) {
        sender.exports().enable(path, epoch);
        receiver.imports().enable(path);
        endpoint = endpoint.withDirect(path.name());
    }

    @Override
    public final String directRefusal(TransferEndpoint to) {
        return sender.exports().refusal(to);
    }

    @Override
    public final List<String> describePeers() {
        return sender.exports().describe();
    }

    @Override
    public final boolean endDirect(Duration patience) {
        PoolExports exports = sender.exports();
        exports.beginClose();
        long end = System.nanoTime() + patience.toNanos();
        while (exports.awaited() && !closed.get() && System.nanoTime() - end < 0) {
            LockSupport.parkNanos(CLOSE_POLL_NANOS);
        }
        return exports.freed();
    }

    @Override
    public final void abortSend(LeaseId lease) {
        SendLease opened = sends.get(lease);
        if (opened != null) {
            opened.aborting = true;
        }
    }

    @Override
    public final TransportCounters counters() {
        return counters.read(receives.size(), sends.size());
    }

    @Override
    public final void close() {
        if (closed.compareAndSet(false, true)) {
            stop();
        }
    }

    /** Ends the agents, once. */
    void stop() {
        sender.onClose();
        receiver.onClose();
    }
}
