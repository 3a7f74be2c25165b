package io.tandem.request;

import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationException.Kind;
import io.tandem.RequestReport;
import io.tandem.TandemClient.GenerationObserver;
import io.tandem.admission.AdmissionLedger;
import io.tandem.admission.AdmissionLedger.Outcome;
import io.tandem.admission.AdmissionPolicy;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.Applicant;
import io.tandem.admission.RouterForecaster;
import io.tandem.admission.Verdict;
import io.tandem.engine.FinishReason;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;

/**
 * A node's door: carries out what {@link AdmissionPolicy} decides. A request that waits is here and nowhere else, with no actor
 * and no GPU; one that is sent on goes to the {@link RequestHub} with the route that was booked for it. Whatever ends here reaches
 * its observer once.
 */
public final class AdmissionActor extends AbstractBehavior<AdmissionActor.Message> {
    private static final Duration STATUS_INTERVAL = Duration.ofMillis(100);
    private static final String TICK = "tick";

    /** What the door hears. */
    public sealed interface Message {}

    /** A request that was checked already. */
    public record Arrive(RequestHub.Launch launch, String tenant) implements Message {}

    /** The client wants no more. */
    public record Cancel(long requestId) implements Message {}

    /** Ends every request: the node goes down. */
    public record EndAll() implements Message {}

    private record FirstToken() implements Message {}

    private record Over(long requestId, int outputTokens, boolean whole) implements Message {}

    private record Tick() implements Message {}

    private record ShowStatus() implements Message {}

    private final AdmissionPolicy policy;
    private final AdmissionLedger ledger;
    private final AdmissionStatusView view;
    private final AdmissionServices services;
    private final ActorRef<RequestMessage> hub;
    private final TimerScheduler<Message> timers;
    private final Duration tickInterval;
    private final RouterForecaster forecaster;
    private final Map<Long, Waiting> waiting = new HashMap<>();
    private boolean ticking;
    private boolean changed = true;

    private record Waiting(RequestHub.Launch launch, Applicant applicant) {}

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
        forecaster = new RouterForecaster(
                services.router(), id -> services.query(waiting.get(id).launch()));
        policy = new AdmissionPolicy(settings, forecaster);
        ledger = new AdmissionLedger(settings);
        view = new AdmissionStatusView(settings, policy, ledger);
        timers.startTimerWithFixedDelay(new ShowStatus(), STATUS_INTERVAL);
    }

    public static Behavior<Message> create(
            AdmissionSettings settings, AdmissionServices services, ActorRef<RequestMessage> hub) {
        return Behaviors.setup(context ->
                Behaviors.withTimers(timers -> new AdmissionActor(context, timers, settings, services, hub)));
    }

    @Override
    public Receive<Message> createReceive() {
        return newReceiveBuilder()
                .onMessage(Arrive.class, this::onArrive)
                .onMessage(Cancel.class, m -> onCancel(m.requestId()))
                .onMessage(FirstToken.class, m -> pump())
                .onMessage(Over.class, this::onOver)
                .onMessage(Tick.class, m -> pump())
                .onMessage(EndAll.class, m -> onEndAll())
                .onMessage(ShowStatus.class, m -> onShowStatus())
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
        waiting.put(launch.requestId(), new Waiting(launch, applicant));
        List<Verdict> verdicts = new ArrayList<>(1);
        policy.arrive(applicant, System.nanoTime(), verdicts);
        carryOut(verdicts);
        if (waiting.containsKey(launch.requestId())) {
            ledger.count(applicant, Outcome.QUEUED);
        }
        return changed();
    }

    private Behavior<Message> pump() {
        if (policy.queued() > 0) {
            List<Verdict> verdicts = new ArrayList<>();
            policy.pump(System.nanoTime(), verdicts);
            carryOut(verdicts);
        }
        return changed();
    }

    /** Looks at the queue again and again while something waits, and only then. */
    private Behavior<Message> changed() {
        changed = true;
        boolean needed = policy.queued() > 0;
        if (needed && !ticking) {
            timers.startTimerWithFixedDelay(TICK, new Tick(), tickInterval);
        } else if (!needed && ticking) {
            timers.cancel(TICK);
        }
        ticking = needed;
        return this;
    }

    private void carryOut(List<Verdict> verdicts) {
        for (Verdict verdict : verdicts) {
            Waiting over = waiting.remove(verdict.applicant().id());
            switch (verdict) {
                case Verdict.Dispatch v -> dispatch(over, v);
                case Verdict.Reject v -> reject(over, v);
                case Verdict.Expire v -> expire(over, v);
            }
        }
    }

    private void dispatch(Waiting w, Verdict.Dispatch v) {
        ledger.admitted(w.applicant, v.queuedNanos());
        long id = w.launch.requestId();
        GenerationObserver watched =
                new Watch(id, w.launch.observer(), getContext().getSelf());
        hub.tell(w.launch.dispatched(v.queuedNanos(), forecaster.takeRouted(id), watched));
    }

    private void reject(Waiting w, Verdict.Reject v) {
        ledger.count(
                w.applicant,
                switch (v.cause()) {
                    case TTFT -> Outcome.REJECTED_TTFT;
                    case ITL -> Outcome.REJECTED_ITL;
                    case SIZE -> Outcome.REJECTED_SIZE;
                    case FULL -> Outcome.REJECTED_FULL;
                    case DISPLACED -> Outcome.DISPLACED;
                });
        GenerationException refusal = Refusals.of(v);
        end(w, v.queuedNanos(), "refused: " + refusal.getMessage());
        w.launch.observer().onError(refusal);
    }

    private void expire(Waiting w, Verdict.Expire v) {
        ledger.count(w.applicant, Outcome.EXPIRED);
        end(w, v.queuedNanos(), "its time was over before a GPU was free");
        w.launch
                .observer()
                .onError(new GenerationException(
                        Kind.DEADLINE, "the request's time is over; it waited for a GPU all the while"));
    }

    private Behavior<Message> onCancel(long id) {
        if (policy.cancel(id)) {
            cancelled(waiting.remove(id));
        } else {
            hub.tell(new RequestHub.Cancel(id));
        }
        return changed();
    }

    private void cancelled(Waiting w) {
        ledger.count(w.applicant, Outcome.CANCELLED);
        RequestReport report = end(w, System.nanoTime() - w.launch.acceptedNanos(), "cancelled before a GPU was free");
        w.launch.observer().onEvent(new GenerationEvent.Finished("", FinishReason.CANCELLED, report));
    }

    private Behavior<Message> onEndAll() {
        for (long id : policy.waitingIds()) {
            policy.cancel(id);
            cancelled(waiting.remove(id));
        }
        hub.tell(new RequestHub.EndAll());
        return changed();
    }

    private RequestReport end(Waiting w, long queuedNanos, String reason) {
        RequestReport report = new RequestReport(
                w.launch.name(),
                w.launch.spec().promptTokens(),
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
                reason,
                w.launch.serviceClass().name(),
                queuedNanos / 1e6,
                List.of());
        services.keep(report);
        services.onRequestOver();
        return report;
    }

    private Behavior<Message> onOver(Over m) {
        policy.ended(m.requestId(), m.outputTokens(), m.whole());
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
