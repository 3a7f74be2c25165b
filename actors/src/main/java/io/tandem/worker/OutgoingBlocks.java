package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Prompts that are computed here for another GPU: whole blocks go out while the rest is computed. */
final class OutgoingBlocks {
    private final WorkTable table;
    private final WorkEnds ends;
    private final EngineOutbox engine;
    private final OutgoingLease.Ways ways;
    private final Set<Work> unsentBlocks = new LinkedHashSet<>();

    OutgoingBlocks(WorkTable table, WorkEnds ends, EngineOutbox engine, OutgoingLease.Ways ways) {
        this.table = table;
        this.ends = ends;
        this.engine = engine;
        this.ways = ways;
    }

    void push(WorkerMessage.PushKv m) {
        Work work = table.get(m.target());
        if (work == null || work.pushTo != null || work.cancelled || work.ended) {
            return;
        }
        work.pushTo = m.endpoint();
        work.cachedBlocks = m.cachedBlocks();
        work.totalBlocks = m.totalBlocks();
        int missing = m.totalBlocks() - m.cachedBlocks();
        if (missing == 0) {
            work.acknowledged = true;
            releaseWhenDone(work);
            return;
        }
        work.lease = m.lease();
        work.out = new OutgoingLease(ways, m.lease(), work.key, missing, () -> goOn(work));
        OpenResult opened = work.out.open(m.endpoint(), work.deadlineNanos);
        if (opened != OpenResult.OPENED) {
            onPushFailed(
                    work.key,
                    opened == OpenResult.UNREACHABLE ? TransferFailure.NOT_CONNECTED : TransferFailure.CLOSED,
                    Work.NOTHING_MOVED);
            return;
        }
        work.transferring = true;
        sendBlocks(work);
    }

    void onPrefillProgress(long key, int wholeBlocks, int[] blockIds) {
        Work work = table.get(key);
        if (work != null) {
            work.wholeBlocks = wholeBlocks;
            work.blockIds = blockIds.length > work.blockIds.length ? blockIds : work.blockIds;
            sendBlocks(work);
        }
    }

    /** Where blocks leave by the stream they may do so while they are computed. */
    void onPrefillUnderWay(long key, int endBlock, int[] blockIds, long pass) {
        Work work = table.get(key);
        if (work != null) {
            work.blocksUnderWay = endBlock;
            work.passUnderWay = pass;
            work.blockIds = blockIds;
            sendBlocks(work);
        }
    }

    void onAcknowledged(long key, TransferStats stats) {
        Work work = table.get(key);
        if (work == null) {
            return;
        }
        work.transferring = false;
        work.out.over();
        work.acknowledged = true;
        work.stats = stats;
        if (!ends.endIfOver(work)) {
            releaseWhenDone(work);
        }
    }

    void onPushFailed(long key, TransferFailure failure, TransferStats stats) {
        Work work = table.get(key);
        if (work != null) {
            work.out.over();
            ends.transferFailed(work, failure, stats);
        }
    }

    private void goOn(Work work) {
        if (work.cancelled || work.ended) {
            ends.endWhenIdle(work);
        } else {
            sendBlocks(work);
        }
    }

    private void sendBlocks(Work work) {
        if (work.out == null || !work.transferring || work.cancelled || work.ended) {
            return;
        }
        int whole = Math.min(work.wholeBlocks, work.totalBlocks) - work.cachedBlocks;
        if (work.out.send(work.blockIds, work.cachedBlocks, whole)) {
            int coming = Math.min(work.blocksUnderWay, work.totalBlocks) - work.cachedBlocks;
            work.out.sendUnderWay(work.blockIds, work.cachedBlocks, coming, work.passUnderWay);
        } else {
            unsentBlocks.add(work);
        }
    }

    void sendUnsentBlocks() {
        List<Work> waiting = List.copyOf(unsentBlocks);
        unsentBlocks.clear();
        waiting.forEach(this::sendBlocks);
    }

    void releaseWhenDone(Work work) {
        if (work.prefilled && work.acknowledged && !work.ended) {
            ends.remove(work);
            engine.tell(new EngineCommand.Release(work.key));
        }
    }
}
