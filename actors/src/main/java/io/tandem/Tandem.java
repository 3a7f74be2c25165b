package io.tandem;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.admission.AdmissionSettings;
import io.tandem.compute.Backends;
import io.tandem.compute.ComputeSettings;
import io.tandem.engine.EngineSettings;
import io.tandem.model.ModelBundle;
import io.tandem.model.Models;
import io.tandem.request.AdmissionActor;
import io.tandem.request.RequestHub;
import io.tandem.request.RequestMessage;
import io.tandem.routing.BlockFeedActor;
import io.tandem.routing.Registries;
import io.tandem.routing.RegistryMessage;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerRegistry;
import io.tandem.supervisor.DemandMeter;
import io.tandem.supervisor.RebalanceSettings;
import io.tandem.supervisor.SupervisorActor;
import io.tandem.supervisor.SupervisorMessage;
import io.tandem.transfer.AeronTransport;
import io.tandem.transfer.TransferSettings;
import io.tandem.worker.BackendsAhead;
import io.tandem.worker.GpuHost;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerSettings;
import io.tandem.worker.WorkerShards;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.pekko.Done;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.SupervisorStrategy;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.cluster.typed.Cluster;
import org.apache.pekko.cluster.typed.ClusterSingleton;
import org.apache.pekko.cluster.typed.SingletonActor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One node of a Tandem cluster inside this JVM. What it is — its GPUs, whom it joins, its model — is said by {@code
 * tandem.node} of the configuration; without GPUs it is a client node. Close it to leave the cluster.
 */
