package io.tandem.supervisor;

import com.typesafe.config.Config;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.routing.Registries;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
import io.tandem.worker.WorkerShards;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import java.util.function.Function;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.AskPattern;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The cluster's singleton: decides roles by {@link RebalancePolicy} from what workers and nodes report, and carries out what it
 * or an operator wants. It keeps nothing that would be lost with it: roles, their age and what they were before live in
 * their workers, demand where requests arrive. So a supervisor that starts anew on another node finds everything as it was,
 * and serving never waits for it.
 */
public final class SupervisorActor extends AbstractBehavior<SupervisorMessage> {
    private static final Logger LOG = LoggerFactory.getLogger(SupervisorActor.class);
    private static final Duration ROLE_TIMEOUT = Duration.ofSeconds(20);

    /** Its own events. */
    sealed interface Internal extends SupervisorMessage {}

    private record Beat() implements Internal {}

    /** @param failure empty when it is done */
    private record Flipped(RebalancePolicy.Flip flip, String why, long decidedNanos, String failure)
            implements Internal {}

    private final WorkerDirectory directory;
    private final WorkerShards workers;
    private final Registries registries;
    private final Duration drainTimeout;
    private final RebalanceSettings settings;
    private final Supervision supervision;
    private final AdviceLog advice = new AdviceLog();
    private long changes;
    private String lastChange;
    private double lastChangeMillis;
    private String lastSummary = "";

    private SupervisorActor(
            ActorContext<SupervisorMessage> context,
            WorkerDirectory directory,
            WorkerShards workers,
            Registries registries,
            Config config) {
        super(context);
        this.directory = directory;
        this.workers = workers;
        this.registries = registries;
        drainTimeout = config.getDuration("tandem.node.drain-timeout");
        settings = RebalanceSettings.from(config);
        supervision = new Supervision(directory, settings, RoutingSettings.from(config), EngineSettings.from(config));
        SupervisorReport before = directory.supervisor();
        changes = before.changes();
        lastChange = before.lastChange();
        lastChangeMillis = before.lastChangeMillis();
        LOG.info("the supervisor runs on {}, mode {}", registries.selfNode(), settings.mode());
    }

