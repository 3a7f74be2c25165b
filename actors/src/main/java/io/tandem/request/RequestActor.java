package io.tandem.request;

import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.RequestReport;
import io.tandem.RouteDecision;
import io.tandem.TandemClient.GenerationObserver;
import io.tandem.engine.FinishReason;
import io.tandem.routing.Route;
import io.tandem.routing.Routed;
import io.tandem.tokenizer.Tokenizer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Carries out what {@link RequestLifecycle} decides for one request, and turns its tokens into text for the observer. */
final class RequestActor extends AbstractBehavior<RequestActor.Message> {
    private static final Logger LOG = LoggerFactory.getLogger(RequestActor.class);

    /** Of one request. */
    static final int DECISIONS_KEPT = 32;

    /** What a request hears. */
    sealed interface Message {}

    record Token(String gpuId, int attempt, int token, int index, float logprob, int[] topIds, float[] topLogprobs)
            implements Message {}

    record FromWorker(RequestMessage.OfRequest message) implements Message {}

    record Lost(String gpuId, long epoch, String why) implements Message {}

    record Held(String gpuId, int attempt) implements Message {}

    record Cancelled() implements Message {}

    private record Ask() implements Message {}

    private record Retry() implements Message {}

    private record TimeOver() implements Message {}

    private final RequestHub.Launch launch;
    private final ActorRef<RequestMessage> hub;
    private final RequestServices services;
    private final TimerScheduler<Message> timers;
    private final GenerationObserver observer;
    private final Tokenizer tokenizer;
    private final OutputText text;
    private final RequestLifecycle life;
    private final List<RouteDecision> decisions = new ArrayList<>(1);
    private final long deadlineNanos;
    private int attempts;

    /** The latest whose blocks came to another worker. */
    private int adoptedAttempt;

    /** Of the present attempt, the latest of the decisions; null before the first. */
    private AttemptTimes times;

    private long firstTokenNanos;
    private boolean terminal;

    private RequestActor(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            RequestHub.Launch launch,
            ActorRef<RequestMessage> hub,
            RequestServices services) {
        super(context);
        this.launch = launch;
        this.hub = hub;
        this.services = services;
        this.timers = timers;
        observer = launch.observer();
        tokenizer = launch.model().tokenizer();
        text = new OutputText(tokenizer.newDetokenizer(false), launch.stopTexts());
        long millis = Math.max(1, launch.timeoutNanos() / 1_000_000);
        deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        life = new RequestLifecycle(launch.spec(), services.settings().maxAttempts());
        timers.startSingleTimer(new TimeOver(), Duration.ofMillis(millis));
        timers.startTimerWithFixedDelay(new Ask(), services.settings().askInterval());
    }

