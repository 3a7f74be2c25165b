package io.tandem.worker;

import io.tandem.kvcache.KvMemory;
import io.tandem.kvcache.PeerBlocks;
import io.tandem.transfer.BlockTransport;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.SendResult;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferEndpoint;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Blocks of a sequence that leave on one lease, in the order of their slots and by the best way there is: offered for a fetch from
 * device to device, through windows of the host's memory, or straight out of it. Owned by the worker's actor; what transport and copies
 * say reaches it as a {@link WorkEvent}.
 */
public final class OutgoingLease {
    private static final Logger LOG = LoggerFactory.getLogger(OutgoingLease.class);

    /** What all leases of a worker have in common. */
    record Ways(
            String gpuId,
            KvMemory kv,
            BlockTransport transport,
            WorkBook.Watcher watcher,
            Optional<PeerBlocks> peers) {}

    private enum Way {
        FETCHED,
        WINDOWS,
        HOST
    }

    /** Layers of a block from a group on, or all of them. */
    private record FilledPiece(int slot, long offset, long bytes) {}

    /** A block that can be offered. */
    private record SummedBlock(int slot, int block, long sum) {}

    private final Ways ways;
    private final LeaseId id;
    private final long key;
    private final int slots;
    private final Runnable changed;
    private final MemorySegment[] windows;
    /** Pieces of windows that are filled and not yet with the transport. */
    private final ArrayDeque<FilledPiece> filled = new ArrayDeque<>();
    /** Summed up and not yet with the transport. */
    private final ArrayDeque<SummedBlock> summed = new ArrayDeque<>();

    private Way way = Way.HOST;
    private boolean open;
    private boolean aborting;
    private int copying;
    /** Leading slots whose blocks are with the transport, or with a copier. */
    private int begun;

    /**
     * @param key comes back in {@link WorkEvent.Acknowledged} or {@link WorkEvent.PushFailed}, the transport's last word
     * @param slots blocks that go out in all
     * @param changed runs when more may go out, or nothing touches the blocks any more
     */
    OutgoingLease(Ways ways, LeaseId id, long key, int slots, Runnable changed) {
        this.ways = ways;
        this.id = id;
        this.key = key;
        this.slots = slots;
        this.changed = changed;
        windows = new MemorySegment[slots];
    }

    OpenResult open(TransferEndpoint to, long deadlineNanos) {
        OpenResult opened = OpenResult.NO_DIRECT_PATH;
        if (ways.peers().isPresent()) {
            way = Way.FETCHED;
            opened = ways.transport().openDirectSend(id, to, slots, deadlineNanos, new SendEnd(ways.watcher(), this));
        }
        if (opened == OpenResult.NO_DIRECT_PATH) {
            way = ways.kv().hasWindows() ? Way.WINDOWS : Way.HOST;
            int pieces = ways.kv().layerGroups();
            opened = ways.transport().openSend(id, to, slots, pieces, deadlineNanos, new SendEnd(ways.watcher(), this));
        }
        open = opened == OpenResult.OPENED;
        return opened;
    }

    /** The transport has not said its last word. */
    boolean isOpen() {
        return open;
    }

    /** Neither transport nor copies touch the blocks. */
    boolean isIdle() {
        return !open && copying == 0;
    }

    boolean hasBegun() {
        return begun > 0;
    }

    void abort() {
        aborting = true;
        ways.transport().abortSend(id);
    }

    /** The transport has said its last word. */
    void over() {
        open = false;
        giveBackWhenIdle();
    }

    /**
     * Lets blocks go that are whole and have not gone yet.
     *
     * @param blockIds of the sequence
     * @param first index of the block of slot 0
     * @param end slots before it are whole
     * @return false when not all could go now: to be called again
     */
    boolean send(int[] blockIds, int first, int end) {
        if (!open || aborting) {
            return true;
        }
        return switch (way) {
            case FETCHED -> sumUp(blockIds, first, end);
            case WINDOWS -> fillWindows(blockIds, first, end);
            case HOST -> sendFromHost(blockIds, first, end);
        };
    }

    private boolean sendFromHost(int[] blockIds, int first, int end) {
        while (begun < end) {
            SendResult sent = ways.transport().send(id, begun, ways.kv().block(blockIds[first + begun]));
            if (sent != SendResult.QUEUED) {
                return sent != SendResult.BACK_PRESSURED;
            }
            begun++;
        }
        return true;
    }

    // ---- from device to device: summed up, then offered

    private boolean sumUp(int[] blockIds, int first, int end) {
        if (!offerSummed()) {
            return false;
        }
        if (begun < end) {
            int slot = begun;
            int[] blocks = Arrays.copyOfRange(blockIds, first + slot, first + end);
            copying++;
            begun = end;
            ways.peers()
                    .orElseThrow()
                    .sum(
                            blocks,
                            (sums, failure) -> ways.watcher()
                                    .tellSelf(new WorkEvent.BlocksSummed(this, slot, blocks, sums, failure)));
        }
        return true;
    }

