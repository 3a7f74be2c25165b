package io.tandem.routing;

import io.tandem.supervisor.DemandReport;
import io.tandem.supervisor.SupervisorReport;
import io.tandem.worker.WorkerEnded;
import io.tandem.worker.WorkerReport;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.cluster.ClusterEvent;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.Subscribe;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Collects the workers' reports on one node and tells of losses; the rules are {@link WorkerRoster}'s. When it begins anew after a failure
 * it goes on with the workers that it knew, but for those whose nodes have left meanwhile.
 */
public final class WorkerRegistry extends AbstractBehavior<RegistryMessage> {
    private static final Logger LOG = LoggerFactory.getLogger(WorkerRegistry.class);
    private static final String LEAVING = "its node is Exiting";
    private static final String SELF_LEAVING = "this node leaves the cluster";

    /** Told of each loss; runs on the actor and must not block. */
    @FunctionalInterface
    public interface LossListener {
        void lost(String gpuId, long epoch, String why);
    }

    /** The process of a node (host:port of its control messages) is dead. */
    public record ProcessGone(String node, String why) implements RegistryMessage {}

    /** It is not after all. */
    public record ProcessBack(String node) implements RegistryMessage {}

    private record Tick() implements RegistryMessage {}

    private record Reachability(ClusterEvent.ReachabilityEvent event) implements RegistryMessage {}

    private record Membership(ClusterEvent.MemberEvent event) implements RegistryMessage {}

    private final WorkerDirectory directory;
    private final LossListener onLost;
    private final WorkerRoster roster;
    private final Cluster cluster;

    private WorkerRegistry(
            ActorContext<RegistryMessage> context,
            WorkerDirectory directory,
            WorkerRoster roster,
            LossListener onLost) {
        super(context);
        this.directory = directory;
        this.roster = roster;
        this.onLost = onLost;
        cluster = Cluster.get(context.getSystem());
        cluster.subscriptions()
                .tell(Subscribe.create(
                        context.messageAdapter(ClusterEvent.ReachabilityEvent.class, Reachability::new),
                        ClusterEvent.ReachabilityEvent.class));
        cluster.subscriptions()
                .tell(Subscribe.create(
                        context.messageAdapter(ClusterEvent.MemberEvent.class, Membership::new),
                        ClusterEvent.MemberEvent.class));
        forgetAllButMembers(entry -> true);
    }

    /** Of those that are members, the subscriptions tell. */
    private void forgetAllButMembers(Predicate<WorkerDirectory.Entry> which) {
        List<WorkerDirectory.Entry> asked =
                roster.entries().stream().filter(which).toList();
        if (asked.isEmpty()) {
            return;
        }
        Set<String> members = new HashSet<>();
        cluster.state().getMembers().forEach(m -> members.add(Registries.node(m.address())));
        if (!members.contains(Registries.node(cluster.selfMember().address()))) {
            return; // Who is no member itself yet knows nothing of the others.
        }
        for (WorkerDirectory.Entry entry : asked) {
            String node = entry.report().node();
            if (!members.contains(node)) {
                remove(node, "its node is no member any more");
            }
        }
    }

    /**
     * To be spawned once.
     *
     * @param workerTimeout silence after which a worker is lost
     */
    public static Behavior<RegistryMessage> create(
            WorkerDirectory directory, Duration workerTimeout, LossListener onLost) {
        WorkerRoster roster = new WorkerRoster(workerTimeout.toNanos());
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            timers.startTimerWithFixedDelay(new Tick(), workerTimeout.dividedBy(10));
            return new WorkerRegistry(context, directory, roster, onLost);
        }));
    }

    @Override
    public Receive<RegistryMessage> createReceive() {
        return newReceiveBuilder()
                .onMessage(WorkerReport.class, this::onReport)
                .onMessage(
                        WorkerEnded.class,
                        m -> lose(roster.onWorkerEnded(m.gpuId(), m.epoch(), m.why(), System.nanoTime())))
                .onMessage(Tick.class, m -> onTick())
                .onMessage(Reachability.class, m -> onReachability(m.event()))
                .onMessage(Membership.class, m -> onMembership(m.event()))
                .onMessage(
                        ProcessGone.class,
                        m -> lose(roster.onProcessGone(
                                m.node(), "its process is gone (" + m.why() + ")", System.nanoTime())))
                .onMessage(ProcessBack.class, m -> {
                    roster.onProcessBack(m.node());
                    return this;
                })
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
        WorkerDirectory.Entry before = roster.entry(report.gpuId());
        List<WorkerRoster.Loss> losses = roster.onReport(report, System.nanoTime());
        boolean joined = before == null || !before.live() || before.report().epoch() < report.epoch();
        if (!roster.entry(report.gpuId()).report().equals(report)) {
            LOG.debug("a report of {} comes too late", report.gpuId());
        } else if (joined) {
            LOG.info("worker {} on {} joined as {}", report.gpuId(), report.node(), report.role());
        } else if (before.report().role() != report.role()) {
            LOG.info("worker {} is {} now", report.gpuId(), report.role());
        }
        publish();
        tell(losses);
        return this;
    }

    private Behavior<RegistryMessage> onTick() {
        // A report that came after its node was removed: nobody would tell of that again.
        forgetAllButMembers(entry -> !entry.live());
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
        String why = why(event);
        if (event instanceof ClusterEvent.MemberRemoved) {
            remove(node, why);
        } else if (event instanceof ClusterEvent.MemberDowned || event instanceof ClusterEvent.MemberExited) {
            lose(roster.onNodeLost(node, why, System.nanoTime()));
        }
        return this;
    }

    private void remove(String node, String why) {
        List<WorkerRoster.Loss> losses = roster.onNodeRemoved(node, why, System.nanoTime());
        directory.forgetDemand(node);
        publish();
        tell(losses);
    }

    private String why(ClusterEvent.MemberEvent event) {
        if (event instanceof ClusterEvent.MemberExited) {
            return LEAVING;
        }
        // To a node that leaves, all others are removed.
        MemberStatus own = cluster.selfMember().status();
        boolean selfLeaves = own.equals(MemberStatus.exiting()) || own.equals(MemberStatus.removed());
        return selfLeaves ? SELF_LEAVING : "its node is " + event.member().status();
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
            if (loss.why().equals(SELF_LEAVING)) {
                LOG.debug("worker {} on {} is not seen any more: {}", worker.gpuId(), worker.node(), loss.why());
            } else if (loss.why().equals(LEAVING) || loss.why().equals(WorkerEnded.NODE_STOPS)) {
                LOG.info("worker {} on {} leaves: {}", worker.gpuId(), worker.node(), loss.why());
            } else {
                LOG.warn("worker {} on {} is lost: {}", worker.gpuId(), worker.node(), loss.why());
            }
            onLost.lost(worker.gpuId(), worker.epoch(), loss.why());
        }
    }

    private void publish() {
        directory.publish(roster.entries());
    }
}
