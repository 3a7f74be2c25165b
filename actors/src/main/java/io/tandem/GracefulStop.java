package io.tandem;

import io.tandem.engine.EngineRole;
import io.tandem.routing.Registries;
import io.tandem.routing.WorkerDirectory;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;
import org.apache.pekko.Done;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.javadsl.Adapter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a node does before it leaves the cluster: its GPUs are drained, so that what runs there moves to others while it runs. It
 * takes a bounded time; what is left then is resumed elsewhere from its tokens, as after a loss. Without another worker to
 * take over there is nothing to wait for.
 */
final class GracefulStop {
    private static final Logger LOG = LoggerFactory.getLogger(GracefulStop.class);

    /** Work that was routed before the drain was known may still arrive for so long. */
    private static final Duration STRAGGLERS = Duration.ofMillis(300);

    private final NodeSettings node;
    private final String self;
    private final WorkerDirectory directory;
    private final ClusterClient client;
    private final Predicate<String> gone;

    private GracefulStop(
            NodeSettings node, String self, WorkerDirectory directory, ClusterClient client, Predicate<String> gone) {
        this.gone = gone;
        this.node = node;
        this.self = self;
        this.directory = directory;
        this.client = client;
    }

    /** @param gone which GPUs are lost for good: nothing is there to drain, and nobody would answer */
    static void install(
            ActorSystem<?> system,
            NodeSettings node,
            WorkerDirectory directory,
            ClusterClient client,
            Predicate<String> gone) {
        if (node.gpus().isEmpty()) {
            return;
        }
        GracefulStop stop = new GracefulStop(node, new Registries(system).selfNode(), directory, client, gone);
        CoordinatedShutdown.get(Adapter.toClassic(system))
                .addTask(CoordinatedShutdown.PhaseBeforeServiceUnbind(), "drain-gpus", stop::run);
    }

    private CompletableFuture<Done> run() {
        if (!othersTakeOver()) {
            return CompletableFuture.completedFuture(Done.getInstance());
        }
        long start = System.nanoTime();
        List<CompletableFuture<Void>> drains =
                node.gpus().keySet().stream().map(this::drain).toList();
        return CompletableFuture.allOf(drains.toArray(CompletableFuture[]::new))
                .orTimeout(node.stopDrainTimeout().toMillis(), TimeUnit.MILLISECONDS)
                .handle((done, failure) -> {
                    long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
                    Set<String> gpus = node.gpus().keySet();
                    if (failure != null && Failures.cause(failure) instanceof TimeoutException) {
                        LOG.warn("this node stops with work left after {} ms; it resumes elsewhere", millis);
                    } else if (failure != null) {
                        LOG.warn(
                                "GPUs {} could not be drained: {}; their work resumes elsewhere",
                                gpus,
                                Failures.text(failure));
                    } else {
                        LOG.info("GPUs {} are drained after {} ms", gpus, millis);
                    }
                    return Done.getInstance();
                });
    }

    private boolean othersTakeOver() {
        return directory.entries().stream()
                .anyMatch(e -> e.live()
                        && !e.report().draining()
                        && !e.report().node().equals(self)
                        && e.report().role() != EngineRole.PREFILL);
    }

    private CompletableFuture<Void> drain(String gpuId) {
        if (gone.test(gpuId) || directory.live(gpuId).isEmpty()) {
            return CompletableFuture.completedFuture(null);
        }
        return client.drain(gpuId)
                .toCompletableFuture()
                .thenComposeAsync(
                        done -> client.drain(gpuId).toCompletableFuture(),
                        CompletableFuture.delayedExecutor(STRAGGLERS.toMillis(), TimeUnit.MILLISECONDS));
    }
}
