package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.kvcache.KvMemory;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.BlockTransport;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import java.util.Arrays;
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
    private final BlockTransport transport;
    private final WorkBook.Watcher watcher;

    IncomingBlocks(
            String gpuId,
            long epoch,
            WorkTable table,
            WorkEnds ends,
            EngineOutbox engine,
            KvMemory kv,
            BlockTransport transport,
            WorkBook.Watcher watcher) {
        this.gpuId = gpuId;
        this.epoch = epoch;
        this.table = table;
        this.ends = ends;
        this.engine = engine;
        this.kv = kv;
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
        String refusal = moving ? openMove(work, whole) : whole > cachedBlocks ? openWhole(work, whole) : "";
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
        String refusal = whole > work.cachedBlocks ? openWhole(work, whole) : "";
        if (refusal.isEmpty()) {
            work.tailLease = new LeaseId(work.key | TAIL, epoch);
            work.tailLanding = new Landing(kv, Arrays.copyOfRange(work.blockIds, whole, work.blockIds.length));
            refusal = open(work, work.tailLease, work.tailLanding, 1);
        }
        return refusal;
    }

    private String openWhole(Work work, int whole) {
        work.landing = new Landing(kv, Arrays.copyOfRange(work.blockIds, work.cachedBlocks, whole));
        return open(work, work.lease, work.landing, work.landing.blocks());
    }

    private String open(Work work, LeaseId lease, Landing landing, int least) {
        // A peer on this host may need no windows; without such a path it is better refused here than when blocks come.
        if (transport.endpoint().direct().isEmpty() && landing.memory() == null) {
            return "no transfer buffer for " + landing.blocks()
                    + " blocks now (tandem.compute.cuda.transfer-buffer-bytes)";
        }
        OpenResult opened = transport.openReceive(lease, landing, least, work.deadlineNanos, new ReceiveEnd(watcher));
        if (opened != OpenResult.OPENED) {
            landing.giveBack();
            return "no lease to receive KV: " + opened;
        }
        work.openLeases++;
        work.transferring = true;
        return "";
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

    void onArrived(LeaseId lease, TransferStats stats) {
        Work work = table.get(key(lease));
        if (work == null) {
            return;
        }
        work.stats = work.stats.plus(stats);
        if (kv.hasWindows() && !stats.direct()) {
            store(work, lease.equals(work.tailLease) ? work.tailLanding : work.landing, stats.blocks());
        }
        onLeaseOver(work);
    }

    /** {@link WorkEvent.BlocksFilled} says when it is done. */
    private void store(Work work, Landing landing, int blocks) {
        work.copying++;
        long key = work.key;
        landing.store(
                blocks,
                failure -> watcher.tellSelf(
                        new WorkEvent.BlocksFilled(key, landing, failure == null ? "" : failure.toString())));
    }

    void onArrivalFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
        Work work = table.get(key(lease));
        if (work != null) {
            work.failure = work.failure == null ? failure : work.failure;
            work.stats = work.stats.plus(stats);
            onLeaseOver(work);
        }
    }

    private void onLeaseOver(Work work) {
        boolean last = --work.openLeases == 0;
        if (last && work.failure != null) {
            ends.transferFailed(work, work.failure, work.stats);
        } else if (last) {
            work.transferring = false;
            adoptWhenStored(work);
        } else if (work.failure != null) {
            ends.abort(work);
        }
    }

    void onBlocksFilled(Work work, Landing landing, String failure) {
        work.copying--;
        landing.giveBack();
        if (!failure.isEmpty() && work.failure == null) {
            LOG.warn("GPU {}: blocks cannot be copied to the device: {}", gpuId, failure);
            work.failure = TransferFailure.DEVICE_ERROR;
            if (work.transferring) {
                ends.abort(work);
            } else {
                ends.transferFailed(work, work.failure, work.stats);
            }
        } else if (work.failure != null) {
            ends.endWhenIdle(work);
        } else {
            adoptWhenStored(work);
        }
    }

    /** All blocks are in their places, unless some are still on their way or in windows. */
    private void adoptWhenStored(Work work) {
        if (!work.isIdle()) {
            return;
        }
        work.arrived = true;
        if (!ends.endIfOver(work)) {
            adoptWhenComplete(work);
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
