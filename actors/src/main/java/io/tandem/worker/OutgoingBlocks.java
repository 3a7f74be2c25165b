package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.kvcache.KvMemory;
import io.tandem.kvcache.PeerBlocks;
import io.tandem.transfer.BlockTransport;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.SendResult;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Prompts that are computed here for another GPU: whole blocks go out while the rest is computed. */
final class OutgoingBlocks {
    private static final Logger LOG = LoggerFactory.getLogger(OutgoingBlocks.class);

    private final String gpuId;
    private final WorkTable table;
    private final WorkEnds ends;
    private final EngineOutbox engine;
    private final KvMemory kv;
    private final TransferWindows windows;
    private final BlockTransport transport;
    private final WorkBook.Watcher watcher;
    private final Optional<PeerBlocks> peers;
    private final List<Work> unsentBlocks = new ArrayList<>();

    OutgoingBlocks(
            WorkTable table,
            WorkEnds ends,
            EngineOutbox engine,
            KvMemory kv,
            TransferWindows windows,
            BlockTransport transport,
            WorkBook.Watcher watcher,
            String gpuId) {
        this.gpuId = gpuId;
        this.table = table;
        this.ends = ends;
        this.engine = engine;
        this.kv = kv;
        this.windows = windows;
        this.transport = transport;
        this.watcher = watcher;
        peers = kv.peers();
    }

    void push(WorkerMessage.PushKv m) {
        Work work = table.get(m.target());
        if (work == null || work.pushTo != null || work.cancelled || work.ended) {
            return;
        }
        work.pushTo = m.endpoint();
        work.cachedBlocks = m.cachedBlocks();
        work.sentBlocks = m.cachedBlocks();
        work.totalBlocks = m.totalBlocks();
        int missing = m.totalBlocks() - m.cachedBlocks();
        if (missing == 0) {
            work.acknowledged = true;
            releaseWhenDone(work);
            return;
        }
        work.lease = m.lease();
        work.transferring = true;
        OpenResult opened = open(work, m, missing);
        if (opened != OpenResult.OPENED) {
            onPushFailed(
                    work.key,
                    opened == OpenResult.UNREACHABLE ? TransferFailure.NOT_CONNECTED : TransferFailure.CLOSED,
                    Work.NOTHING_MOVED);
            return;
        }
        sendWholeBlocks(work);
    }

    private OpenResult open(Work work, WorkerMessage.PushKv m, int missing) {
        if (peers.isPresent()) {
            OpenResult direct = transport.openDirectSend(
                    m.lease(), m.endpoint(), missing, work.deadlineNanos, new SendEnd(watcher, work.key, false));
            work.direct = direct == OpenResult.OPENED;
            if (direct != OpenResult.NO_DIRECT_PATH) {
                return direct;
            }
        }
        return transport.openSend(
                m.lease(),
                m.endpoint(),
                missing,
                windows.piecesABlock(),
                work.deadlineNanos,
                new SendEnd(watcher, work.key, windows.areNeeded()));
    }

    void onPrefillProgress(long key, int wholeBlocks, int[] blockIds) {
        Work work = table.get(key);
        if (work != null) {
            work.wholeBlocks = wholeBlocks;
            work.blockIds = blockIds.length > work.blockIds.length ? blockIds : work.blockIds;
            sendWholeBlocks(work);
        }
    }

    /** Where blocks leave by the stream they may do so while they are computed. */
    void onPrefillUnderWay(long key, int endBlock, int[] blockIds, long pass) {
        Work work = table.get(key);
        if (work != null) {
            work.blocksUnderWay = endBlock;
            work.passUnderWay = pass;
            work.blockIds = blockIds;
            sendWholeBlocks(work);
        }
    }

    void onAcknowledged(long key, TransferStats stats) {
        Work work = table.get(key);
        if (work == null) {
            return;
        }
        work.transferring = false;
        work.acknowledged = true;
        work.stats = stats;
        windows.giveBackAll(work);
        if (!ends.endIfOver(work)) {
            releaseWhenDone(work);
        }
    }

    void onPushFailed(long key, TransferFailure failure, TransferStats stats) {
        ends.transferFailed(table.get(key), failure, stats);
    }

    void onWindowFilled(Work work, int slot, String failure) {
        work.copying--;
        if (work.cancelled || work.ended || !work.transferring) {
            ends.endWhenIdle(work);
        } else if (!failure.isEmpty()) {
            LOG.warn("GPU {}: a block cannot be copied to the host: {}", gpuId, failure);
            transport.abortSend(work.lease);
        } else {
            work.filled.add(new Work.FilledPiece(slot, 0, kv.layout().blockBytes()));
            sendFilled(work);
        }
    }

    void onGroupFilled(Work work, WorkEvent.GroupFilled m) {
        work.copying--;
        if (work.cancelled || work.ended || !work.transferring) {
            ends.endWhenIdle(work);
        } else if (!m.failure().isEmpty()) {
            LOG.warn("GPU {}: layers cannot be copied to the host: {}", gpuId, m.failure());
            transport.abortSend(work.lease);
        } else {
            long offset = kv.groupOffset(m.group());
            long bytes = kv.groupOffset(m.group() + 1) - offset;
            for (int i = 0; i < m.slots(); i++) {
                work.filled.add(new Work.FilledPiece(m.firstSlot() + i, offset, bytes));
            }
            sendFilled(work);
        }
    }

