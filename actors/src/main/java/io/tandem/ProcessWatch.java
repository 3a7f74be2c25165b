package io.tandem;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.lifeline.LifelineActor;
import io.tandem.lifeline.LifelineRole;
import io.tandem.lifeline.LifelineSettings;
import io.tandem.lifeline.LifelineSockets;
import io.tandem.routing.RegistryMessage;
import io.tandem.routing.WorkerRegistry;
import io.tandem.worker.WorkEvent;
import io.tandem.worker.WorkerShards;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.javadsl.ActorContext;

/**
 * One node's part in the watch over processes: where requests are owned, the workers' processes; where GPUs are, those of the
 * requests' owners, as far as their roles tell. So the death of either is seen at once by whoever has something to do about it. A node
 * that has GPUs and owns requests all the same, by the embedded client, watches the others from its first request on.
 */
final class ProcessWatch implements AutoCloseable {
    private final LifelineSettings settings;
    private final Optional<LifelineSockets> sockets;
    private final AtomicBoolean owns = new AtomicBoolean();
    private volatile ActorRef<LifelineActor.Message> lifelines;
    private volatile LifelineStatus status = LifelineStatus.NONE;

    private ProcessWatch(LifelineSettings settings, Optional<LifelineSockets> sockets) {
        this.settings = settings;
        this.sockets = sockets;
    }

    /**
     * Begins to listen, unless it is turned off.
     *
     * @throws IllegalArgumentException when the port cannot be had
     */
    static ProcessWatch open(Config full, NodeSettings node) {
        LifelineSettings settings = LifelineSettings.from(full);
        String bind = full.getString("pekko.remote.artery.bind.hostname");
        return new ProcessWatch(
                settings,
                settings.enabled()
                        ? Optional.of(LifelineSockets.open(bind.isEmpty() ? node.host() : bind, settings))
                        : Optional.empty());
    }

    /** The settings with what the other members are to know of the listener. */
    Config announce(Config full) {
        if (sockets.isEmpty()) {
            return full;
        }
        List<String> roles = new ArrayList<>(full.getStringList("pekko.cluster.roles"));
        roles.add(sockets.get().role().text());
        return ConfigFactory.parseMap(Map.of("pekko.cluster.roles", roles), "where this node listens")
                .withFallback(full);
    }

    /** Watches the members that matter to this node. */
    void start(ActorContext<?> context, NodeSettings node, ActorRef<RegistryMessage> registry, WorkerShards workers) {
        owns.set(node.serves());
        sockets.ifPresent(s -> lifelines = context.spawn(
                Tandem.lasting(LifelineActor.create(
                        s,
                        settings,
                        roles -> owns.get() && hasGpus(roles)
                                || !node.gpus().isEmpty() && NodeSettings.serves(roles, hasGpus(roles)),
                        new News(node, registry, workers))),
                "lifelines"));
    }

    /** A request begins here. */
    void ownsRequests() {
        if (!owns.get() && owns.compareAndSet(false, true) && lifelines != null) {
            lifelines.tell(new LifelineActor.LookAgain());
        }
    }

    private static boolean hasGpus(Set<String> roles) {
        return roles.contains(WorkerShards.WORKER_ROLE);
    }

    LifelineStatus status() {
        return status;
    }

    /** For the others this process is gone then. */
    @Override
    public void close() {
        sockets.ifPresent(LifelineSockets::close);
    }

    /** To whoever has something to do about it. */
    private final class News implements LifelineActor.Listener {
        private final NodeSettings node;
        private final ActorRef<RegistryMessage> registry;
        private final WorkerShards workers;

        News(NodeSettings node, ActorRef<RegistryMessage> registry, WorkerShards workers) {
            this.node = node;
            this.registry = registry;
            this.workers = workers;
        }

        @Override
        public void gone(String dead, String why) {
            registry.tell(new WorkerRegistry.ProcessGone(dead, why));
            workers.tellOwn(node.gpus().keySet(), new WorkEvent.NodeGone(dead));
        }

        @Override
        public void back(String alive) {
            registry.tell(new WorkerRegistry.ProcessBack(alive));
        }

        @Override
        public void status(LifelineStatus now) {
            status = now;
        }
    }

    /** Whether a cluster role is for programs only; Pekko gives each member one for its data centre. */
    static boolean isInternal(String role) {
        return LifelineRole.isOne(role) || role.startsWith("dc-");
    }
}