public final class Tandem implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Tandem.class);
    private static final Duration DEMAND_INTERVAL = Duration.ofSeconds(1);
    private static final Duration FIRST_DELAY = Duration.ofMillis(50);
    private static final Duration RESTART_MIN = Duration.ofMillis(100);
    private static final Duration RESTART_MAX = Duration.ofSeconds(5);
    private static final Duration STOP_MARGIN = Duration.ofSeconds(5);
    private static final Duration STOP_TIMEOUT = Duration.ofSeconds(30);

    private final ActorSystem<Void> system;
    private final ClusterClient client;
    private final Config config;
    private final NodeSettings node;
    private final Start start;

    private Tandem(ActorSystem<Void> system, ClusterClient client, Config config, NodeSettings node, Start start) {
        this.system = system;
        this.client = client;
        this.config = config;
        this.node = node;
        this.start = start;
    }

    /** A node that cannot open one of its GPUs at its start is not what was asked for: it stops and keeps the reason. */
    private static final class Start {
        private final AtomicReference<String> failure = new AtomicReference<>();
        private final CompletableFuture<ActorSystem<Void>> system = new CompletableFuture<>();
        private final BackendsAhead backends;

        Start(Config config, NodeSettings node) {
            backends = new BackendsAhead(
                    node.gpus().keySet(),
                    gpuId -> Backends.open(node.modelPath(), deviceOf(gpuId, config, node)),
                    this::onFailure);
        }

        /** The first GPU of the node takes the device that is set, the next one the next. */
        private static Config deviceOf(String gpuId, Config config, NodeSettings node) {
            int index = List.copyOf(node.gpus().keySet()).indexOf(gpuId);
            int device = config.getInt("tandem.compute.cuda.device") + index;
            return ConfigFactory.parseMap(Map.of("tandem.compute.cuda.device", device), "device of " + gpuId)
                    .withFallback(config);
        }

        /** Two nodes cannot have the same GPU: one of them was told wrong, and this one came later. */
        void taken(String gpuId, String other) {
            onFailure(
                    gpuId,
                    new IllegalStateException("the node " + other
                            + " has a GPU of that id; give each GPU of a cluster another one"
                            + " (tandem.node.gpus, or --gpus ID=ROLE)"));
        }

        private void onFailure(String gpuId, Throwable cause) {
            failure.compareAndSet(null, "GPU " + gpuId + " cannot start: " + cause.getMessage());
            LOG.error("GPU {} cannot start: {}; this node stops", gpuId, cause.getMessage());
            LOG.debug("GPU {}", gpuId, cause);
            system.thenAccept(
                    s -> CoordinatedShutdown.get(Adapter.toClassic(s)).runAll(CoordinatedShutdown.unknownReason()));
        }
    }

    /** What the guardian starts, handed out of it. */
    private record Parts(
            ActorRef<AdmissionActor.Message> admission, ActorRef<SupervisorMessage> supervisor, WorkerShards workers) {}

    /**
     * Starts a node and joins (or founds) the cluster. Returns at once; see {@link #awaitReady}.
     *
     * @param config overrides of the modules' reference.conf; at least {@code tandem.node.model.path}
     * @throws IllegalArgumentException when a setting or the model is wrong, naming it and the fix
     */
    public static Tandem start(Config config) {
        Config checked = fullConfig(config);
        NodeSettings node = NodeSettings.from(checked);
        ComputeSettings.from(checked);
        EngineSettings.from(checked);
        TransferSettings.from(checked);
        RebalanceSettings.from(checked);
        WorkerSettings.from(checked);
        ModelBundle model = openModel(node);
        ProcessWatch watch = ProcessWatch.open(checked, node);
        try {
            return start(watch.announce(checked), node, model, watch);
        } catch (RuntimeException e) {
            watch.close();
            throw e;
        }
    }

    private static Tandem start(Config full, NodeSettings node, ModelBundle model, ProcessWatch watch) {
        WorkerDirectory directory = new WorkerDirectory();
        CacheKnowledge caches = new CacheKnowledge(full, directory);
        ClusterClient client = new ClusterClient(full, model, directory, caches, watch);
        CompletableFuture<Parts> starting = new CompletableFuture<>();
        Start start = new Start(full, node);
        ActorSystem<Void> system;
        try {
            system = ActorSystem.create(
                    guardian(full, node, model, directory, caches, client, start, watch, starting),
                    node.clusterName(),
                    full);
        } catch (RuntimeException e) {
            // Its port is taken, say: what the GPUs' threads have opened meanwhile is nobody's.
            start.backends.close();
            throw e;
        }
        system.getWhenTerminated().thenRun(watch::close);
        try {
            // The guardian runs before create returns or soon after; nothing else is done on this thread until then.
            Parts parts = await(starting, node.startTimeout());
            client.attach(system, parts.admission(), parts.supervisor(), parts.workers());
            LOG.info(
                    "node {} of cluster '{}' with {}",
                    Cluster.get(system).selfMember().address(),
                    node.clusterName(),
                    node.gpus().isEmpty() ? "no GPU" : "GPUs " + node.gpus());
            GracefulStop.install(
                    system,
                    node,
                    directory,
                    client,
                    gpu -> !start.backends.gone(gpu).isEmpty());
            start.system.complete(system);
            return new Tandem(system, client, full, node, start);
        } catch (RuntimeException e) {
            start.backends.close();
            system.terminate();
            throw e;
        }
    }

    private static ModelBundle openModel(NodeSettings node) {
        try {
            ModelBundle model = Models.open(node.modelPath(), node.modelName());
            if (node.serves()) {
                // Requests start here: a tokenizer that cannot be read is an error of the start, not of the first
                // request.
                model.tokenizer().vocabSize();
            }
            return model;
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read the model " + node.modelPath(), e);
        }
    }

    /** The user's settings over those that make Pekko fit Tandem, over each module's reference.conf. */
    private static Config fullConfig(Config user) {
        Config merged = ConfigFactory.load(user.withFallback(ConfigFactory.parseResources("tandem-cluster.conf")));
        SettingNames.check(merged, ConfigFactory.defaultReferenceUnresolved());
        NodeSettings node = NodeSettings.from(merged);
        List<String> roles = new ArrayList<>(node.roles());
        if (!node.gpus().isEmpty()) {
            roles.add(WorkerShards.WORKER_ROLE);
            node.gpus().keySet().forEach(id -> roles.add(WorkerShards.gpuRole(id)));
        }
        Map<String, Object> derived = new LinkedHashMap<>();
        derived.put("pekko.remote.artery.canonical.hostname", node.host());
        derived.put("pekko.remote.artery.canonical.port", node.port());
        derived.put("pekko.cluster.roles", roles);
        derived.put(
                "pekko.coordinated-shutdown.phases.before-service-unbind.timeout",
                node.stopDrainTimeout().plus(STOP_MARGIN).toMillis() + " ms");
        derived.put("pekko.cluster.seed-nodes", List.of());
        return ConfigFactory.parseMap(derived, "derived from tandem.node")
                .withFallback(merged)
                .resolve();
    }

    private static Behavior<Void> guardian(
            Config config,
            NodeSettings node,
            ModelBundle model,
            WorkerDirectory directory,
            CacheKnowledge caches,
            ClusterClient client,
            Start start,
            ProcessWatch watch,
            CompletableFuture<Parts> starting) {
        return Behaviors.setup(context -> {
            try {
                starting.complete(parts(context, config, node, model, directory, caches, client, start, watch));
            } catch (RuntimeException | Error e) {
                starting.completeExceptionally(e);
                throw e;
            }
            return Behaviors.empty();
        });
    }

    private static Parts parts(
            ActorContext<Void> context,
            Config config,
            NodeSettings node,
            ModelBundle model,
            WorkerDirectory directory,
            CacheKnowledge caches,
            ClusterClient client,
            Start start,
            ProcessWatch watch) {
        Registries registries = new Registries(context.getSystem());
        ActorRef<RequestMessage> hub = context.spawn(RequestHub.create(client.services()), "requests");
        ActorRef<AdmissionActor.Message> admission = context.spawn(
                AdmissionActor.create(AdmissionSettings.from(config), client.services(), hub), "admission");
        ActorRef<RegistryMessage> registry = context.spawn(
                lasting(WorkerRegistry.create(
                        directory,
                        node.workerTimeout(),
                        (gpu, epoch, why) -> hub.tell(new RequestHub.WorkerLost(gpu, epoch, why)))),
                Registries.NAME);
        GpuHost host = node.gpus().isEmpty() ? null : host(config, node, model, start.backends);
        WorkerShards workers = new WorkerShards(context.getSystem(), host, registries);
        caches.attach(context.spawn(
                lasting(BlockFeedActor.create(
                        caches.feed(),
                        directory,
                        (gpu, message) -> workers.worker(gpu).tell(message),
                        caches.settings().interval(),
                        caches::listens)),
                "blocks"));
        ActorRef<SupervisorMessage> supervisor = ClusterSingleton.get(context.getSystem())
                .init(SingletonActor.of(
                        lasting(SupervisorActor.create(directory, workers, registries, config)), "supervisor"));
        watch.start(context, node, registry, workers);
        keepAwake(
                context,
                config,
                node,
                workers,
                new OwnGpus(
                        node.gpus().keySet(),
                        registries.selfNode(),
                        directory,
                        node.workerTimeout().multipliedBy(3),
                        start::taken));
        reportDemand(context, registries, client.services().demand());
        SeedJoin.start(context.getSystem(), node);
        return new Parts(admission, supervisor, workers);
    }

    /** For those that keep nothing that cannot be learned again: after a failure they begin anew, where they would be gone for good. */
    static <T> Behavior<T> lasting(Behavior<T> behavior) {
        return Behaviors.supervise(behavior)
                .onFailure(
                        RuntimeException.class, SupervisorStrategy.restartWithBackoff(RESTART_MIN, RESTART_MAX, 0.1));
    }

    /** What clients ask for here, to every node, so that any of them can be the supervisor's. */
    private static void reportDemand(ActorContext<Void> context, Registries registries, DemandMeter demand) {
        repeat(
                context,
                DEMAND_INTERVAL,
                "report its demand",
                () -> registries.tellAll(demand.report(registries.selfNode(), System.nanoTime())));
    }

    /** A scheduler ends what fails once. */
    private static void repeat(ActorContext<Void> context, Duration interval, String what, Runnable task) {
        Runnable guarded = () -> {
            try {
                task.run();
            } catch (RuntimeException e) {
                LOG.warn("this node could not {}, and tries again: {}", what, e.toString());
            }
        };
        context.getSystem()
                .scheduler()
                .scheduleWithFixedDelay(FIRST_DELAY, interval, guarded, context.getExecutionContext());
    }

    private static GpuHost host(Config config, NodeSettings node, ModelBundle model, BackendsAhead backends) {
        return new GpuHost(
                config, model, node.gpus(), backends, gpuId -> AeronTransport.start(TransferSettings.from(config)));
    }

    /** An entity starts on its first message: the owner sends one now and then, which also revives it after a failure. */
    private static void keepAwake(
            ActorContext<Void> context, Config config, NodeSettings node, WorkerShards workers, OwnGpus own) {
        if (!node.gpus().isEmpty()) {
            repeat(context, WorkerSettings.from(config).wakeInterval(), "wake its workers", () -> {
                workers.tellOwn(node.gpus().keySet(), new WorkerMessage.Wake());
                own.look(System.nanoTime());
            });
        }
    }

    private static Parts await(CompletableFuture<Parts> starting, Duration timeout) {
        try {
            return starting.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            throw new IllegalStateException("this node cannot start: " + Failures.text(e), Failures.cause(e));
        } catch (TimeoutException e) {
            throw new IllegalStateException("the actor system did not start within " + timeout, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while starting", e);
        }
    }

    /** Sends generations through this node. */
    public TandemClient client() {
        return client;
    }

    /** The actor system, for code that lives beside Tandem in it (the HTTP server does). */
    public ActorSystem<Void> system() {
        return system;
    }

    /** All settings in force. */
    public Config config() {
        return config;
    }

    /** This node's own settings. */
    public NodeSettings node() {
        return node;
    }

    /**
     * Waits until the cluster can serve and this node's own GPUs do.
     *
     * @return whether it can; else {@link ClusterStatus#reason()} says what is missing
     * @throws IllegalStateException when this node stopped because it could not open one of its GPUs
     */
    public boolean awaitReady(Duration timeout) throws InterruptedException {
        long end = System.nanoTime() + timeout.toNanos();
        while (!isReady(client.clusterStatus())) {
            startFailure().ifPresent(reason -> {
                throw new IllegalStateException(reason);
            });
            if (System.nanoTime() - end > 0 || system.whenTerminated().isCompleted()) {
                return false;
            }
            Thread.sleep(20);
        }
        return true;
    }

    private boolean isReady(ClusterStatus status) {
        Set<String> missing = new HashSet<>(node.gpus().keySet());
        status.workers().stream()
                .filter(w -> w.live() && w.node().equals(status.self()))
                .forEach(w -> missing.remove(w.gpuId()));
        return status.ready() && missing.isEmpty();
    }

    /** Why this node stopped by itself at its start: which GPU could not be opened, and the reason. */
    public Optional<String> startFailure() {
        return Optional.ofNullable(start.failure.get());
    }

    /** Waits until the node has stopped, whoever stopped it. */
    public void awaitStop() throws InterruptedException {
        try {
            system.getWhenTerminated().toCompletableFuture().get();
        } catch (ExecutionException e) {
            LOG.error("the node stopped with an error", e.getCause());
        }
    }

    /** Ends running requests, leaves the cluster and frees everything. */
    @Override
    public void close() {
        client.stop();
        start.backends.close();
        try {
            CoordinatedShutdown.get(Adapter.toClassic(system))
                    .runAll(CoordinatedShutdown.unknownReason())
                    .thenApply(done -> Done.getInstance())
                    .toCompletableFuture()
                    .get(STOP_TIMEOUT.plus(node.stopDrainTimeout()).toSeconds(), TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            LOG.warn("the node did not leave the cluster in order", e);
            system.terminate();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            system.terminate();
        }
    }
}
