package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.routing.Registries;
import io.tandem.routing.RegistryMessage;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
import io.tandem.worker.WorkerShards;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
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
 * The cluster's singleton: watches the workers, says where it lives and what the cluster is made of, and carries out what
 * operators ask for. It keeps nothing that would be lost with it: a role lives in its worker, so a supervisor that starts
 * anew on another node finds everything as it was, and serving never waits for it.
 */
public final class SupervisorActor extends AbstractBehavior<SupervisorMessage> {
    private static final Logger LOG = LoggerFactory.getLogger(SupervisorActor.class);
    private static final Duration BEAT = Duration.ofSeconds(1);
    private static final Duration ROLE_TIMEOUT = Duration.ofSeconds(20);

    /** Its own events. */
    sealed interface Internal extends SupervisorMessage {}

    private record Beat() implements Internal {}

    private final WorkerDirectory directory;
    private final WorkerShards workers;
    private final Registries registries;
    private final Duration drainTimeout;
    private String lastSummary = "";

    private SupervisorActor(
            ActorContext<SupervisorMessage> context,
            WorkerDirectory directory,
            WorkerShards workers,
            Registries registries,
            Duration drainTimeout) {
        super(context);
        this.directory = directory;
        this.workers = workers;
        this.registries = registries;
        this.drainTimeout = drainTimeout;
        LOG.info("the supervisor runs on {}", registries.selfNode());
    }

    public static Behavior<SupervisorMessage> create(
            WorkerDirectory directory, WorkerShards workers, Registries registries, Duration drainTimeout) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            timers.startTimerWithFixedDelay(new Beat(), Duration.ZERO, BEAT);
            return new SupervisorActor(context, directory, workers, registries, drainTimeout);
        }));
    }

    @Override
    public Receive<SupervisorMessage> createReceive() {
        return newReceiveBuilder()
                .onMessage(Beat.class, m -> onBeat())
                .onMessage(SupervisorMessage.SetRole.class, this::onSetRole)
                .onMessage(SupervisorMessage.Drain.class, this::onDrain)
                .build();
    }

    private Behavior<SupervisorMessage> onBeat() {
        registries.tellAll(new RegistryMessage.SupervisorSeen(registries.selfNode()));
        String summary = summary();
        if (!summary.equals(lastSummary)) {
            lastSummary = summary;
            LOG.info("cluster: {}", summary.isEmpty() ? "no workers" : summary);
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
        LOG.info("role of {} by hand: {} -> {}", m.gpuId(), worker.get().role(), m.role());
        answer(
                m.gpuId(),
                m.replyTo(),
                ask(m.gpuId(), ref -> new WorkerMessage.ChangeRole(m.role(), ref), ROLE_TIMEOUT));
        return this;
    }

    private Behavior<SupervisorMessage> onDrain(SupervisorMessage.Drain m) {
        if (directory.live(m.gpuId()).isEmpty()) {
            m.replyTo().tell(unknown(m.gpuId()));
            return this;
        }
        LOG.info("{} {} by hand", m.gpuId(), m.draining() ? "is drained" : "takes work again");
        answer(
                m.gpuId(),
                m.replyTo(),
                ask(m.gpuId(), ref -> new WorkerMessage.SetDraining(m.draining(), ref), drainTimeout));
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

    private static void answer(
            String gpuId, ActorRef<SupervisorMessage.Outcome> replyTo, CompletionStage<WorkerMessage.Done> asked) {
        asked.whenComplete((done, failure) -> replyTo.tell(
                failure == null
                        ? new SupervisorMessage.Outcome(gpuId, done.role(), "")
                        : new SupervisorMessage.Outcome(
                                gpuId, EngineRole.MIXED, "no answer from " + gpuId + " in time: it is still busy")));
    }
}
