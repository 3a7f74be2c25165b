package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.kvcache.KvMemory;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.BlockTransport;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.ReceiveTarget;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import java.lang.foreign.MemorySegment;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Sequences whose blocks come from elsewhere: room for them, their arrival, and their first step here. */
final class IncomingBlocks {
    private static final Logger LOG = LoggerFactory.getLogger(IncomingBlocks.class);

    /** Marks the lease of a moving sequence's last blocks; below it the lease's id is the work's key. */
    private static final long TAIL = 1L << 62;

    private final String gpuId;
    private final long epoch;
    private final WorkTable table;
    private final WorkEnds ends;
    private final EngineOutbox engine;
    private final KvMemory kv;
    private final TransferWindows windows;
    private final BlockTransport transport;
    private final WorkBook.Watcher watcher;

    IncomingBlocks(
            String gpuId,
            long epoch,
            WorkTable table,
            WorkEnds ends,
            EngineOutbox engine,
            KvMemory kv,
            TransferWindows windows,
            BlockTransport transport,
            WorkBook.Watcher watcher) {
        this.gpuId = gpuId;
        this.epoch = epoch;
        this.table = table;
        this.ends = ends;
        this.engine = engine;
        this.kv = kv;
        this.windows = windows;
        this.transport = transport;
        this.watcher = watcher;
    }

    private static long key(LeaseId lease) {
        return lease.id() & ~TAIL;
    }

    void onReserved(long key, int cachedBlocks, int[] blockIds) {
        Work work = table.get(key);
        if (work == null) {
            return;
        }
        if (work.cancelled) {
            ends.letGo(work);
            return;
        }
        boolean moving = work.kind == WorkerMessage.Kind.MIGRATE;
        int whole = moving ? work.wholeBlocks : blockIds.length;
        work.lease = new LeaseId(key, epoch);
        work.blockIds = blockIds;
        work.cachedBlocks = cachedBlocks;
        String refusal = moving ? openMove(work, whole) : whole > cachedBlocks ? openReceive(work) : "";
        if (!refusal.isEmpty()) {
            ends.refuse(work.target, RefusalReason.QUEUE_FULL, refusal);
            ends.cancel(work);
            return;
        }
        work.arrived = work.openLeases == 0;
        tellReserved(work, cachedBlocks, whole, blockIds.length);
        adoptWhenComplete(work);
    }

    /** Opens both leases of a sequence that moves here; empty when they are open. */
    private String openMove(Work work, int whole) {
        if (windows.areNeeded()) {
            return "sequences whose blocks are in device memory do not move yet";
        }
        OpenResult opened = OpenResult.OPENED;
        if (whole > work.cachedBlocks) {
            opened = receive(work, work.lease, work.cachedBlocks, whole, whole - work.cachedBlocks);
        }
        if (opened == OpenResult.OPENED) {
            work.tailLease = new LeaseId(work.key | TAIL, epoch);
            opened = receive(work, work.tailLease, whole, work.blockIds.length, 1);
        }
        return opened == OpenResult.OPENED ? "" : "no lease to receive KV: " + opened;
    }

    private OpenResult receive(Work work, LeaseId lease, int from, int to, int least) {
        MemorySegment[] slots = new MemorySegment[to - from];
        for (int i = 0; i < slots.length; i++) {
            slots[i] = kv.block(work.blockIds[from + i]);
        }
        OpenResult opened = transport.openReceive(lease, slots, least, work.deadlineNanos, new ReceiveEnd(watcher));
        if (opened == OpenResult.OPENED) {
            work.openLeases++;
            work.transferring = true;
        }
        return opened;
    }

    private void tellReserved(Work work, int cachedBlocks, int wholeBlocks, int allBlocks) {
        RequestTarget t = work.target;
        work.reservation = work.kind == WorkerMessage.Kind.MIGRATE
                ? new RequestMessage.MoveReserved(
                        gpuId,
                        t.requestId(),
                        t.attempt(),
                        work.lease,
                        work.tailLease,
                        transport.endpoint(),
                        cachedBlocks,
                        wholeBlocks,
                        allBlocks - wholeBlocks)
                : new RequestMessage.KvReserved(
                        gpuId, t.requestId(), t.attempt(), work.lease, transport.endpoint(), cachedBlocks, wholeBlocks);
        t.hub().tell(work.reservation);
    }

