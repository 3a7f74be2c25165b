package io.tandem.request;

import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationException.Kind;
import io.tandem.RequestReport;
import io.tandem.TandemClient.GenerationObserver;
import io.tandem.admission.AdmissionDoor;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.Applicant;
import io.tandem.admission.Verdict;
import io.tandem.engine.FinishReason;
import io.tandem.routing.Routed;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.PreRestart;
import org.apache.pekko.actor.typed.SupervisorStrategy;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A node's door: the actor around {@link AdmissionDoor}. A request that waits is here and nowhere else, with no actor
 * and no GPU; one that is sent on goes to the {@link RequestHub} with the route that was booked for it. Whatever ends here reaches
 * its observer once.
 */
public final class AdmissionActor extends AbstractBehavior<AdmissionActor.Message> {
    private static final Logger LOG = LoggerFactory.getLogger(AdmissionActor.class);
    private static final Duration STATUS_INTERVAL = Duration.ofMillis(100);
    private static final String TICK = "tick";

    /** What the door hears. */
    public sealed interface Message {}

    /** A request that was checked already. */
    public record Arrive(RequestHub.Launch launch, String tenant) implements Message {}

    /** The client wants no more. */
    public record Cancel(long requestId) implements Message {}

    /** A request that was sent on decodes on another GPU than was foreseen, or will. */
    public record Moved(long requestId, String decodeGpu) implements Message {}

    /** Ends every request: the node goes down. */
    public record EndAll() implements Message {}

    private record FirstToken() implements Message {}

    private record Over(long requestId, int outputTokens, boolean whole) implements Message {}

    private record Tick() implements Message {}

    private record ShowStatus() implements Message {}

    private final AdmissionDoor<RequestHub.Launch> door;
    private final AdmissionStatusView view;
    private final AdmissionServices services;
    private final ActorRef<RequestMessage> hub;
    private final TimerScheduler<Message> timers;
    private final Duration tickInterval;
    private boolean ticking;
    private boolean changed = true;

    private AdmissionActor(
            ActorContext<Message> context,
            TimerScheduler<Message> timers,
            AdmissionSettings settings,
            AdmissionServices services,
            ActorRef<RequestMessage> hub) {
        super(context);
        this.timers = timers;
        this.services = services;
        this.hub = hub;
        tickInterval = settings.tickInterval();
        door = new AdmissionDoor<>(settings, services.router(), services::query, new Exits());
        view = new AdmissionStatusView(settings, door.policy(), door.ledger());
        timers.startTimerWithFixedDelay(new ShowStatus(), STATUS_INTERVAL);
    }

    public static Behavior<Message> create(
            AdmissionSettings settings, AdmissionServices services, ActorRef<RequestMessage> hub) {
        // Whatever is wrong with one request, the node goes on taking others: a door that is gone is one that nobody
        // hears of.
        return Behaviors.supervise(Behaviors.<Message>setup(context ->
                        Behaviors.withTimers(timers -> new AdmissionActor(context, timers, settings, services, hub))))
                .onFailure(RuntimeException.class, SupervisorStrategy.restart());
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder()
                .onMessage(Arrive.class, this::onArrive)
                .onMessage(Cancel.class, m -> onCancel(m.requestId()))
                .onMessage(FirstToken.class, m -> pump())
                .onMessage(Moved.class, this::onMoved)
                .onMessage(Over.class, this::onOver)
                .onMessage(Tick.class, m -> pump())
                .onMessage(EndAll.class, m -> onEndAll())
                .onMessage(ShowStatus.class, m -> onShowStatus())
                .onSignal(PreRestart.class, s -> onPreRestart())
                .build();
    }

    private Behavior<Message> onArrive(Arrive m) {
        RequestHub.Launch launch = m.launch();
        Applicant applicant = new Applicant(
                launch.requestId(),
                m.tenant(),
                launch.serviceClass(),
                launch.spec().promptTokens(),
                launch.spec().maxNewTokens(),
                launch.acceptedNanos(),
                launch.timeoutNanos());
        door.arrive(launch, applicant, System.nanoTime());
        return changed();
    }

    private Behavior<Message> pump() {
        door.pump(System.nanoTime());
        return changed();
    }

