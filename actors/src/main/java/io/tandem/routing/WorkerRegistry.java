package io.tandem.routing;

import io.tandem.supervisor.DemandReport;
import io.tandem.supervisor.SupervisorReport;
import io.tandem.worker.WorkerReport;
import java.time.Duration;
import java.util.List;
import java.util.function.BiConsumer;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.cluster.ClusterEvent;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Subscribe;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Collects the workers' reports on one node and tells of losses; the rules are {@link WorkerRoster}'s. */
public final class WorkerRegistry extends AbstractBehavior<RegistryMessage> {
    private static final Logger LOG = LoggerFactory.getLogger(WorkerRegistry.class);

    private record Tick() implements RegistryMessage {}

    private record Reachability(ClusterEvent.ReachabilityEvent event) implements RegistryMessage {}

    private record Membership(ClusterEvent.MemberEvent event) implements RegistryMessage {}

    private final WorkerDirectory directory;
    private final BiConsumer<String, Long> onLost;
    private final WorkerRoster roster;

    private WorkerRegistry(
            ActorContext<RegistryMessage> context,
            WorkerDirectory directory,
            Duration workerTimeout,
            BiConsumer<String, Long> onLost) {
        super(context);
        this.directory = directory;
        roster = new WorkerRoster(workerTimeout.toNanos());
        this.onLost = onLost;
        Cluster cluster = Cluster.get(context.getSystem());
        cluster.subscriptions()
                .tell(Subscribe.create(
                        context.messageAdapter(ClusterEvent.ReachabilityEvent.class, Reachability::new),
                        ClusterEvent.ReachabilityEvent.class));
        cluster.subscriptions()
                .tell(Subscribe.create(
                        context.messageAdapter(ClusterEvent.MemberEvent.class, Membership::new),
                        ClusterEvent.MemberEvent.class));
    }

    /**
     * @param workerTimeout silence after which a worker is lost
     * @param onLost told GPU id and epoch; runs on the actor and must not block
     */
    public static Behavior<RegistryMessage> create(
            WorkerDirectory directory, Duration workerTimeout, BiConsumer<String, Long> onLost) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            timers.startTimerWithFixedDelay(new Tick(), workerTimeout.dividedBy(10));
            return new WorkerRegistry(context, directory, workerTimeout, onLost);
        }));
    }

    @Override
    public Receive<RegistryMessage> createReceive() {
        return newReceiveBuilder()
                .onMessage(WorkerReport.class, this::onReport)
                .onMessage(Tick.class, m -> onTick())
                .onMessage(Reachability.class, m -> onReachability(m.event()))
                .onMessage(Membership.class, m -> onMembership(m.event()))
                .onMessage(SupervisorReport.class, m -> {
                    directory.publishSupervisor(m);
                    return this;
                })
                .onMessage(DemandReport.class, m -> {
                    directory.publishDemand(m, System.nanoTime());
                    return this;
                })
                .build();
    }

    private Behavior<RegistryMessage> onReport(WorkerReport report) {
        WorkerDirectory.Entry known = roster.entry(report.gpuId());
        if (known == null || !known.live() || known.report().epoch() < report.epoch()) {
            LOG.info("worker {} on {} joined as {}", report.gpuId(), report.node(), report.role());
        } else if (known.report().epoch() == report.epoch() && known.report().role() != report.role()) {
            LOG.info("worker {} is {} now", report.gpuId(), report.role());
        }
        List<WorkerRoster.Loss> losses = roster.onReport(report, System.nanoTime());
        publish();
        tell(losses);
        return this;
    }

    private Behavior<RegistryMessage> onTick() {
        return lose(roster.onTick(System.nanoTime()));
    }

    private Behavior<RegistryMessage> onReachability(ClusterEvent.ReachabilityEvent event) {
        String node = Registries.node(event.member().address());
        return event instanceof ClusterEvent.UnreachableMember
                ? lose(roster.onNodeLost(node, "its node is unreachable", System.nanoTime()))
                : this;
    }

    private Behavior<RegistryMessage> onMembership(ClusterEvent.MemberEvent event) {
        String node = Registries.node(event.member().address());
        String why = "its node is " + event.member().status();
        if (event instanceof ClusterEvent.MemberRemoved) {
            List<WorkerRoster.Loss> losses = roster.onNodeRemoved(node, why, System.nanoTime());
            publish();
            tell(losses);
        } else if (event instanceof ClusterEvent.MemberDowned || event instanceof ClusterEvent.MemberExited) {
            lose(roster.onNodeLost(node, why, System.nanoTime()));
        }
        return this;
    }

    private Behavior<RegistryMessage> lose(List<WorkerRoster.Loss> losses) {
        if (!losses.isEmpty()) {
            publish();
            tell(losses);
        }
        return this;
    }

    private void tell(List<WorkerRoster.Loss> losses) {
        for (WorkerRoster.Loss loss : losses) {
            WorkerReport worker = loss.worker();
            LOG.warn("worker {} on {} is lost: {}", worker.gpuId(), worker.node(), loss.why());
            onLost.accept(worker.gpuId(), worker.epoch());
        }
    }

    private void publish() {
        directory.publish(roster.entries());
    }
}
