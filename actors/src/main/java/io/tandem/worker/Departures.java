package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import java.util.concurrent.TimeUnit;

/**
 * What of a worker's work is to run elsewhere: everything when it is drained, its decodes when it takes prompts, its waiting prompts
 * when it decodes. Owners are asked to move what decodes, a few at a time and each again after a while; what has not begun is
 * given back at once.
 */
final class Departures {
    private static final long ASK_AGAIN_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private final String gpuId;
    private final WorkTable table;
    private final OutgoingMoves moves;
    private final WorkBook.Commands engine;
    private final int maxMoves;

    /** Drained: everything is to run elsewhere. */
    private boolean moveAll;

    /** Its role takes prompts now: decodes are to run elsewhere. */
    private boolean moveDecodes;

    /** @param maxMoves sequences that leave at the same time */
    Departures(String gpuId, WorkTable table, OutgoingMoves moves, WorkBook.Commands engine, int maxMoves) {
        this.gpuId = gpuId;
        this.table = table;
        this.moves = moves;
        this.engine = engine;
        this.maxMoves = maxMoves;
    }

    void onRole(EngineRole role, boolean moveWork, long nowNanos) {
        moveDecodes = moveWork && role == EngineRole.PREFILL;
        if (moveWork && role == EngineRole.DECODE) {
            shed();
        }
        tick(nowNanos);
    }

    void onDraining(boolean draining, boolean moveWork, long nowNanos) {
        moveAll = draining && moveWork;
        tick(nowNanos);
    }

    void tick(long nowNanos) {
        if (table.size() == 0) {
            return;
        }
        if (moveAll) {
            shed();
        }
        if (moveAll || moveDecodes) {
            askOwners(nowNanos);
        }
    }

    private void shed() {
        engine.offer(new EngineCommand.Shed());
    }

    private void askOwners(long nowNanos) {
        int moving = 0;
        for (Work work : table.all()) {
            moving += asked(work, nowNanos) || moves.moving(work) ? 1 : 0;
        }
        for (Work work : table.all()) {
            boolean decodes = work.kind == WorkerMessage.Kind.GENERATE || work.nextTokens != null;
            boolean movable =
                    decodes && !work.cancelled && !work.ended && !asked(work, nowNanos) && !moves.moving(work);
            if (moving < maxMoves && movable) {
                work.moveAskedNanos = nowNanos;
                RequestTarget t = work.target;
                t.hub().tell(new RequestMessage.MoveAway(gpuId, t.requestId(), t.attempt()));
                moving++;
            }
        }
    }

    private static boolean asked(Work work, long nowNanos) {
        return work.moveAskedNanos != 0 && nowNanos - work.moveAskedNanos < ASK_AGAIN_NANOS;
    }
}