    void onWindowSent(Work work, int slot) {
        if (work != null) {
            windows.giveBack(work, slot);
            sendUnsentBlocks();
        }
    }

    private void sendWholeBlocks(Work work) {
        if (!work.transferring || work.pushTo == null || work.cancelled || work.ended) {
            return;
        }
        int end = Math.min(work.wholeBlocks, work.totalBlocks);
        if (work.direct) {
            sumUp(work, end);
            return;
        }
        if (windows.areNeeded()) {
            fillWindows(work, end);
            return;
        }
        while (work.sentBlocks < end) {
            int slot = work.sentBlocks - work.cachedBlocks;
            SendResult sent = transport.send(work.lease, slot, kv.block(work.blockIds[work.sentBlocks]));
            if (sent == SendResult.BACK_PRESSURED) {
                unsentBlocks.add(work);
                return;
            }
            if (sent != SendResult.QUEUED) {
                return;
            }
            work.sentBlocks++;
        }
    }

    /** What is summed up is offered, and what is whole is summed up next. */
    private void sumUp(Work work, int end) {
        if (!offerSummed(work) || work.sentBlocks >= end) {
            return;
        }
        int[] blocks = Arrays.copyOfRange(work.blockIds, work.sentBlocks, end);
        int slot = work.sentBlocks - work.cachedBlocks;
        long key = work.key;
        work.copying++;
        work.sentBlocks = end;
        peers.orElseThrow()
                .sum(
                        blocks,
                        (sums, failure) ->
                                watcher.tellSelf(new WorkEvent.BlocksSummed(key, slot, blocks, sums, failure)));
    }

    void onBlocksSummed(Work work, WorkEvent.BlocksSummed m) {
        work.copying--;
        if (work.cancelled || work.ended || !work.transferring) {
            ends.endWhenIdle(work);
        } else if (!m.failure().isEmpty()) {
            LOG.warn("GPU {}: blocks cannot be summed up: {}", gpuId, m.failure());
            transport.abortSend(work.lease);
        } else {
            for (int i = 0; i < m.blocks().length; i++) {
                work.summed.add(new Work.SummedBlock(m.firstSlot() + i, m.blocks()[i], m.sums()[i]));
            }
            sendWholeBlocks(work);
        }
    }

    /** Hands summed blocks to the transport; false when it takes no more now. */
    private boolean offerSummed(Work work) {
        while (!work.summed.isEmpty()) {
            Work.SummedBlock b = work.summed.peek();
            SendResult sent =
                    transport.offer(work.lease, b.slot(), b.block(), kv.layout().blockBytes(), b.sum());
            if (sent == SendResult.BACK_PRESSURED) {
                unsentBlocks.add(work);
            }
            if (sent != SendResult.QUEUED) {
                return false;
            }
            work.summed.poll();
        }
        return true;
    }

    private void fillWindows(Work work, int end) {
        if (!sendFilled(work)) {
            return;
        }
        while (work.sentBlocks < end) {
            int slot = work.sentBlocks - work.cachedBlocks;
            if (!windows.fill(work, slot, work.blockIds[work.sentBlocks])) {
                unsentBlocks.add(work);
                return;
            }
            work.sentBlocks++;
        }
        int coming = Math.min(work.blocksUnderWay, work.totalBlocks);
        if (work.sentBlocks < coming) {
            work.sentBlocks += windows.fillByGroups(work, work.sentBlocks, coming);
        }
    }

    /** Hands filled pieces to the transport; false when it takes no more now. */
    private boolean sendFilled(Work work) {
        while (!work.filled.isEmpty()) {
            Work.FilledPiece piece = work.filled.peek();
            SendResult sent =
                    transport.send(work.lease, piece.slot(), work.windows[piece.slot()], piece.offset(), piece.bytes());
            if (sent == SendResult.BACK_PRESSURED) {
                unsentBlocks.add(work);
                return false;
            }
            if (sent != SendResult.QUEUED) {
                return false;
            }
            work.filled.poll();
        }
        return true;
    }

    void sendUnsentBlocks() {
        List<Work> waiting = List.copyOf(unsentBlocks);
        unsentBlocks.clear();
        waiting.forEach(this::sendWholeBlocks);
    }

    void releaseWhenDone(Work work) {
        if (work.prefilled && work.acknowledged && !work.ended) {
            ends.remove(work);
            engine.tell(new EngineCommand.Release(work.key));
        }
    }

    /** Carries the end of a send from the transport's thread to the actor. */
    record SendEnd(WorkBook.Watcher watcher, long key, boolean windows) implements BlockTransport.SendListener {
        @Override
        public void onBlockSent(LeaseId lease, int slot) {
            if (windows) {
                watcher.tellSelf(new WorkEvent.WindowSent(key, slot));
            }
        }

        @Override
        public void onAcknowledged(LeaseId lease, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.Acknowledged(lease, key, stats));
        }

        @Override
        public void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.PushFailed(lease, key, failure, stats));
        }
    }
}
