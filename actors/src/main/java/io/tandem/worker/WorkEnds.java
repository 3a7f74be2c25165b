package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.BlockTransport;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;

/**
 * How works end: a sequence's blocks are let go only when no transfer and no copy touches them. So a work that is cancelled while
 * one does ends in two steps: the transfer is aborted, and when the transport has said that it is over, the engine is told.
 */
final class WorkEnds {
    private final String gpuId;
    private final WorkTable table;
    private final OutgoingMoves moves;
    private final EngineOutbox engine;
    private final BlockTransport transport;

    WorkEnds(String gpuId, WorkTable table, OutgoingMoves moves, EngineOutbox engine, BlockTransport transport) {
        this.gpuId = gpuId;
        this.table = table;
        this.moves = moves;
        this.engine = engine;
        this.transport = transport;
    }

    void transferFailed(Work work, TransferFailure failure, TransferStats stats) {
        if (work == null) {
            return;
        }
        work.transferring = false;
        if (!work.cancelled && !work.ended) {
            RequestTarget t = work.target;
            t.hub().tell(new RequestMessage.KvFailed(gpuId, t.requestId(), t.attempt(), failure, stats));
        }
        work.cancelled = true;
        endWhenIdle(work);
    }

    /** What a transfer or a copy held up: the end of a work that is over or cancelled. */
    void endWhenIdle(Work work) {
        if (!work.isIdle()) {
            return;
        }
        work.giveBackWindows();
        endIfOver(work);
    }

    /** For a work that nothing touches any more; answers whether it was over or cancelled, and so is gone now. */
    boolean endIfOver(Work work) {
        if (work.ended) {
            remove(work);
        } else if (work.cancelled) {
            letGo(work);
        }
        return work.ended || work.cancelled;
    }

    void cancel(Work work) {
        work.cancelled = true;
        if (work.transferring) {
            abort(work);
        } else {
            endWhenIdle(work);
        }
    }

    void abort(Work work) {
        if (work.kind == WorkerMessage.Kind.RESERVE || work.kind == WorkerMessage.Kind.MIGRATE) {
            transport.abortReceive(work.lease);
            if (work.tailLease != null) {
                transport.abortReceive(work.tailLease);
            }
        } else {
            work.out.abort();
        }
    }

    /** The engine ends the sequence and says so; what it only holds, it lets go without a word. */
    void letGo(Work work) {
        if (work.prefilled) {
            remove(work);
            engine.tell(new EngineCommand.Release(work.key));
        } else if (!work.ended) {
            engine.tell(new EngineCommand.Cancel(work.key));
        }
    }

    void refuse(RequestTarget t, RefusalReason reason, String detail) {
        t.hub().tell(new RequestMessage.Refused(gpuId, t.requestId(), t.attempt(), reason, detail));
    }

    void remove(Work work) {
        if (table.remove(work)) {
            moves.gone(work);
        }
    }
}