    public static Behavior<SupervisorMessage> create(
            WorkerDirectory directory, WorkerShards workers, Registries registries, Config config) {
        Duration interval = RebalanceSettings.from(config).interval();
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            timers.startTimerWithFixedDelay(new Beat(), Duration.ZERO, interval);
            return new SupervisorActor(context, directory, workers, registries, config);
        }));
    }

    @Override
    public Receive<SupervisorMessage> createReceive() {
        return newReceiveBuilder()
                .onMessage(Beat.class, m -> onBeat())
                .onMessage(Flipped.class, this::onFlipped)
                .onMessage(SupervisorMessage.SetRole.class, this::onSetRole)
                .onMessage(SupervisorMessage.Drain.class, this::onDrain)
                .build();
    }

    private Behavior<SupervisorMessage> onBeat() {
        String summary = summary();
        if (!summary.equals(lastSummary)) {
            lastSummary = summary;
            LOG.info("cluster: {}", summary.isEmpty() ? "no workers" : summary);
        }
        long now = System.nanoTime();
        Supervision.Round round = supervision.decide(now);
        for (RebalancePolicy.Flip flip : round.flips()) {
            String why = round.verdict().reason();
            if (round.acts()) {
                LOG.info("changes: {} -> {}: {}", flip.gpuId(), flip.to(), why);
                flip(flip, why, now);
            } else if (advice.isNew(flip, now)) {
                LOG.info("advises: {} -> {}: {}", flip.gpuId(), flip.to(), why);
            }
        }
        tell(round.demand(), round.verdict());
        return this;
    }

    private void tell(Demand demand, RebalancePolicy.Verdict v) {
        registries.tellAll(new SupervisorReport(
                registries.selfNode(),
                settings.mode().name().toLowerCase(Locale.ROOT),
                v.layout(),
                v.wanted(),
                v.promptStrain(),
                v.decodeStrain(),
                v.reason(),
                demand.requestsPerSecond(),
                demand.uncachedTokensPerSecond(),
                demand.outputTokensPerSecond(),
                changes,
                lastChange,
                lastChangeMillis));
    }

    private void flip(RebalancePolicy.Flip flip, String why, long decidedNanos) {
        CompletionStage<WorkerMessage.Done> asked =
                ask(flip.gpuId(), ref -> supervision.changeRole(flip.gpuId(), flip.to(), ref), settings.flipTimeout());
        Optional<WorkerReport> worker = directory.live(flip.gpuId());
        getContext()
                .pipeToSelf(
                        asked,
                        (done, failure) -> new Flipped(
                                flip,
                                why,
                                decidedNanos,
                                failure == null
                                        ? ""
                                        : worker.map(w -> Unanswered.since(decidedNanos, w, settings.flipTimeout())
                                                        .roleChange(flip.to(), failure, directory.entries()))
                                                .orElse(flip.gpuId() + " is lost")));
    }

    private Behavior<SupervisorMessage> onFlipped(Flipped m) {
        if (m.failure().isEmpty()) {
            changes++;
            lastChange =
                    m.flip().gpuId() + " " + m.flip().from() + " to " + m.flip().to() + ": " + m.why();
            lastChangeMillis = (System.nanoTime() - m.decidedNanos()) / 1e6;
            LOG.info(
                    "{} runs as {} after {} ms",
                    m.flip().gpuId(),
                    m.flip().to(),
                    String.format(Locale.ROOT, "%.1f", lastChangeMillis));
        } else {
            LOG.warn("{} did not change to {}: {}", m.flip().gpuId(), m.flip().to(), m.failure());
        }
        return this;
    }

    private String summary() {
        StringBuilder text = new StringBuilder();
        for (WorkerDirectory.Entry e : directory.entries()) {
            text.append(text.isEmpty() ? "" : ", ")
                    .append(e.report().gpuId())
                    .append(' ')
                    .append(e.live() ? e.report().role() : "LOST")
                    .append(e.report().draining() ? " draining" : "");
        }
        return text.toString();
    }

    private Behavior<SupervisorMessage> onSetRole(SupervisorMessage.SetRole m) {
        Optional<WorkerReport> worker = directory.live(m.gpuId());
        if (worker.isEmpty()) {
            m.replyTo().tell(unknown(m.gpuId()));
            return this;
        }
        long asked = System.nanoTime();
        LOG.info("role of {} by hand: {} -> {}", m.gpuId(), worker.get().role(), m.role());
        answer(
                m.gpuId(),
                m.replyTo(),
                ask(m.gpuId(), ref -> supervision.changeRole(m.gpuId(), m.role(), ref), ROLE_TIMEOUT),
                done -> "",
                failure -> Unanswered.since(asked, worker.get(), ROLE_TIMEOUT)
                        .roleChange(m.role(), failure, directory.entries()));
        return this;
    }

    private Behavior<SupervisorMessage> onDrain(SupervisorMessage.Drain m) {
        Optional<WorkerReport> worker = directory.live(m.gpuId());
        if (worker.isEmpty()) {
            m.replyTo().tell(unknown(m.gpuId()));
            return this;
        }
        long asked = System.nanoTime();
        // By hand, or by its node, which stops.
        LOG.info("{} {}", m.gpuId(), m.draining() ? "is to be drained" : "takes work again");
        answer(
                m.gpuId(),
                m.replyTo(),
                ask(m.gpuId(), ref -> supervision.setDraining(m.gpuId(), m.draining(), ref), drainTimeout),
                done -> done.draining() == m.draining() ? "" : m.gpuId() + " was put back into routing meanwhile",
                failure -> Unanswered.since(asked, worker.get(), drainTimeout)
                        .drain(m.draining(), failure, directory.entries()));
        return this;
    }

    private SupervisorMessage.Outcome unknown(String gpuId) {
        return new SupervisorMessage.Outcome(
                gpuId, EngineRole.MIXED, "no live worker has the id '" + gpuId + "'; there are: " + summary());
    }

    private interface Question {
        WorkerMessage.Remote to(ActorRef<WorkerMessage.Done> replyTo);
    }

    private CompletionStage<WorkerMessage.Done> ask(String gpuId, Question question, Duration timeout) {
        return AskPattern.<WorkerMessage, WorkerMessage.Done>ask(
                workers.worker(gpuId),
                question::to,
                timeout,
                getContext().getSystem().scheduler());
    }

    /**
     * @param error what of the worker's answer is not what was asked for; empty when all is
     * @param unanswered what to say where there is none
     */
    private static void answer(
            String gpuId,
            ActorRef<SupervisorMessage.Outcome> replyTo,
            CompletionStage<WorkerMessage.Done> asked,
            Function<WorkerMessage.Done, String> error,
            Function<Throwable, String> unanswered) {
        asked.whenComplete((done, failure) -> replyTo.tell(
                failure == null
                        ? new SupervisorMessage.Outcome(gpuId, done.role(), error.apply(done))
                        : new SupervisorMessage.Outcome(gpuId, EngineRole.MIXED, unanswered.apply(failure))));
    }
}