    void onBlocksSummed(WorkEvent.BlocksSummed m) {
        for (int i = 0; i < m.sums().length; i++) {
            summed.add(new SummedBlock(m.firstSlot() + i, m.blocks()[i], m.sums()[i]));
        }
        copyIsOver("blocks cannot be summed up", m.failure());
    }

    /** False when the transport takes no more now. */
    private boolean offerSummed() {
        long bytes = ways.kv().layout().blockBytes();
        while (!summed.isEmpty()) {
            SummedBlock b = summed.peek();
            SendResult sent = ways.transport().offer(id, b.slot(), b.block(), bytes, b.sum());
            if (sent != SendResult.QUEUED) {
                return sent != SendResult.BACK_PRESSURED;
            }
            summed.poll();
        }
        return true;
    }

    // ---- through windows: filled, then sent

    private boolean fillWindows(int[] blockIds, int first, int end) {
        if (!sendFilled()) {
            return false;
        }
        while (begun < end) {
            int blockId = blockIds[first + begun];
            MemorySegment window = ways.kv().borrowWindow(blockId);
            if (window == null) {
                return false;
            }
            int slot = begun++;
            windows[slot] = window;
            copying++;
            ways.kv()
                    .fillWindow(
                            blockId,
                            window,
                            failure -> ways.watcher().tellSelf(new WorkEvent.WindowFilled(this, slot, text(failure))));
        }
        return true;
    }

    /**
     * Lets blocks go while they are computed, a group of layers after the other, where they go through windows and as far as there are
     * windows; for blocks that follow those sent.
     *
     * @param end slots before it are whole once {@code pass} is over
     */
    void sendUnderWay(int[] blockIds, int first, int end, long pass) {
        if (!open || aborting || way != Way.WINDOWS) {
            return;
        }
        int slot = begun;
        while (begun < end) {
            MemorySegment window = ways.kv().borrowWindow(blockIds[first + begun]);
            if (window == null) {
                break;
            }
            windows[begun++] = window;
        }
        if (begun > slot) {
            int[] blocks = Arrays.copyOfRange(blockIds, first + slot, first + begun);
            MemorySegment[] targets = Arrays.copyOfRange(windows, slot, begun);
            for (int g = 0; g < ways.kv().layerGroups(); g++) {
                fillGroup(pass, g, slot, blocks, targets);
            }
        }
    }

    private void fillGroup(long pass, int group, int slot, int[] blocks, MemorySegment[] targets) {
        copying++;
        ways.kv()
                .fillGroup(
                        pass,
                        group,
                        blocks,
                        targets,
                        failure -> ways.watcher()
                                .tellSelf(new WorkEvent.GroupFilled(this, slot, blocks.length, group, text(failure))));
    }

    private static String text(RuntimeException failure) {
        return failure == null ? "" : failure.toString();
    }

    void onWindowFilled(WorkEvent.WindowFilled m) {
        filled.add(new FilledPiece(m.slot(), 0, ways.kv().layout().blockBytes()));
        copyIsOver("a block cannot be copied to the host", m.failure());
    }

    void onGroupFilled(WorkEvent.GroupFilled m) {
        long offset = ways.kv().groupOffset(m.group());
        long bytes = ways.kv().groupOffset(m.group() + 1) - offset;
        for (int i = 0; i < m.slots(); i++) {
            filled.add(new FilledPiece(m.firstSlot() + i, offset, bytes));
        }
        copyIsOver("layers cannot be copied to the host", m.failure());
    }

    /** False when the transport takes no more now. */
    private boolean sendFilled() {
        while (!filled.isEmpty()) {
            FilledPiece p = filled.peek();
            SendResult sent = ways.transport().send(id, p.slot(), windows[p.slot()], p.offset(), p.bytes());
            if (sent != SendResult.QUEUED) {
                return sent != SendResult.BACK_PRESSURED;
            }
            filled.poll();
        }
        return true;
    }

    void onWindowSent(int slot) {
        giveBack(slot);
        changed.run();
    }

    private void copyIsOver(String what, String failure) {
        copying--;
        if (!failure.isEmpty() && open) {
            LOG.warn("GPU {}: {}: {}", ways.gpuId(), what, failure);
            abort();
        }
        giveBackWhenIdle();
        changed.run();
    }

    private void giveBackWhenIdle() {
        if (isIdle()) {
            for (int slot = 0; slot < slots; slot++) {
                giveBack(slot);
            }
        }
    }

    private void giveBack(int slot) {
        if (windows[slot] != null) {
            ways.kv().returnWindow(windows[slot]);
            windows[slot] = null;
        }
    }

    /** Carries what the transport says from its thread to the actor. */
    private record SendEnd(WorkBook.Watcher watcher, OutgoingLease lease) implements BlockTransport.SendListener {
        @Override
        public void onBlockSent(LeaseId id, int slot) {
            if (lease.way == Way.WINDOWS) {
                watcher.tellSelf(new WorkEvent.WindowSent(lease, slot));
            }
        }

        @Override
        public void onAcknowledged(LeaseId id, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.Acknowledged(id, lease.key, stats));
        }

        @Override
        public void onFailed(LeaseId id, TransferFailure failure, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.PushFailed(id, lease.key, failure, stats));
        }
    }
}
