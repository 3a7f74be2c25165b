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
    private final long deadlineEpochMillis;
    private final int maxAttempts;
    private final Set<String> avoid = new HashSet<>();
    private Phase phase = Phase.WAITING;
    private Route route;
    private RequestTarget target;
    private int attempt;
    private int failures;
    private int[] output = new int[64];
    private int outputTokens;
    private boolean pushTold;
    private boolean prefillEnded;

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

    public RequestLifecycle(SequenceSpec spec, long deadlineEpochMillis, int maxAttempts) {
        this.spec = spec;
        this.deadlineEpochMillis = deadlineEpochMillis;
        this.maxAttempts = maxAttempts;
    }

    public Phase phase() {
        return phase;
    }

    public boolean over() {
        return phase == Phase.OVER;
    }

    /** Tokens the next attempt has to compute before it can go on. */
    public int tokensToCompute() {
        return spec.tokens().length + outputTokens;
    }

    /** GPUs that refused or failed this request. */
    public Set<String> avoid() {
        return avoid;
    }

    public int outputTokens() {
        return outputTokens;
    }

    /** A route was looked for, at the start or after {@link RequestEffect.RetryLater}. */
    public List<RequestEffect> onRoute(Optional<Route> found, RequestTarget newTarget) {
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
        prefillGpu = prefillGpu.isEmpty() || outputTokens == 0 ? route.prefillGpu() : prefillGpu;
        decodeGpu = route.decodeGpu();
        split |= route.split();
        reason = route.reason();
        SequenceSpec now = resumed();
        if (route.split()) {
            phase = Phase.SPLIT;
            dispatch(effects, WorkerMessage.Kind.RESERVE, route.decodeGpu(), route.decodeEpoch(), now);
            dispatch(effects, WorkerMessage.Kind.PREFILL, route.prefillGpu(), route.prefillEpoch(), now);
        } else {
            phase = Phase.TOGETHER;
            dispatch(effects, WHOLE, route.decodeGpu(), route.decodeEpoch(), now);
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
            List<RequestEffect> effects, WorkerMessage.Kind kind, String gpu, long epoch, SequenceSpec now) {
        effects.add(new RequestEffect.Count(gpu, 1));
        effects.add(
                new RequestEffect.Tell(gpu, new WorkerMessage.Dispatch(kind, epoch, target, now, deadlineEpochMillis)));
    }

    private SequenceSpec resumed() {
        if (outputTokens == 0) {
            return spec;
        }
        int[] tokens = Arrays.copyOf(spec.tokens(), spec.tokens().length + outputTokens);
        System.arraycopy(output, 0, tokens, spec.tokens().length, outputTokens);
        return new SequenceSpec(
                tokens,
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
        if (stale(ofAttempt) || index < outputTokens) {
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
        effects.add(new RequestEffect.Emit(index, token, logprob, topIds, topLogprobs));
        if (phase == Phase.SPLIT && gpu.equals(route.prefillGpu()) && !isLast(token)) {
            effects.add(
                    new RequestEffect.Tell(route.decodeGpu(), new WorkerMessage.AdoptKv(target, new int[] {token})));
        }
        return effects;
    }

    private boolean isLast(int token) {
        if (outputTokens >= spec.maxNewTokens()) {
            return true;
        }
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
            pushTold = true;
            effects.add(new RequestEffect.Tell(
                    route.prefillGpu(),
                    new WorkerMessage.PushKv(target, m.lease(), m.endpoint(), m.cachedBlocks(), m.totalBlocks())));
        }
        return effects;
    }

    public List<RequestEffect> onKvAdopted(RequestMessage.KvAdopted m) {
        List<RequestEffect> effects = new ArrayList<>(1);
        if (!stale(m.attempt()) && phase == Phase.SPLIT) {
            phase = Phase.ADOPTED;
            count(m.stats());
            effects.add(new RequestEffect.Count(route.prefillGpu(), -1));
        }
        return effects;
    }

    public List<RequestEffect> onKvFailed(RequestMessage.KvFailed m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (!stale(m.attempt()) && phase == Phase.SPLIT) {
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

    public List<RequestEffect> onEnded(RequestMessage.Ended m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (stale(m.attempt())) {
            return effects;
        }
        if (cachedTokens < 0) {
            cachedTokens = m.stats().cachedTokens();
        }
        switch (m.reason()) {
            case PREFILLED -> prefillEnded = true;
            case STOP, LENGTH -> finish(effects, m.reason(), m.gpuId());
            case DEADLINE -> onDeadline(effects);
            case CANCELLED -> {
                // Cancelled by its worker, which loses its GPU or gives up a transfer; our own cancel ended the
                // attempt.
                if (!(prefillEnded && phase == Phase.ADOPTED && m.gpuId().equals(route.prefillGpu()))) {
                    resume(effects, m.gpuId(), "the worker gave the sequence up");
                }
            }
            case ERROR -> resume(effects, m.gpuId(), m.detail());
        }
        return effects;
    }

    private void finish(List<RequestEffect> effects, FinishReason why, String endedOn) {
        letGo(effects, endedOn);
        end(effects);
        effects.add(new RequestEffect.Finish(why));
    }

    public List<RequestEffect> onRefused(RequestMessage.Refused m) {
        List<RequestEffect> effects = new ArrayList<>();
        if (stale(m.attempt())) {
            return effects;
        }
        if (m.reason() == RefusalReason.TOO_LONG) {
            letGo(effects, m.gpuId());
            end(effects);
            effects.add(new RequestEffect.Fail(Kind.CONTEXT_OVERFLOW, m.detail()));
            return effects;
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
        boolean decodeLost = route.decodeGpu().equals(gpuId) && route.decodeEpoch() == epoch;
        boolean prefillLost = phase == Phase.SPLIT && route.prefillGpu().equals(gpuId) && route.prefillEpoch() == epoch;
        if (decodeLost || prefillLost) {
            resume(effects, gpuId, "worker " + gpuId + " is lost");
        }
        return effects;
    }

    /** Ends this attempt and asks for another route, unless there were too many. */
    private void resume(List<RequestEffect> effects, String failedGpu, String why) {
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
        List<RequestEffect> effects = new ArrayList<>();
        onDeadline(effects);
        return effects;
    }

    private void onDeadline(List<RequestEffect> effects) {
        effects.addAll(endEverywhere(new RequestEffect.Fail(
                Kind.DEADLINE, "the request's time is over after " + outputTokens + " output tokens")));
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
