package io.tandem.request;

import io.tandem.GenerationException.Kind;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.routing.Route;
import io.tandem.transfer.TransferFailure;
import io.tandem.worker.WorkerMessage;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiPredicate;

/**
 * The life of one request as a plain state machine: events in, effects out, no clock and no actor. It reaches exactly one
 * terminal state, and on the way there every worker that may hold something for it is told to let go.
 *
 * <p>Each dispatch is an attempt with a number of its own; what comes back from an earlier attempt is ignored, and a token
 * is taken only at the index where the output ends. A resumed request starts from prompt + output so far, and since tokens
 * are a function of (seed, position), it continues the very sequence it began.
 */
public final class RequestLifecycle {

    /** Where a request stands. */
    public enum Phase {
        /** Between two attempts. */
        WAITING,
        /** Prompt and output on one GPU. */
        TOGETHER,
        /** Prompt on one GPU, room being made on another. */
        SPLIT,
        /** The decode GPU has the blocks. */
        ADOPTED,
        OVER
    }

    private final SequenceSpec spec;
    private final RequestOutput output;
    private final RunningFigures figures = new RunningFigures();
    private final LiveMoves moves;
    private final Attempts attempts;

    /** Why there was no route when one was looked for last; else empty. */
    private String unserved = "";

    /** Tokens that the attempt before had told when it ended with some missing here. */
    private int toldAtTheEnd;

    /** @param maxAttempts without a token between them */
    public RequestLifecycle(SequenceSpec spec, int maxAttempts) {
        this.spec = spec;
        output = new RequestOutput(spec);
        moves = new LiveMoves(output, figures);
        attempts = new Attempts(output, figures, moves, maxAttempts);
    }

    public Phase phase() {
        return attempts.phase();
    }

    public boolean over() {
        return phase() == Phase.OVER;
    }

    /** The latest one; null before the first. */
    private Attempt attempt() {
        return attempts.latest();
    }

    /** Tokens the next attempt has to have in KV before it can go on: the prompt and the output so far. */
    public int[] tokensToCompute() {
        return output.context();
    }

    /** GPUs that refused or failed this request. */
    public Set<String> avoid() {
        return attempts.avoid();
    }

    public int outputTokens() {
        return output.count();
    }

    public int[] output() {
        return output.toArray();
    }

    /** The figures of the report that this class knows. */
    public RequestFigures figures() {
        return figures.now();
    }

    // ---- attempts

    /** A route was found, at the start or after {@link RequestEffect.RetryLater}. */
    public List<RequestEffect> onRoute(Route route, RequestTarget target, long timeLeftMillis) {
        List<RequestEffect> effects = new ArrayList<>();
        if (phase() != Phase.WAITING) {
            return effects;
        }
        unserved = "";
        attempts.begin(route, target);
        toldAtTheEnd = 0;
        figures.routed(route, output.count() > 0);
        if (route.split()) {
            dispatch(effects, WorkerMessage.Kind.RESERVE, route.decodeGpu(), route.decodeEpoch(), timeLeftMillis);
            dispatch(effects, WorkerMessage.Kind.PREFILL, route.prefillGpu(), route.prefillEpoch(), timeLeftMillis);
        } else {
            dispatch(effects, WorkerMessage.Kind.GENERATE, route.decodeGpu(), route.decodeEpoch(), timeLeftMillis);
        }
        return effects;
    }