    static Behavior<Message> create(RequestHub.Launch launch, ActorRef<RequestMessage> hub, RequestServices services) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            RequestActor actor = null;
            try {
                actor = new RequestActor(context, timers, launch, hub, services);
                actor.start();
                return actor.next();
            } catch (RuntimeException e) {
                // An actor that fails before it is one hears of no end, and so would nobody else.
                if (actor != null) {
                    return actor.breakOff("the request cannot start", e);
                }
                LOG.error("request {} cannot start", launch.name(), e);
                services.attemptOver(launch.requestId());
                launch.observer()
                        .onError(new GenerationException(
                                GenerationException.Kind.INTERNAL, "the request cannot start: " + e));
                return Behaviors.stopped();
            }
        }));
    }

    private void start() {
        launch.routed().ifPresent(r -> services.decided(launch.name(), List.of(RouteDecision.of(r.decision(), age()))));
        observer.onEvent(
                new GenerationEvent.Started(launch.name(), launch.spec().tokens()));
        route();
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder()
                .onMessage(Message.class, this::onMessage)
                .onSignal(PostStop.class, s -> onPostStop())
                .build();
    }

    private Behavior<Message> onMessage(Message message) {
        try {
            if (message instanceof Retry) {
                route();
                return next();
            }
            return run(effects(message));
        } catch (RuntimeException e) {
            return breakOff("the request cannot go on", e);
        }
    }

    private List<RequestEffect> effects(Message message) {
        return switch (message) {
            case Token m ->
                life.onToken(m.attempt(), m.gpuId(), m.token(), m.index(), m.logprob(), m.topIds(), m.topLogprobs());
            case FromWorker m -> fromWorker(m.message());
            case Lost m -> life.onWorkerLost(m.gpuId(), m.epoch(), m.why());
            case Held m -> life.onHeld(m.gpuId(), m.attempt());
            case Ask ignored -> life.onQuiet(services::live);
            case Cancelled ignored -> life.onCancel();
            case TimeOver ignored -> life.onDeadline();
            case Retry ignored -> throw new IllegalStateException("handled above");
        };
    }

    /** Wherever a request fails, its workers let go and its observer hears of it. */
    private Behavior<Message> breakOff(String what, RuntimeException e) {
        LOG.error("request {}: {}", launch.name(), what, e);
        List<RequestEffect> ends = new ArrayList<>(life.onCancel());
        ends.removeIf(effect -> effect instanceof RequestEffect.Finish);
        ends.add(new RequestEffect.Fail(GenerationException.Kind.INTERNAL, what + ": " + e));
        return run(ends);
    }

    private List<RequestEffect> fromWorker(RequestMessage.OfRequest message) {
        // A worker that is asked says so again.
        if (message instanceof RequestMessage.KvAdopted adopted && adopted.attempt() > adoptedAttempt) {
            adoptedAttempt = adopted.attempt();
            services.transferred(launch.requestId(), adopted.gpuId(), adopted.stats());
        }
        return life.on(message);
    }

    private void route() {
        attempts++;
        RequestTarget target = new RequestTarget(hub, launch.requestId(), attempts);
        Optional<Routed> routed = attempts == 1 && launch.routed().isPresent()
                ? launch.routed()
                : services.route(launch, life.tokensToCompute(), life.avoid());
        routed.ifPresent(r -> decided(RouteDecision.of(r.decision(), age())));
        services.decided(launch.name(), List.copyOf(decisions));
        times = routed.isPresent() ? new AttemptTimes(System.nanoTime()) : null;
        run(
                routed.isPresent()
                        ? life.onRoute(routed.get().route(), target, timeLeftMillis())
                        : life.onNoRoute(services.unserved()));
    }

    /** A request that waits for room is decided on again and again: the first decisions tell how it came to that. */
    private void decided(RouteDecision decision) {
        if (decisions.size() == DECISIONS_KEPT) {
            decisions.removeLast();
        }
        decisions.add(decision);
    }

    private long age() {
        return System.nanoTime() - launch.acceptedNanos();
    }

    private long timeLeftMillis() {
        return Math.max(1, TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime()));
    }

    private void findMove(RequestEffect.FindMove e) {
        attempts++;
        RequestTarget target = new RequestTarget(hub, launch.requestId(), attempts);
        Optional<Route> there = services.moveTarget(e.fromGpu(), e.contextTokens(), e.tokensMax());
        run(life.onMoveRoute(there, target, timeLeftMillis()));
    }

    private Behavior<Message> run(List<RequestEffect> effects) {
        for (RequestEffect effect : effects) {
            switch (effect) {
                case RequestEffect.Tell e -> services.tellWorker(e.gpuId(), e.message());
                case RequestEffect.Count e -> services.countInFlight(e.gpuId(), e.change());
                case RequestEffect.Emit e -> emit(e);
                case RequestEffect.RetryLater ignored -> {
                    attemptOver(life.figures().reason());
                    timers.startSingleTimer(
                            new Retry(),
                            attempts == 1
                                    ? Duration.ofMillis(1)
                                    : services.settings().retryDelay());
                }
                case RequestEffect.Reroute ignored -> {
                    attemptOver(life.figures().reason());
                    timers.startSingleTimer(new Retry(), Duration.ofMillis(1));
                }
                case RequestEffect.Parted e -> services.parted(e.route());
                case RequestEffect.FindMove e -> findMove(e);
                case RequestEffect.Moved e -> moved(e.decodeGpu());
                case RequestEffect.Finish e -> finish(e.reason());
                case RequestEffect.Fail e -> fail(e);
            }
        }
        return next();
    }

    private void moved(String decodeGpu) {
        services.moved(launch.requestId(), decodeGpu);
        if (times != null) {
            times.moved();
        }
    }

    /** @param why it ended before the output did; else empty */
    private void attemptOver(String why) {
        services.attemptOver(launch.requestId());
        if (times != null) {
            RouteDecision decision = decisions.getLast().over(times.observed(), why);
            decisions.set(decisions.size() - 1, decision);
            services.observed(decision);
            times = null;
        }
    }

    private Behavior<Message> next() {
        return terminal ? Behaviors.stopped() : this;
    }

    private void emit(RequestEffect.Emit e) {
        long now = System.nanoTime();
        if (times != null && times.token(now)) {
            services.promptComputed(launch.requestId());
        }
        if (firstTokenNanos == 0) {
            firstTokenNanos = now;
        }
        String piece = text.append(e.token());
        List<GenerationEvent.TokenLogprob> logprobs = launch.spec().sampling().wantsLogprobs()
                ? List.of(new GenerationEvent.TokenLogprob(
                        e.token(),
                        e.logprob(),
                        e.topIds() == null ? new int[0] : e.topIds(),
                        e.topLogprobs() == null ? new float[0] : e.topLogprobs()))
                : List.of();
        observer.onEvent(new GenerationEvent.Tokens(piece, new int[] {e.token()}, logprobs));
        if (text.stopped() && !life.over()) {
            run(life.onStopText());
        }
    }

    private void finish(FinishReason reason) {
        if (terminal) {
            return;
        }
        String rest = text.finish();
        terminal = true;
        attemptOver("");
        boolean whole = reason == FinishReason.STOP || reason == FinishReason.LENGTH;
        if (whole && launch.spec().maxNewTokens() > 1) {
            services.outputEnded(life.outputTokens());
        }
        RequestReport report = report();
        services.keep(report);
        observer.onEvent(new GenerationEvent.Finished(rest, text.stopped() ? FinishReason.STOP : reason, report));
    }

    private void fail(RequestEffect.Fail e) {
        if (terminal) {
            return;
        }
        terminal = true;
        attemptOver(e.message());
        services.keep(report());
        if (e.kind() == GenerationException.Kind.INTERNAL) {
            LOG.warn("request {} failed: {}", launch.name(), e.message());
        }
        observer.onError(new GenerationException(e.kind(), e.message()));
    }

    private RequestReport report() {
        RequestFigures f = life.figures();
        long now = System.nanoTime();
        return new RequestReport(
                launch.name(),
                launch.spec().promptTokens(),
                life.outputTokens(),
                f.cachedTokens(),
                firstTokenNanos == 0 ? 0 : (firstTokenNanos - launch.acceptedNanos()) / 1e6,
                (now - launch.acceptedNanos()) / 1e6,
                f.prefillGpu(),
                f.decodeGpu(),
                f.split(),
                f.kvBlocks(),
                f.kvBytes(),
                f.kvNanos() / 1e6,
                f.kvDirectBlocks(),
                f.checksumFailures(),
                f.resumes(),
                f.reason(),
                launch.serviceClass().name(),
                launch.queuedNanos() / 1e6,
                List.copyOf(decisions));
    }

    /** Stopped from outside (the node goes down): the observer still gets its one end, and workers are told. */
    private Behavior<Message> onPostStop() {
        if (!terminal) {
            onMessage(new Cancelled());
        }
        return this;
    }
}
