package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferFailure;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Sequences on their way from this GPU to another one. Whole blocks are copied while the sequence decodes on; when they are
 * acknowledged it is paused, its last blocks follow, and its owner decides: cancelled here because it runs there, or kept. The
 * engine holds every block that is read until the transport has said that it reads no more, whatever becomes of the
 * sequence, and a paused sequence goes on only then.
 */
final class OutgoingMoves {
    private static final long COPY_NANOS_MAX = TimeUnit.SECONDS.toNanos(20);

    /** A paused sequence that nobody claims goes on after this long. */
    private static final long PAUSE_NANOS_MAX = TimeUnit.SECONDS.toNanos(2);

    private enum Stage {
        /** Whole blocks move; the sequence runs. */
        WHOLE,
        /** The engine is asked to pause it. */
        PAUSING,
        /** It is paused and its last blocks move. */
        TAIL,
        /** All is there; the owner has the word. */
        SENT
    }

    private static final class Move {
        final long exportKey;
        final Work work;
        final WorkerMessage.MoveOut to;
        long untilNanos;
        Stage stage = Stage.WHOLE;
        /** The engine has pinned blocks for it. */
        boolean exported;

        boolean paused;
        /** What moves now, or moved last. */
        OutgoingLease out;

        int[] blockIds = {};
        /** Blocks that go out on it. */
        int firstBlock;

        int endBlock;
        /** Set when it ends before all is sent. */
        String failure = "";

        /** That is because no blocks found a way. */
        boolean noWay;

        Move(long exportKey, Work work, WorkerMessage.MoveOut to, long untilNanos) {
            this.exportKey = exportKey;
            this.work = work;
            this.to = to;
            this.untilNanos = untilNanos;
        }

        /** A transfer or a copy reads the blocks. */
        boolean isRead() {
            return out != null && !out.isIdle();
        }
    }

    private final String gpuId;
    private final OutgoingLease.Ways ways;
    private final Consumer<EngineCommand> engine;
    private final Map<Long, Move> moves = new HashMap<>();
    private final Map<Work, Move> byWork = new HashMap<>();
    private long nowNanos;

    OutgoingMoves(String gpuId, OutgoingLease.Ways ways, Consumer<EngineCommand> engine) {
        this.gpuId = gpuId;
        this.ways = ways;
        this.engine = engine;
    }

    int size() {
        return moves.size();
    }

    /** Exports whose blocks a transfer reads now. */
    List<Long> beingRead() {
        return moves.values().stream()
                .filter(Move::isRead)
                .map(m -> m.exportKey)
                .toList();
    }

    boolean moving(Work work) {
        return byWork.containsKey(work);
    }

    void start(long exportKey, Work work, WorkerMessage.MoveOut to, long now) {
        nowNanos = now;
        if (byWork.containsKey(work)) {
            return;
        }
        Move move = new Move(exportKey, work, to, now + COPY_NANOS_MAX);
        moves.put(exportKey, move);
        byWork.put(work, move);
        work.moveLease = to.lease();
        engine.accept(new EngineCommand.Export(work.key, exportKey));
    }

    /** The owner wants the sequence to stay. */
    void callOff(Work work) {
        Move move = byWork.get(work);
        if (move != null) {
            fail(move, "called off");
        }
    }

    /** The sequence is over here: its blocks stay pinned until nothing reads them. */
    void gone(Work work) {
        Move move = byWork.get(work);
        if (move != null) {
            move.paused = false;
            fail(move, "the sequence is over");
        }
    }

    void tick(long now) {
        nowNanos = now;
        sendUnsentBlocks();
        for (Move move : List.copyOf(moves.values())) {
            if (now - move.untilNanos >= 0 && move.failure.isEmpty()) {
                fail(move, "not done in time");
            }
        }
    }

    /** There may be room where there was none. */
    void sendUnsentBlocks() {
        for (Move move : List.copyOf(moves.values())) {
            goOn(move);
        }
    }

    void onExported(long exportKey, int[] blockIds) {
        Move move = moves.get(exportKey);
        if (move == null) {
            engine.accept(new EngineCommand.EndExport(exportKey));
            return;
        }
        move.exported = true;
        move.blockIds = blockIds;
        if (!move.failure.isEmpty()) {
            end(move);
        } else if (blockIds.length < move.to.wholeBlocks()) {
            fail(move, "it lost blocks meanwhile");
        } else if (move.to.cachedBlocks() >= move.to.wholeBlocks()) {
            pause(move);
        } else {
            open(move, move.to.lease(), move.to.cachedBlocks(), move.to.wholeBlocks());
        }
    }