    /**
     * None was found: one that has begun waits for a worker.
     *
     * @param why for people
     */
    public List<RequestEffect> onNoRoute(String why) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (phase() != Phase.WAITING) {
            return effects;
        }
        if (attempt() == null) {
            attempts.fail(effects, Kind.UNAVAILABLE, why, "");
        } else {
            unserved = why;
            effects.add(new RequestEffect.RetryLater());
        }
        return effects;
    }

    private void dispatch(
            List<RequestEffect> effects, WorkerMessage.Kind kind, String gpu, long epoch, long timeLeftMillis) {
        effects.add(new RequestEffect.Count(gpu, 1));
        effects.add(new RequestEffect.Tell(
                gpu, new WorkerMessage.Dispatch(kind, epoch, attempt().target(), output.rest(), timeLeftMillis)));
    }

    private RequestTarget named(int ofAttempt) {
        return new RequestTarget(attempt().target().hub(), attempt().target().requestId(), ofAttempt);
    }

    /** One token of the output. */
    public List<RequestEffect> onToken(
            int ofAttempt, String gpu, int token, int index, float logprob, int[] topIds, float[] topLogprobs) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (moves.is(ofAttempt)) {
            commitMove(effects);
        }
        boolean late = overtaken(ofAttempt, index);
        if (attempts.stale(ofAttempt) && !late) {
            stopLeftover(effects, ofAttempt, gpu);
            return effects;
        }
        attempt().heard(gpu);
        if (index < output.count()) {
            return effects;
        }
        if (index > output.count()) {
            attempts.resume(effects, gpu, "a token is missing");
            return effects;
        }
        output.add(token);
        attempts.bringsTokens();
        effects.add(new RequestEffect.Emit(index, token, logprob, topIds, topLogprobs));
        if (phase() == Phase.SPLIT && attempt().prefillsOn(gpu) && !output.isComplete()) {
            attempt().adopt(effects, token);
        }
        if (late && output.isComplete()) {
            attempts.finish(effects, output.reason(), gpu);
        }
        return effects;
    }

    /** The end of its attempt overtook this token, which nobody computes anew yet. */
    private boolean overtaken(int ofAttempt, int index) {
        return phase() == Phase.WAITING
                && index < toldAtTheEnd
                && ofAttempt == attempt().number()
                && index == output.count();
    }

    /** A worker that goes on with an attempt that is over, because a message to it was lost. */
    private void stopLeftover(List<RequestEffect> effects, int ofAttempt, String gpu) {
        if (attempt() != null && ofAttempt < attempt().number()) {
            effects.add(new RequestEffect.Tell(gpu, new WorkerMessage.CancelWork(named(ofAttempt))));
        }
    }

    // ---- what workers say

    /** What a worker says of this request. */
    public List<RequestEffect> on(RequestMessage.OfRequest message) {
        if (moves.is(message.attempt())) {
            return onNewWorker(message);
        }
        return switch (message) {
            case RequestMessage.Ended m -> onEnded(m);
            case RequestMessage.KvReserved m -> onKvReserved(m);
            case RequestMessage.KvAdopted m -> onKvAdopted(m);
            case RequestMessage.KvFailed m -> onKvFailed(m);
            case RequestMessage.Refused m -> onRefused(m);
            case RequestMessage.WorkState m -> onWorkState(m);
            case RequestMessage.MoveAway m -> onMoveAway(m);
            case RequestMessage.MoveReserved ignored -> List.of();
            case RequestMessage.Paused m -> onPaused(m);
            case RequestMessage.MoveFailed m -> onMoveFailed(m);
        };
    }

    private List<RequestEffect> onNewWorker(RequestMessage.OfRequest message) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (moves.fromNewWorker(effects, message)) {
            commitMove(effects);
            if (message instanceof RequestMessage.Ended ended) {
                effects.addAll(onEnded(ended));
            }
        }
        return effects;
    }

    private List<RequestEffect> onKvReserved(RequestMessage.KvReserved m) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (!attempts.stale(m.attempt()) && phase() == Phase.SPLIT) {
            attempt().reserved(effects, m);
        }
        return effects;
    }

    private List<RequestEffect> onKvAdopted(RequestMessage.KvAdopted m) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (!attempts.stale(m.attempt()) && phase() == Phase.SPLIT) {
            attempts.adopted();
            figures.transferred(m.stats());
            effects.add(new RequestEffect.Count(attempt().route().prefillGpu(), -1));
        }
        return effects;
    }

    private List<RequestEffect> onKvFailed(RequestMessage.KvFailed m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (!attempts.stale(m.attempt()) && phase() == Phase.SPLIT) {
            figures.transferFailed(m.stats());
            if (m.failure() == TransferFailure.NOT_CONNECTED) {
                parted(effects);
            } else {
                attempts.resume(effects, "", "the transfer failed: " + m.failure());
            }
        }
        return effects;
    }

    /** Both workers are well, as far as anybody knows, and do not reach each other: others do, and need not be waited for. */
    private void parted(List<RequestEffect> effects) {
        Route route = attempt().route();
        effects.add(new RequestEffect.Parted(route));
        attempts.resume(
                effects,
                "",
                "no way for blocks from " + route.prefillGpu() + " to " + route.decodeGpu(),
                new RequestEffect.Reroute());
    }

    private List<RequestEffect> onEnded(RequestMessage.Ended m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (attempts.stale(m.attempt())) {
            return effects;
        }
        attempt().heard(m.gpuId());
        figures.cached(m.stats().cachedTokens());
        if (phase() == Phase.ADOPTED && !attempt().decodesOn(m.gpuId())) {
            // The prefill worker, whose blocks are where they are needed.
            return effects;
        }
        if (m.publishedTokens() > output.count()) {
            attempts.resume(effects, m.gpuId(), "a token is missing");
            toldAtTheEnd = m.publishedTokens();
            return effects;
        }
        switch (m.reason()) {
            case PREFILLED -> attempt().prefillHasEnded();
            case STOP -> attempts.finish(effects, m.reason(), m.gpuId());
            case LENGTH -> {
                if (output.isComplete()) {
                    attempts.finish(effects, m.reason(), m.gpuId());
                } else {
                    attempts.giveBack(effects, m.gpuId(), m.gpuId() + " holds no longer sequence");
                }
            }
            case DEADLINE -> attempts.resume(effects, m.gpuId(), "the worker says that its time is over");
            case CANCELLED -> {
                // Cancelled by its worker, which loses its GPU or gives up a transfer; our own cancel ended the
                // attempt.
                attempts.resume(effects, m.gpuId(), "the worker gave the sequence up");
            }
            case ERROR -> attempts.resume(effects, m.gpuId(), m.detail());
            case SHED -> attempts.giveBack(effects, m.gpuId(), m.gpuId() + " gave it back");
        }
        return effects;
    }

    private List<RequestEffect> onRefused(RequestMessage.Refused m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (attempts.stale(m.attempt())) {
            return effects;
        }
        if (m.reason() == RefusalReason.TOO_LONG && output.count() > 0) {
            attempts.finish(effects, FinishReason.LENGTH, m.gpuId());
            return effects;
        }
        if (m.reason() == RefusalReason.TOO_LONG) {
            attempts.fail(effects, Kind.CONTEXT_OVERFLOW, m.detail(), m.gpuId());
            return effects;
        }
        boolean full = m.reason() != RefusalReason.BAD_KEY && m.reason() != RefusalReason.FAILED;
        // A client that has tokens already waits for room as long as its deadline allows.
        if (full && output.count() > 0) {
            attempts.findsNoRoom();
        }
        attempts.resume(effects, m.gpuId(), m.reason() + ": " + m.detail());
        return effects;
    }

    // ---- against lost messages and workers

    /**
     * Called now and then: asks every worker that has been silent since the last call, and gives up what needs a worker that is
     * gone and whose loss was told before the request went there.
     *
     * @param live whether an incarnation of a GPU is there
     */
    public List<RequestEffect> onQuiet(BiPredicate<String, Long> live) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (!attempts.runs()) {
            return effects;
        }
        Optional<String> gone = attempt().gone(live, phase() == Phase.SPLIT);
        if (gone.isPresent()) {
            attempts.resume(effects, gone.get(), "worker " + gone.get() + " is lost");
            return effects;
        }
        attempt().askSilent(effects, phase() == Phase.SPLIT);
        moves.onQuiet(effects, live);
        return effects;
    }

    /** What a worker has of this request; what it should have and has not is told again, or given up. */
    private List<RequestEffect> onWorkState(RequestMessage.WorkState m) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (attempts.stale(m.attempt())) {
            return effects;
        }
        boolean decode = attempt().decodesOn(m.gpuId());
        if (m.publishedTokens() > output.count()) {
            attempts.resume(effects, m.gpuId(), "a token is missing");
        } else if (!m.known()
                && !decode
                && (phase() == Phase.ADOPTED || attempt().prefillEnded())) {
            attempt().prefillIsGone();
        } else if (!m.known()) {
            attempts.resume(effects, m.gpuId(), "the worker knows nothing of it");
        } else if (phase() == Phase.SPLIT && attempt().transferLost(m)) {
            attempts.resume(effects, "", "the transfer ended on one side only");
        } else if (phase() == Phase.SPLIT) {
            attempt().tellAgain(effects, m);
        } else if (decode) {
            moves.onOldWorkState(effects, m);
        }
        return effects;
    }

    /** A worker has something of an attempt; it is told to let go when that is not wanted any more. */
    public List<RequestEffect> onHeld(String gpuId, int ofAttempt) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (moves.wanted(ofAttempt, gpuId)) {
            return effects;
        }
        boolean wanted = !attempts.stale(ofAttempt) && attempt().needs(gpuId, phase() == Phase.SPLIT);
        if (!wanted && attempt() != null) {
            effects.add(new RequestEffect.Tell(gpuId, new WorkerMessage.CancelWork(named(ofAttempt))));
        }
        return effects;
    }

    /** A worker is lost; it matters when this attempt needs it still. Nothing is waited for: the router knows it as well. */
    public List<RequestEffect> onWorkerLost(String gpuId, long epoch, String why) {
        List<RequestEffect> effects = new ArrayList<>();
        if (!attempts.runs()) {
            return effects;
        }
        moves.onWorkerLost(effects, gpuId, epoch);
        if (attempt().needs(gpuId, phase() == Phase.SPLIT) && attempt().isEpoch(gpuId, epoch)) {
            attempts.resume(effects, gpuId, "worker " + gpuId + " is lost: " + why, new RequestEffect.Reroute());
        }
        return effects;
    }

    // ---- live moves

    /** The worker would rather have it elsewhere; answered by {@link #onMoveRoute} after {@link RequestEffect.FindMove}. */
    private List<RequestEffect> onMoveAway(RequestMessage.MoveAway m) {
        boolean movable = !attempts.stale(m.attempt())
                && attempts.decodes()
                && !moves.underWay()
                && output.count() > spec.resumedTokens();
        if (!movable || !attempt().decodesOn(m.gpuId())) {
            return List.of();
        }
        int context = spec.tokens().length + output.count();
        return List.of(new RequestEffect.FindMove(m.gpuId(), context, spec.promptTokens() + spec.maxNewTokens()));
    }

    /**
     * A new worker was looked for.
     *
     * @param target names an attempt of its own
     * @param timeLeftMillis of the request
     */
    public List<RequestEffect> onMoveRoute(Optional<Route> found, RequestTarget target, long timeLeftMillis) {
        List<RequestEffect> effects = new ArrayList<>();
        if (found.isEmpty() || !attempts.decodes() || moves.underWay() || output.isComplete()) {
            return effects;
        }
        moves.begin(effects, attempt(), found.get(), target, timeLeftMillis);
        return effects;
    }

    private List<RequestEffect> onPaused(RequestMessage.Paused m) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (!attempts.stale(m.attempt()) && !moves.onPaused(effects, m)) {
            attempts.resume(effects, m.gpuId(), "a token is missing");
        }
        return effects;
    }

    private List<RequestEffect> onMoveFailed(RequestMessage.MoveFailed m) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (!attempts.stale(m.attempt())) {
            moves.onFailed(effects, m);
        }
        return effects;
    }

    private void commitMove(List<RequestEffect> effects) {
        attempts.moved(moves.commit(effects));
    }

    // ---- ends

    /** The client is gone or wants no more. */
    public List<RequestEffect> onCancel() {
        return attempts.endEverywhere(new RequestEffect.Finish(FinishReason.CANCELLED));
    }

    /** A stop text was found: the output ends here although the model would go on. */
    public List<RequestEffect> onStopText() {
        return attempts.endEverywhere(new RequestEffect.Finish(FinishReason.STOP));
    }

    public List<RequestEffect> onDeadline() {
        return attempts.endEverywhere(new RequestEffect.Fail(
                Kind.DEADLINE,
                "the request's time is over after " + output.count() + " output tokens"
                        + (unserved.isEmpty() ? "" : ": " + unserved)));
    }
}
