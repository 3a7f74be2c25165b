package io.tandem.routing;

import io.tandem.worker.WorkerReport;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
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

/**
 * Collects the workers' reports on one node. A worker is lost when its node is unreachable or gone, when its reports stop,
 * or when a new incarnation reports; each loss is told once.
 */
public final class WorkerRegistry extends AbstractBehavior<RegistryMessage> {
    private static final Logger LOG = LoggerFactory.getLogger(WorkerRegistry.class);

    private record Tick() implements RegistryMessage {}

    private record Reachability(ClusterEvent.ReachabilityEvent event) implements RegistryMessage {}

    private record Membership(ClusterEvent.MemberEvent event) implements RegistryMessage {}

    private final WorkerDirectory directory;
    private final long timeoutNanos;
    private final BiConsumer<String, Long> onLost;
    private final TreeMap<String, WorkerDirectory.Entry> workers = new TreeMap<>();
    private final Set<String> unreachable = new HashSet<>();

    private WorkerRegistry(
            ActorContext<RegistryMessage> context,
            WorkerDirectory directory,
            Duration workerTimeout,
            BiConsumer<String, Long> onLost) {
        super(context);
        this.directory = directory;
        this.timeoutNanos = workerTimeout.toNanos();
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
                .onMessage(RegistryMessage.SupervisorSeen.class, m -> {
                    directory.publishSupervisor(m.node());
                    return this;
                })
                .build();
    }

    private Behavior<RegistryMessage> onReport(WorkerReport report) {
        WorkerDirectory.Entry known = workers.get(report.gpuId());
        if (known != null && known.report().epoch() > report.epoch()) {
            return this;
        }
        if (known != null && known.live() && known.report().epoch() < report.epoch()) {
            lose(known.report(), "a new incarnation reports");
        }
        if (known == null || !known.live() || known.report().epoch() != report.epoch()) {
            LOG.info("worker {} on {} joined as {}", report.gpuId(), report.node(), report.role());
        } else if (known.report().role() != report.role()) {
            LOG.info("worker {} is {} now", report.gpuId(), report.role());
        }
        workers.put(report.gpuId(), new WorkerDirectory.Entry(report, true, System.nanoTime()));
        publish();
        return this;
    }

    private Behavior<RegistryMessage> onTick() {
        long now = System.nanoTime();
        for (WorkerDirectory.Entry entry : List.copyOf(workers.values())) {
            if (entry.live() && now - entry.seenNanos() > timeoutNanos) {
                lose(entry.report(), "its reports stopped");
            }
        }
        return this;
    }

    private Behavior<RegistryMessage> onReachability(ClusterEvent.ReachabilityEvent event) {
        String node = Registries.node(event.member().address());
        if (event instanceof ClusterEvent.UnreachableMember) {
            unreachable.add(node);
            loseAllOn(node, "its node is unreachable");
        } else {
            unreachable.remove(node);
        }
        return this;
    }

    private Behavior<RegistryMessage> onMembership(ClusterEvent.MemberEvent event) {
        if (event instanceof ClusterEvent.MemberRemoved
                || event instanceof ClusterEvent.MemberDowned
                || event instanceof ClusterEvent.MemberExited) {
            String node = Registries.node(event.member().address());
            loseAllOn(node, "its node is " + event.member().status());
            if (event instanceof ClusterEvent.MemberRemoved) {
                unreachable.remove(node);
                workers.values().removeIf(e -> e.report().node().equals(node));
                publish();
            }
        }
        return this;
    }

    private void loseAllOn(String node, String why) {
        for (WorkerDirectory.Entry entry : new ArrayList<>(workers.values())) {
            if (entry.live() && entry.report().node().equals(node)) {
                lose(entry.report(), why);
            }
        }
    }

    private void lose(WorkerReport report, String why) {
        LOG.warn("worker {} on {} is lost: {}", report.gpuId(), report.node(), why);
        workers.put(report.gpuId(), new WorkerDirectory.Entry(report, false, System.nanoTime()));
        publish();
        onLost.accept(report.gpuId(), report.epoch());
    }

    private void publish() {
        directory.publish(new ArrayList<>(workers.values()));
    }
}