    private void pause(Move move) {
        move.stage = Stage.PAUSING;
        move.untilNanos = nowNanos + PAUSE_NANOS_MAX;
        engine.accept(new EngineCommand.Pause(move.work.key, move.exportKey));
    }

    void onPaused(long exportKey, int[] blockIds) {
        Move move = moves.get(exportKey);
        if (move == null) {
            return;
        }
        move.paused = true;
        move.blockIds = blockIds;
        move.stage = Stage.TAIL;
        int first = move.to.wholeBlocks();
        if (!move.failure.isEmpty()) {
            end(move);
        } else if (blockIds.length - first > move.to.tailBlocks()) {
            fail(move, "it grew faster than its blocks moved");
        } else {
            // The receiver wants one block at least; when the last one is just full, any content does.
            int from = Math.min(first, blockIds.length - 1);
            open(move, move.to.tailLease(), from, blockIds.length);
        }
    }

    private void open(Move move, LeaseId lease, int from, int to) {
        move.firstBlock = from;
        move.endBlock = to;
        move.out = new OutgoingLease(ways, lease, move.exportKey, to - from, () -> goOn(move));
        OpenResult opened = move.out.open(move.to.endpoint(), move.work.deadlineNanos);
        if (opened == OpenResult.OPENED) {
            goOn(move);
        } else {
            move.noWay = opened == OpenResult.UNREACHABLE;
            fail(move, "cannot send: " + opened);
        }
    }

    /** Sends what has not gone yet; what does not fit goes at the next tick. */
    private void goOn(Move move) {
        if (move.out == null) {
            return;
        }
        if (move.failure.isEmpty()) {
            move.out.send(move.blockIds, move.firstBlock, move.endBlock - move.firstBlock);
        } else {
            end(move);
        }
    }

    /** False when it is no move's. */
    boolean onAcknowledged(long exportKey) {
        Move move = moves.get(exportKey);
        if (move == null) {
            return false;
        }
        move.out.over();
        if (!move.failure.isEmpty()) {
            end(move);
        } else if (move.stage == Stage.WHOLE) {
            pause(move);
        } else {
            move.stage = Stage.SENT;
        }
        return true;
    }

    /** False when it is no move's. */
    boolean onPushFailed(long exportKey, TransferFailure failure) {
        Move move = moves.get(exportKey);
        if (move == null) {
            return false;
        }
        move.out.over();
        move.noWay = failure == TransferFailure.NOT_CONNECTED;
        fail(move, "the transfer failed: " + failure);
        return true;
    }

    /** The engine does not export or pause it; false when it is no move's. */
    boolean onRefused(long exportKey, String detail) {
        Move move = moves.get(exportKey);
        if (move == null) {
            return false;
        }
        // It owes no answer any more. Ending an export that never began is harmless.
        move.exported = true;
        move.stage = move.stage == Stage.PAUSING ? Stage.TAIL : move.stage;
        fail(move, detail);
        return true;
    }

    private void fail(Move move, String why) {
        if (move.failure.isEmpty()) {
            move.failure = why;
        }
        if (move.out != null && move.out.isOpen()) {
            move.out.abort();
        } else {
            end(move);
        }
    }

    /** Nothing reads the blocks any more, and the engine owes no answer. */
    private void end(Move move) {
        boolean answerOwed = !move.exported || move.stage == Stage.PAUSING;
        if (answerOwed || move.isRead() || moves.remove(move.exportKey) == null) {
            return;
        }
        byWork.remove(move.work);
        engine.accept(new EngineCommand.EndExport(move.exportKey));
        if (move.paused) {
            engine.accept(new EngineCommand.Resume(move.work.key));
        }
        if (move.stage != Stage.SENT || move.paused) {
            RequestTarget t = move.work.target;
            t.hub()
                    .tell(new RequestMessage.MoveFailed(
                            gpuId, t.requestId(), t.attempt(), move.to.lease(), move.noWay, move.failure));
        }
    }
}
