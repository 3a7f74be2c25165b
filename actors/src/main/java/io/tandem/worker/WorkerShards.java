package io.tandem.worker;

import io.tandem.routing.Registries;
import java.util.List;
import java.util.Set;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.RecipientRef;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.sharding.typed.ShardingEnvelope;
import org.apache.pekko.cluster.sharding.typed.ShardingMessageExtractor;
import org.apache.pekko.cluster.sharding.typed.javadsl.ClusterSharding;
import org.apache.pekko.cluster.sharding.typed.javadsl.Entity;
import org.apache.pekko.cluster.sharding.typed.javadsl.EntityTypeKey;
import org.apache.pekko.cluster.typed.Cluster;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The sharding of workers: one shard and one entity a GPU, pinned to the node that owns the device. */
public final class WorkerShards {
    /** Cluster role of nodes that own GPUs. */
    public static final String WORKER_ROLE = "worker";

    private static final Logger LOG = LoggerFactory.getLogger(WorkerShards.class);
    private static final EntityTypeKey<WorkerMessage> TYPE = EntityTypeKey.create(WorkerMessage.class, "gpu");

    private final ClusterSharding sharding;
    private final StandingOrders orders = new StandingOrders();
    private final CoordinatedShutdown shutdown;

    /**
     * Starts the region (or its proxy, on a node without GPUs).
     *
     * @param host the node's GPUs, or null when it has none
     */
    public WorkerShards(ActorSystem<?> system, GpuHost host, Registries registries) {
        sharding = ClusterSharding.get(system);
        shutdown = CoordinatedShutdown.get(Adapter.toClassic(system));
        sharding.init(Entity.of(TYPE, context -> behavior(context.getEntityId(), host, registries, orders))
                .withRole(WORKER_ROLE)
                .withStopMessage(WorkerActor.stopMessage())
                .withMessageExtractor(new ByGpu())
                .withAllocationStrategy(
                        new RolePinnedAllocation(org.apache.pekko.cluster.Cluster.get(Adapter.toClassic(system)))));
        LOG.debug("sharding of workers on {}", Cluster.get(system).selfMember());
    }

    private static Behavior<WorkerMessage> behavior(
            String gpuId, GpuHost host, Registries registries, StandingOrders orders) {
        if (host == null || !host.gpus().containsKey(gpuId)) {
            LOG.error("GPU {} is not on this node; its worker does not start here", gpuId);
            return Behaviors.stopped();
        }
        String gone = host.backends().gone(gpuId);
        return gone.isEmpty() ? WorkerActor.create(gpuId, host, registries, orders) : GoneWorker.create(gpuId, gone);
    }

    /** The GPUs that a node with these cluster roles owns. */
    public static List<String> gpusOf(Set<String> roles) {
        String prefix = gpuRole("");
        return roles.stream()
                .filter(role -> role.startsWith(prefix) && role.length() > prefix.length())
                .map(role -> role.substring(prefix.length()))
                .toList();
    }

    /** The cluster role that marks a GPU's node. */
    public static String gpuRole(String gpuId) {
        return RolePinnedAllocation.gpuRole(gpuId);
    }

    /** A worker, wherever it is. Messages to a GPU that nobody owns wait in a bounded buffer: ask the directory first. */
    public RecipientRef<WorkerMessage> worker(String gpuId) {
        return sharding.entityRefFor(TYPE, gpuId);
    }

    /**
     * Tells workers of this node, unless it stops: a shard may be handed over by then, and a message that waits for one keeps the
     * region, and the node, from ending.
     */
    public void tellOwn(Set<String> gpuIds, WorkerMessage message) {
        if (shutdown.getShutdownReason().isEmpty()) {
            gpuIds.forEach(id -> worker(id).tell(message));
        }
    }

    private static final class ByGpu extends ShardingMessageExtractor<ShardingEnvelope<WorkerMessage>, WorkerMessage> {
        @Override
        public String entityId(ShardingEnvelope<WorkerMessage> envelope) {
            return envelope.entityId();
        }

        @Override
        public String shardId(String entityId) {
            return entityId;
        }

        @Override
        public WorkerMessage unwrapMessage(ShardingEnvelope<WorkerMessage> envelope) {
            return envelope.message();
        }
    }
}
