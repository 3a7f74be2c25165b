package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * What of a worker's work is to run elsewhere: everything when it is drained, its decodes when it takes prompts, its waiting prompts
 * when it decodes. Owners are asked to move what decodes, a few at a time and each again after a while, those first that were not
 * asked for longest, so that one which finds no place holds up no other. What has not begun is given back at once, and so is
 * what comes from nodes that do not know of the change yet.
 */
final class Departures {
    private static final long ASK_AGAIN_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private static final Comparator<Work> LONGEST_UNASKED =
            Comparator.<Work, Boolean>comparing(w -> w.moveAskedNanos != 0).thenComparingLong(w -> w.moveAskedNanos);

    private final String gpuId;
    private final WorkTable table;
    private final OutgoingMoves moves;
    private final WorkBook.Commands engine;
    private final int maxMoves;

    /** Drained: everything is to run elsewhere. */
    private boolean moveAll;

    /** Its role takes prompts now: decodes are to run elsewhere. */
    private boolean moveDecodes;

    /** Its role takes no prompts for others now. */
    private boolean givePromptsBack;

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
        givePromptsBack = moveWork && role == EngineRole.DECODE;
        if (givePromptsBack) {
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
        } else if (givePromptsBack) {
            givePromptsBack();
        }
        if (moveAll || moveDecodes) {
            askOwners(nowNanos);
        }
    }

    private void shed() {
        engine.offer(new EngineCommand.Shed());
    }

    /** A whole request that waits here is left: a worker that decodes takes those too. */
    private void givePromptsBack() {
        for (Work work : table.all()) {
            boolean begun = work.prefilled || work.wholeBlocks > 0 || work.blocksUnderWay > 0;
            if (work.kind == WorkerMessage.Kind.PREFILL && !begun && !work.cancelled && !work.ended) {
                engine.offer(new EngineCommand.GiveBack(work.key));
            }
        }
    }

    private void askOwners(long nowNanos) {
        int moving = 0;
        List<Work> movable = new ArrayList<>();
        for (Work work : table.all()) {
            if (asked(work, nowNanos) || moves.moving(work)) {
                moving++;
            } else if (decodes(work) && !work.cancelled && !work.ended) {
                movable.add(work);
            }
        }
        movable.sort(LONGEST_UNASKED);
        for (Work work : movable.subList(0, Math.clamp(maxMoves - moving, 0, movable.size()))) {
            work.moveAskedNanos = nowNanos;
            RequestTarget t = work.target;
            t.hub().tell(new RequestMessage.MoveAway(gpuId, t.requestId(), t.attempt()));
        }
    }

    /** Its prompt is computed, so that there is something to move. */
    private static boolean decodes(Work work) {
        return work.nextTokens != null || work.kind == WorkerMessage.Kind.GENERATE && work.publishedTokens > 0;
    }

    private static boolean asked(Work work, long nowNanos) {
        return work.moveAskedNanos != 0 && nowNanos - work.moveAskedNanos < ASK_AGAIN_NANOS;
    }
}
