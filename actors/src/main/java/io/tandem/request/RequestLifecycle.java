package io.tandem.request;

import io.tandem.GenerationException.Kind;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.routing.Route;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.WorkerMessage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
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

    private static final WorkerMessage.Kind WHOLE = WorkerMessage.Kind.GENERATE;

    private final SequenceSpec spec;
    private final int maxAttempts;
    private final Set<String> avoid = new HashSet<>();
    private Phase phase = Phase.WAITING;
    private Route route;
    private RequestTarget target;
    private int attempt;
    private int failures;
    private int[] output = new int[64];
    private int outputTokens;
    private RequestMove move;
    private boolean pushTold;
    private boolean prefillEnded;

    // Against lost messages: what was told, to be told again, and whom we heard of since the last look.
    private RequestEffect push;
    private RequestEffect adopt;
    private boolean heardDecode;
    private boolean heardPrefill;
    private boolean prefillGone;
    private boolean askedSincePrefillGone;

    // For the report.
    private int cachedTokens = -1;
    private int resumes;
    private int kvBlocks;
    private long kvBytes;
    private long kvNanos;
    private int checksumFailures;
    private String prefillGpu = "";
    private String decodeGpu = "";
    private boolean split;
    private String reason = "";

    /** @param maxAttempts without a token between them */
    public RequestLifecycle(SequenceSpec spec, int maxAttempts) {
        this.spec = spec;
        this.maxAttempts = maxAttempts;
    }

    public Phase phase() {
        return phase;
    }

    public boolean over() {
        return phase == Phase.OVER;
    }

    /** Tokens the next attempt has to have in KV before it can go on: the prompt and the output so far. */
    public int[] tokensToCompute() {
        int[] tokens = Arrays.copyOf(spec.tokens(), spec.tokens().length + outputTokens);
        System.arraycopy(output, 0, tokens, spec.tokens().length, outputTokens);
        return tokens;
    }

    /** GPUs that refused or failed this request. */
    public Set<String> avoid() {
        return avoid;
    }

    public int outputTokens() {
        return outputTokens;
    }

    /** A route was looked for, at the start or after {@link RequestEffect.RetryLater}. */
    public List<RequestEffect> onRoute(Optional<Route> found, RequestTarget newTarget, long timeLeftMillis) {
        List<RequestEffect> effects = new ArrayList<>();
        if (phase != Phase.WAITING) {
            return effects;
        }
        if (found.isEmpty()) {
            noWorker(effects);
            return effects;
        }
        route = found.get();
        attempt = newTarget.attempt();
        target = newTarget;
        pushTold = false;
        prefillEnded = false;
        push = null;
        adopt = null;
        heardDecode = true;
        heardPrefill = true;
        prefillGone = false;
        askedSincePrefillGone = false;
        prefillGpu = prefillGpu.isEmpty() || outputTokens == 0 ? route.prefillGpu() : prefillGpu;
        decodeGpu = route.decodeGpu();
        split |= route.split();
        reason = route.reason();
        SequenceSpec now = resumed();
        if (route.split()) {
            phase = Phase.SPLIT;
            dispatch(effects, WorkerMessage.Kind.RESERVE, route.decodeGpu(), route.decodeEpoch(), now, timeLeftMillis);
            dispatch(
                    effects, WorkerMessage.Kind.PREFILL, route.prefillGpu(), route.prefillEpoch(), now, timeLeftMillis);
        } else {
            phase = Phase.TOGETHER;
            dispatch(effects, WHOLE, route.decodeGpu(), route.decodeEpoch(), now, timeLeftMillis);
        }
        return effects;
    }

    private void noWorker(List<RequestEffect> effects) {
        if (attempt == 0) {
            end(effects);
            effects.add(new RequestEffect.Fail(Kind.UNAVAILABLE, "no worker is ready to serve this model"));
        } else {
            effects.add(new RequestEffect.RetryLater());
        }
    }

    private void dispatch(
            List<RequestEffect> effects,
            WorkerMessage.Kind kind,
            String gpu,
            long epoch,
            SequenceSpec now,
            long timeLeftMillis) {
        effects.add(new RequestEffect.Count(gpu, 1));
        effects.add(new RequestEffect.Tell(gpu, new WorkerMessage.Dispatch(kind, epoch, target, now, timeLeftMillis)));
    }

    private SequenceSpec resumed() {
        if (outputTokens == 0) {
            return spec;
        }
        return new SequenceSpec(
                tokensToCompute(),
                spec.promptTokens(),
                spec.maxNewTokens(),
                spec.sampling(),
                spec.stopTokenIds(),
                spec.cacheSalt(),
                spec.deadlineNanos());
    }

    /** One token of the output. */
    public List<RequestEffect> onToken(
            int ofAttempt, String gpu, int token, int index, float logprob, int[] topIds, float[] topLogprobs) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (move != null && move.isAttempt(ofAttempt)) {
            commitMove(effects);
        }
        if (stale(ofAttempt)) {
            stopLeftover(effects, ofAttempt, gpu);
            return effects;
        }
        heard(gpu);
        if (index < outputTokens) {
            return effects;
        }
        if (index > outputTokens) {
            resume(effects, gpu, "a token is missing");
            return effects;
        }
        if (outputTokens == output.length) {
            output = Arrays.copyOf(output, 2 * output.length);
        }
        output[outputTokens++] = token;
        failures = 0;
        effects.add(new RequestEffect.Emit(index, token, logprob, topIds, topLogprobs));
        if (phase == Phase.SPLIT && gpu.equals(route.prefillGpu()) && !isLast(token)) {
            adopt = new RequestEffect.Tell(route.decodeGpu(), new WorkerMessage.AdoptKv(target, new int[] {token}));
            effects.add(adopt);
        }
        return effects;
    }

    /** A worker that goes on with an attempt that is over, because a message to it was lost. */
    private void stopLeftover(List<RequestEffect> effects, int ofAttempt, String gpu) {
        if (target != null && ofAttempt < attempt) {
            RequestTarget old = new RequestTarget(target.hub(), target.requestId(), ofAttempt);
            effects.add(new RequestEffect.Tell(gpu, new WorkerMessage.CancelWork(old)));
        }
    }

    private boolean isLast(int token) {
        return outputTokens >= spec.maxNewTokens() || isStop(token);
    }

    private boolean isStop(int token) {
        for (int stop : spec.stopTokenIds()) {
            if (stop == token) {
                return true;
            }
        }
        return false;
    }

    public List<RequestEffect> onKvReserved(RequestMessage.KvReserved m) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (!stale(m.attempt()) && phase == Phase.SPLIT && !pushTold) {
            heard(m.gpuId());
            pushTold = true;
            push = new RequestEffect.Tell(
                    route.prefillGpu(),
                    new WorkerMessage.PushKv(target, m.lease(), m.endpoint(), m.cachedBlocks(), m.totalBlocks()));
            effects.add(push);
        }
        return effects;
    }

    private void heard(String gpuId) {
        heardDecode |= gpuId.equals(route.decodeGpu());
        heardPrefill |= gpuId.equals(route.prefillGpu());
    }

    /**
     * Called now and then: asks every worker of this attempt that has been silent since the last call, and gives the attempt
     * up when one is gone whose loss was told before the request went there.
     *
     * @param live whether an incarnation of a GPU is there
     */
    public List<RequestEffect> onQuiet(BiPredicate<String, Long> live) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (phase == Phase.WAITING || phase == Phase.OVER) {
            return effects;
        }
        if (!live.test(route.decodeGpu(), route.decodeEpoch())) {
            return onWorkerLost(route.decodeGpu(), route.decodeEpoch());
        }
        if (phase == Phase.SPLIT && !live.test(route.prefillGpu(), route.prefillEpoch())) {
            return onWorkerLost(route.prefillGpu(), route.prefillEpoch());
        }
        if (!heardDecode) {
            effects.add(new RequestEffect.Tell(route.decodeGpu(), new WorkerMessage.AskWork(target)));
            askedSincePrefillGone = prefillGone;
        }
        if (phase == Phase.SPLIT && !heardPrefill) {
            effects.add(new RequestEffect.Tell(route.prefillGpu(), new WorkerMessage.AskWork(target)));
        }
        heardDecode = false;
        heardPrefill = false;
        return effects;
    }

    /** What a worker has of this attempt; what it should have and has not is told again, or the attempt is given up. */
    public List<RequestEffect> onWorkState(RequestMessage.WorkState m) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (stale(m.attempt())) {
            return effects;
        }
        boolean decode = m.gpuId().equals(route.decodeGpu());
        if (m.publishedTokens() > outputTokens) {
            resume(effects, m.gpuId(), "a token is missing");
        } else if (!m.known() && !decode && (phase == Phase.ADOPTED || prefillEnded)) {
            prefillGone = true;
        } else if (!m.known()) {
            resume(effects, m.gpuId(), "the worker knows nothing of it");
        } else if (phase == Phase.SPLIT) {
            if (decode && !m.arrived() && askedSincePrefillGone) {
                resume(effects, "", "the transfer ended on one side only");
            } else if (decode && !m.adoptTold() && adopt != null) {
                effects.add(adopt);
            } else if (!decode && !m.pushTold() && push != null) {
                effects.add(push);
            }
        }
        return effects;
    }

    /** A worker has something of an attempt; it is told to let go when that is not wanted any more. */
    public List<RequestEffect> onHeld(String gpuId, int ofAttempt) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (move != null && move.isAttempt(ofAttempt) && gpuId.equals(move.to())) {
            return effects;
        }
        boolean wanted = !stale(ofAttempt)
                && (gpuId.equals(route.decodeGpu()) || phase == Phase.SPLIT && gpuId.equals(route.prefillGpu()));
        if (!wanted && target != null) {
            effects.add(new RequestEffect.Tell(
                    gpuId,
                    new WorkerMessage.CancelWork(new RequestTarget(target.hub(), target.requestId(), ofAttempt))));
        }
        return effects;
    }

    public List<RequestEffect> onKvAdopted(RequestMessage.KvAdopted m) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (move != null && move.isAttempt(m.attempt())) {
            count(m.stats());
            commitMove(effects);
        } else if (!stale(m.attempt()) && phase == Phase.SPLIT) {
            phase = Phase.ADOPTED;
            count(m.stats());
            effects.add(new RequestEffect.Count(route.prefillGpu(), -1));
        }
        return effects;
    }

    public List<RequestEffect> onKvFailed(RequestMessage.KvFailed m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (move != null && move.isAttempt(m.attempt())) {
            checksumFailures += m.stats().checksumFailures();
            keepHere(effects, true);
        } else if (!stale(m.attempt()) && phase == Phase.SPLIT) {
            checksumFailures += m.stats().checksumFailures();
            resume(effects, "", "the transfer failed: " + m.failure());
        }
        return effects;
    }

    private void count(TransferStats stats) {
        kvBlocks += stats.blocks();
        kvBytes += stats.bytes();
        kvNanos += stats.nanos();
        checksumFailures += stats.checksumFailures();
    }

    /** What a worker says of this request. */
    public List<RequestEffect> on(RequestMessage.OfRequest message) {
        return switch (message) {
            case RequestMessage.Ended m -> onEnded(m);
            case RequestMessage.KvReserved m -> onKvReserved(m);
            case RequestMessage.KvAdopted m -> onKvAdopted(m);
            case RequestMessage.KvFailed m -> onKvFailed(m);
            case RequestMessage.Refused m -> onRefused(m);
            case RequestMessage.WorkState m -> onWorkState(m);
            case RequestMessage.MoveAway m -> onMoveAway(m);
            case RequestMessage.MoveReserved m -> onMoveReserved(m);
            case RequestMessage.Paused m -> onPaused(m);
            case RequestMessage.MoveFailed m -> onMoveFailed(m);
        };
    }

    public List<RequestEffect> onEnded(RequestMessage.Ended m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (move != null && move.isAttempt(m.attempt())) {
            onMoveEnded(effects, m);
            return effects;
        }
        if (stale(m.attempt())) {
            return effects;
        }
        heard(m.gpuId());
        if (cachedTokens < 0) {
            cachedTokens = m.stats().cachedTokens();
        }
        if (m.publishedTokens() > outputTokens) {
            resume(effects, m.gpuId(), "a token is missing");
            return effects;
        }
        switch (m.reason()) {
            case PREFILLED -> prefillEnded = true;
            case STOP, LENGTH -> finish(effects, m.reason(), m.gpuId());
            case DEADLINE -> resume(effects, m.gpuId(), "the worker says that its time is over");
            case CANCELLED -> {
                // Cancelled by its worker, which loses its GPU or gives up a transfer; our own cancel ended the
                // attempt.
                if (!(prefillEnded && phase == Phase.ADOPTED && m.gpuId().equals(route.prefillGpu()))) {
                    resume(effects, m.gpuId(), "the worker gave the sequence up");
                }
            }
            case ERROR -> resume(effects, m.gpuId(), m.detail());
            case SHED -> shed(effects, m.gpuId());
        }
        return effects;
    }

    /** What runs at the new worker ended there: done, unless it never ran. */
    private void onMoveEnded(List<RequestEffect> effects, RequestMessage.Ended m) {
        if (m.reason() == FinishReason.STOP || m.reason() == FinishReason.LENGTH) {
            commitMove(effects);
            effects.addAll(onEnded(m));
        } else {
            keepHere(effects, true);
        }
    }

    /** Given back unstarted: that is no failure. */
    private void shed(List<RequestEffect> effects, String gpu) {
        letGo(effects, gpu);
        uncount(effects);
        avoid.add(gpu);
        reason = gpu + " gave it back";
        phase = Phase.WAITING;
        effects.add(new RequestEffect.Reroute());
    }

    // ---- live moves

    /** The worker would rather have it elsewhere; answered by {@link #onMoveRoute} after {@link RequestEffect.FindMove}. */
    public List<RequestEffect> onMoveAway(RequestMessage.MoveAway m) {
        boolean decodes = phase == Phase.TOGETHER || phase == Phase.ADOPTED;
        boolean movable = !stale(m.attempt()) && decodes && move == null && outputTokens > spec.resumedTokens();
        return movable && route.decodeGpu().equals(m.gpuId())
                ? List.of(new RequestEffect.FindMove(m.gpuId()))
                : List.of();
    }

    /**
     * A new worker was looked for.
     *
     * @param newTarget names an attempt of its own
     * @param timeLeftMillis of the request
     */
    public List<RequestEffect> onMoveRoute(Optional<Route> found, RequestTarget newTarget, long timeLeftMillis) {
        List<RequestEffect> effects = new ArrayList<>();
        boolean decodes = phase == Phase.TOGETHER || phase == Phase.ADOPTED;
        if (found.isEmpty() || !decodes || move != null || outputTokens >= spec.maxNewTokens()) {
            return effects;
        }
        Route to = found.get();
        move = new RequestMove(route.decodeGpu(), target, to.decodeGpu(), to.decodeEpoch(), newTarget, outputTokens);
        effects.add(new RequestEffect.Count(to.decodeGpu(), 1));
        effects.add(new RequestEffect.Tell(
                to.decodeGpu(),
                new WorkerMessage.Dispatch(
                        WorkerMessage.Kind.MIGRATE, to.decodeEpoch(), newTarget, resumed(), timeLeftMillis)));
        return effects;
    }

    public List<RequestEffect> onMoveReserved(RequestMessage.MoveReserved m) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (move != null && move.isAttempt(m.attempt())) {
            move.onReserved(effects, m);
        }
        return effects;
    }

    public List<RequestEffect> onPaused(RequestMessage.Paused m) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (stale(m.attempt()) || move == null) {
            return effects;
        }
        if (m.outputTokens() != outputTokens) {
            resume(effects, m.gpuId(), "a token is missing");
        } else {
            move.onPaused(effects, output, outputTokens);
        }
        return effects;
    }

    public List<RequestEffect> onMoveFailed(RequestMessage.MoveFailed m) {
        List<RequestEffect> effects = new ArrayList<>(2);
        if (!stale(m.attempt()) && move != null) {
            move.drop(effects, false);
            move = null;
        }
        return effects;
    }

    private void commitMove(List<RequestEffect> effects) {
        RequestMove done = move;
        move = null;
        done.commit(effects);
        route = new Route(done.to(), done.toEpoch(), done.to(), done.toEpoch(), "moved from " + route.decodeGpu());
        attempt = done.target().attempt();
        target = done.target();
        phase = Phase.TOGETHER;
        heardDecode = true;
        decodeGpu = done.to();
        effects.add(new RequestEffect.Moved(done.to()));
    }

    private void keepHere(List<RequestEffect> effects, boolean newWorkerKnows) {
        move.keep(effects, newWorkerKnows);
        move = null;
    }

    private void finish(List<RequestEffect> effects, FinishReason why, String endedOn) {
        letGo(effects, endedOn);
        end(effects);
        effects.add(new RequestEffect.Finish(why));
    }

    public List<RequestEffect> onRefused(RequestMessage.Refused m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (move != null && move.isAttempt(m.attempt())) {
            keepHere(effects, true);
            return effects;
        }
        if (stale(m.attempt())) {
            return effects;
        }
        if (m.reason() == RefusalReason.TOO_LONG && outputTokens > 0) {
            finish(effects, FinishReason.LENGTH, m.gpuId());
            return effects;
        }
        if (m.reason() == RefusalReason.TOO_LONG) {
            letGo(effects, m.gpuId());
            end(effects);
            effects.add(new RequestEffect.Fail(Kind.CONTEXT_OVERFLOW, m.detail()));
            return effects;
        }
        // A client that has tokens already waits for room as long as its deadline allows.
        if (m.reason() != RefusalReason.BAD_KEY && outputTokens > 0) {
            failures--;
        }
        resume(effects, m.gpuId(), m.reason() + ": " + m.detail());
        return effects;
    }

    /** A worker is lost; it matters when this attempt needs it still. */
    public List<RequestEffect> onWorkerLost(String gpuId, long epoch) {
        List<RequestEffect> effects = new ArrayList<>();
        if (route == null || phase == Phase.WAITING || phase == Phase.OVER) {
            return effects;
        }
        if (move != null && move.to().equals(gpuId) && move.toEpoch() == epoch) {
            keepHere(effects, true);
        }
        boolean decodeLost = route.decodeGpu().equals(gpuId) && route.decodeEpoch() == epoch;
        boolean prefillLost = phase == Phase.SPLIT && route.prefillGpu().equals(gpuId) && route.prefillEpoch() == epoch;
        if (decodeLost || prefillLost) {
            resume(effects, gpuId, "worker " + gpuId + " is lost");
        }
        return effects;
    }

    /** Ends this attempt and asks for another route, unless all is there already or there were too many. */
    private void resume(List<RequestEffect> effects, String failedGpu, String why) {
        if (outputTokens > 0 && isLast(output[outputTokens - 1])) {
            finish(effects, isStop(output[outputTokens - 1]) ? FinishReason.STOP : FinishReason.LENGTH, failedGpu);
            return;
        }
        letGo(effects, "");
        uncount(effects);
        if (!failedGpu.isEmpty()) {
            avoid.add(failedGpu);
        }
        failures++;
        if (failures >= maxAttempts) {
            phase = Phase.OVER;
            Kind kind = outputTokens == 0 ? Kind.OVERLOADED : Kind.INTERNAL;
            effects.add(new RequestEffect.Fail(kind, "gave up after " + failures + " attempts; the last: " + why));
            return;
        }
        resumes += outputTokens > 0 ? 1 : 0;
        reason = why;
        phase = Phase.WAITING;
        effects.add(new RequestEffect.RetryLater());
    }

    /** The client is gone or wants no more. */
    public List<RequestEffect> onCancel() {
        return endEverywhere(new RequestEffect.Finish(FinishReason.CANCELLED));
    }

    /** A stop text was found: the output ends here although the model would go on. */
    public List<RequestEffect> onStopText() {
        return endEverywhere(new RequestEffect.Finish(FinishReason.STOP));
    }

    public List<RequestEffect> onDeadline() {
        return endEverywhere(new RequestEffect.Fail(
                Kind.DEADLINE, "the request's time is over after " + outputTokens + " output tokens"));
    }

    private List<RequestEffect> endEverywhere(RequestEffect terminal) {
        List<RequestEffect> effects = new ArrayList<>();
        if (phase != Phase.OVER) {
            letGo(effects, "");
            end(effects);
            effects.add(terminal);
        }
        return effects;
    }

    private void end(List<RequestEffect> effects) {
        uncount(effects);
        phase = Phase.OVER;
    }

    private void uncount(List<RequestEffect> effects) {
        if (phase == Phase.TOGETHER || phase == Phase.SPLIT || phase == Phase.ADOPTED) {
            effects.add(new RequestEffect.Count(route.decodeGpu(), -1));
        }
        if (phase == Phase.SPLIT) {
            effects.add(new RequestEffect.Count(route.prefillGpu(), -1));
        }
    }

    /** Tells every worker of this attempt to let go, except the one where the sequence has ended by itself. */
    private void letGo(List<RequestEffect> effects, String endedOn) {
        if (phase == Phase.WAITING || phase == Phase.OVER) {
            return;
        }
        if (move != null) {
            move.drop(effects, false);
            move = null;
        }
        if (!route.decodeGpu().equals(endedOn)) {
            effects.add(new RequestEffect.Tell(route.decodeGpu(), new WorkerMessage.CancelWork(target)));
        }
        // A prefill worker whose blocks are adopted lets go by itself, on the receiver's acknowledgement.
        if (phase == Phase.SPLIT && !route.prefillGpu().equals(endedOn)) {
            effects.add(new RequestEffect.Tell(route.prefillGpu(), new WorkerMessage.CancelWork(target)));
        }
    }

    private boolean stale(int ofAttempt) {
        return phase == Phase.OVER || phase == Phase.WAITING || ofAttempt != attempt;
    }

    /** The figures of the report that this class knows. */
    public Figures figures() {
        return new Figures(
                Math.max(0, cachedTokens),
                prefillGpu,
                decodeGpu,
                split,
                kvBlocks,
                kvBytes,
                kvNanos,
                checksumFailures,
                resumes,
                reason);
    }

    /** See {@link io.tandem.RequestReport}. */
    public record Figures(
            int cachedTokens,
            String prefillGpu,
            String decodeGpu,
            boolean split,
            int kvBlocks,
            long kvBytes,
            long kvNanos,
            int checksumFailures,
            int resumes,
            String reason) {}

    public int[] output() {
        return Arrays.copyOf(output, outputTokens);
    }
}