    /** Opens the lease for the blocks that are missing; empty when it is open. */
    private String openReceive(Work work) {
        int missing = work.blockIds.length - work.cachedBlocks;
        ReceiveTarget target;
        if (windows.areNeeded()) {
            work.landing = windows.landing(work.blockIds, work.cachedBlocks);
            target = work.landing;
            // A peer on this host may need none; without such a path it is better refused here than when blocks come.
            if (transport.endpoint().direct().isEmpty() && work.landing.memory() == null) {
                return "no transfer buffer for " + missing + " blocks now (tandem.compute.cuda.transfer-buffer-bytes)";
            }
        } else {
            MemorySegment[] slots = new MemorySegment[missing];
            for (int i = 0; i < missing; i++) {
                slots[i] = kv.block(work.blockIds[work.cachedBlocks + i]);
            }
            target = ReceiveTarget.of(slots);
        }
        OpenResult opened =
                transport.openReceive(work.lease, target, missing, work.deadlineNanos, new ReceiveEnd(watcher));
        work.transferring = opened == OpenResult.OPENED;
        if (work.transferring) {
            work.openLeases++;
        } else {
            windows.giveBackAll(work);
        }
        return work.transferring ? "" : "no lease to receive KV: " + opened;
    }

    void onArrived(LeaseId lease, TransferStats stats) {
        Work work = table.get(key(lease));
        if (work == null) {
            return;
        }
        work.stats = work.stats.plus(stats);
        if (--work.openLeases > 0) {
            return;
        }
        if (work.failure != null) {
            ends.transferFailed(work, work.failure, stats);
            return;
        }
        work.transferring = false;
        if (windows.areNeeded() && !stats.direct()) {
            windows.store(work, stats);
        } else {
            blocksArrived(work);
        }
    }

    private void blocksArrived(Work work) {
        work.arrived = true;
        if (!ends.endIfOver(work)) {
            adoptWhenComplete(work);
        }
    }

    void onArrivalFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
        Work work = table.get(key(lease));
        if (work == null) {
            return;
        }
        work.failure = work.failure == null ? failure : work.failure;
        if (--work.openLeases > 0) {
            ends.abort(work);
        } else {
            ends.transferFailed(work, work.failure, stats);
        }
    }

    void onBlocksFilled(Work work, TransferStats stats, String failure) {
        work.copying--;
        windows.giveBackAll(work);
        if (failure.isEmpty()) {
            blocksArrived(work);
        } else {
            LOG.warn("GPU {}: blocks cannot be copied to the device: {}", gpuId, failure);
            ends.transferFailed(work, TransferFailure.CLOSED, stats);
        }
    }

    void adopt(WorkerMessage.AdoptKv m) {
        Work work = table.get(m.target());
        if (work != null && work.nextTokens == null) {
            work.nextTokens = m.nextTokens();
            adoptWhenComplete(work);
        }
    }

    private void adoptWhenComplete(Work work) {
        if (!work.arrived || work.nextTokens == null || work.cancelled || work.ended || work.adopted) {
            return;
        }
        work.adopted = true;
        RequestTarget t = work.target;
        t.hub().tell(new RequestMessage.KvAdopted(gpuId, t.requestId(), t.attempt(), work.stats));
        engine.tell(new EngineCommand.Adopt(work.key, work.nextTokens));
    }

    /** Carries the end of a receive from the transport's thread to the actor. */
    private record ReceiveEnd(WorkBook.Watcher watcher) implements BlockTransport.ReceiveListener {
        @Override
        public void onComplete(LeaseId lease, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.Arrived(lease, stats));
        }

        @Override
        public void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.ArrivalFailed(lease, failure, stats));
        }
    }
}