    /** Looks at the queue again and again while something waits, and only then. */
    private Behavior<Message> changed() {
        changed = true;
        boolean needed = door.queued() > 0;
        if (needed && !ticking) {
            timers.startTimerWithFixedDelay(TICK, new Tick(), tickInterval);
        } else if (!needed && ticking) {
            timers.cancel(TICK);
        }
        ticking = needed;
        return this;
    }

    /** Whatever leaves reaches its hub or its observer. */
    private final class Exits implements AdmissionDoor.Exits<RequestHub.Launch> {
        @Override
        public void dispatched(RequestHub.Launch launch, Optional<Routed> route, long queuedNanos) {
            services.onDispatched(
                    route.map(Routed::uncachedTokens).orElse(launch.spec().promptTokens()));
            GenerationObserver watched = new Watch(
                    launch.requestId(), launch.observer(), getContext().getSelf());
            hub.tell(launch.dispatched(queuedNanos, route, watched));
        }

        @Override
        public void refused(RequestHub.Launch launch, Verdict.Reject v) {
            GenerationException refusal = Refusals.of(v);
            end(launch, v.queuedNanos(), "refused: " + refusal.getMessage());
            launch.observer().onError(refusal);
        }

        @Override
        public void expired(RequestHub.Launch launch, long queuedNanos) {
            end(launch, queuedNanos, "its time was over before a GPU was free");
            launch.observer()
                    .onError(new GenerationException(
                            Kind.DEADLINE, "the request's time is over; it waited for a GPU all the while"));
        }

        @Override
        public void cancelled(RequestHub.Launch launch) {
            long queuedNanos = System.nanoTime() - launch.acceptedNanos();
            RequestReport report = end(launch, queuedNanos, "cancelled before a GPU was free");
            launch.observer().onEvent(new GenerationEvent.Finished("", FinishReason.CANCELLED, report));
        }
    }

    private Behavior<Message> onPreRestart() {
        LOG.error("the door begins anew; {} requests that waited are cancelled", door.queued());
        door.abandon(System.nanoTime());
        return this;
    }

    private Behavior<Message> onCancel(long id) {
        if (!door.cancel(id)) {
            hub.tell(new RequestHub.Cancel(id));
        }
        return changed();
    }

    private Behavior<Message> onEndAll() {
        door.cancelAll();
        hub.tell(new RequestHub.EndAll());
        return changed();
    }

    private RequestReport end(RequestHub.Launch launch, long queuedNanos, String reason) {
        RequestReport report = new RequestReport(
                launch.name(),
                launch.spec().promptTokens(),
                0,
                0,
                0,
                queuedNanos / 1e6,
                "",
                "",
                false,
                0,
                0,
                0,
                0,
                0,
                0,
                reason,
                launch.serviceClass().name(),
                queuedNanos / 1e6,
                List.of());
        services.keep(report);
        services.onRequestOver();
        return report;
    }

    private Behavior<Message> onMoved(Moved m) {
        door.moved(m.requestId(), m.decodeGpu());
        return this;
    }

    private Behavior<Message> onOver(Over m) {
        door.ended(m.requestId(), m.outputTokens(), m.whole());
        return pump();
    }

    private Behavior<Message> onShowStatus() {
        if (changed) {
            changed = false;
            services.publish(view.now());
        }
        return this;
    }

    /** Passes events on, and tells the door of the two that make room. */
    private static final class Watch implements GenerationObserver {
        private final long requestId;
        private final GenerationObserver observer;
        private final ActorRef<Message> door;
        private int outputTokens;

        Watch(long requestId, GenerationObserver observer, ActorRef<Message> door) {
            this.requestId = requestId;
            this.observer = observer;
            this.door = door;
        }

        @Override
        public void onEvent(GenerationEvent event) {
            switch (event) {
                case GenerationEvent.Started ignored -> {}
                case GenerationEvent.Tokens tokens -> {
                    if (outputTokens == 0) {
                        door.tell(new FirstToken());
                    }
                    outputTokens += tokens.tokenIds().length;
                }
                case GenerationEvent.Finished f -> {
                    boolean whole = f.reason() == FinishReason.STOP || f.reason() == FinishReason.LENGTH;
                    door.tell(new Over(requestId, outputTokens, whole));
                }
            }
            observer.onEvent(event);
        }

        @Override
        public void onError(GenerationException error) {
            door.tell(new Over(requestId, outputTokens, false));
            observer.onError(error);
        }
    }
}
