package io.tandem.request;

import io.tandem.engine.FinishReason;
import io.tandem.routing.Route;
import io.tandem.worker.WorkerMessage;
import java.util.List;
import java.util.function.BiPredicate;

/**
 * The live moves of one request, of which at most one is under way: what the worker it leaves and the worker it goes to say, until it
 * runs there or stays. {@link RequestLifecycle} is told of nothing else, and takes over what runs there.
 */
final class LiveMoves {
    private final RequestOutput output;
    private final RunningFigures figures;

    /** Null = none is under way. */
    private RequestMove move;

    LiveMoves(RequestOutput output, RunningFigures figures) {
        this.output = output;
        this.figures = figures;
    }

    boolean underWay() {
        return move != null;
    }

    /** Whether an attempt is what a move wants to become. */
    boolean is(int attempt) {
        return move != null && move.isAttempt(attempt);
    }

    /** Whether a worker has rightly something of that attempt. */
    boolean wanted(int attempt, String gpuId) {
        return is(attempt) && gpuId.equals(move.to());
    }

    void begin(List<RequestEffect> effects, Attempt here, Route to, RequestTarget target, long timeLeftMillis) {
        move = new RequestMove(here, to, target, output.count());
        effects.add(new RequestEffect.Count(to.decodeGpu(), 1));
        effects.add(new RequestEffect.Tell(
                to.decodeGpu(),
                new WorkerMessage.Dispatch(
                        WorkerMessage.Kind.MIGRATE, to.decodeEpoch(), target, output.rest(), timeLeftMillis)));
    }

    /** What the new worker says; answers whether the sequence runs, or ran, there: then {@link #commit} follows. */
    boolean fromNewWorker(List<RequestEffect> effects, RequestMessage.OfRequest message) {
        switch (message) {
            case RequestMessage.MoveReserved m -> move.onReserved(effects, m);
            case RequestMessage.KvAdopted m -> {
                figures.transferred(m.stats());
                return true;
            }
            case RequestMessage.KvFailed m -> {
                figures.transferFailed(m.stats());
                keepHere(effects, true);
            }
            case RequestMessage.Refused ignored -> keepHere(effects, true);
            case RequestMessage.WorkState m -> {
                if (!m.known()) {
                    keepHere(effects, true);
                }
            }
            case RequestMessage.Ended m -> {
                if (m.reason() == FinishReason.STOP || m.reason() == FinishReason.LENGTH) {
                    return true;
                }
                keepHere(effects, true);
            }
            case RequestMessage.KvReserved ignored -> {}
            case RequestMessage.MoveAway ignored -> {}
            case RequestMessage.Paused ignored -> {}
            case RequestMessage.MoveFailed ignored -> {}
        }
        return false;
    }

    /** The old worker has halted the sequence; false when a token of it is missing. */
    boolean onPaused(List<RequestEffect> effects, RequestMessage.Paused m) {
        if (move == null || !move.isLease(m.lease())) {
            return true;
        }
        if (m.outputTokens() != output.count()) {
            return false;
        }
        move.onPaused(effects, output);
        return true;
    }

    /** The old worker gave the move up and goes on. */
    void onFailed(List<RequestEffect> effects, RequestMessage.MoveFailed m) {
        if (move != null && move.isLease(m.lease())) {
            if (m.noWay()) {
                effects.add(new RequestEffect.Parted(move.way()));
            }
            drop(effects);
        }
    }

    /** What the old worker has; a move that it should know of and does not is given up. */
    void onOldWorkState(List<RequestEffect> effects, RequestMessage.WorkState m) {
        if (move != null && move.isLost(m)) {
            keepHere(effects, false);
        }
    }

    /** Called now and then: asks both workers, and gives up what needs one that is gone. */
    void onQuiet(List<RequestEffect> effects, BiPredicate<String, Long> live) {
        if (move != null && !live.test(move.to(), move.toEpoch())) {
            keepHere(effects, true);
        } else if (move != null) {
            move.ask(effects);
        }
    }

    void onWorkerLost(List<RequestEffect> effects, String gpuId, long epoch) {
        if (move != null && move.to().equals(gpuId) && move.toEpoch() == epoch) {
            keepHere(effects, true);
        }
    }

    /** It runs at the new worker: answers the attempt it is now. */
    Attempt commit(List<RequestEffect> effects) {
        RequestMove done = move;
        move = null;
        done.commit(effects);
        figures.moved(done.to());
        effects.add(new RequestEffect.Moved(done.to()));
        return done.attemptThere();
    }

    /** The new worker is to forget it; the old one needs no word. */
    void drop(List<RequestEffect> effects) {
        if (move != null) {
            move.drop(effects, false);
            move = null;
        }
    }

    private void keepHere(List<RequestEffect> effects, boolean newWorkerKnows) {
        move.keep(effects, newWorkerKnows);
        move = null;
    }
}
