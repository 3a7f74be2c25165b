package io.tandem.cluster;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.ClusterStatus;
import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationRequest;
import io.tandem.Tandem;
import io.tandem.TandemClient;
import io.tandem.sampling.SamplingParams;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Nodes with simulated GPUs in this JVM. A simulated token depends on the KV before it, so an answer is right only when every
 * block arrived where it belongs.
 */
final class EmbeddedCluster implements AutoCloseable {
    private static final int GUARD_SECONDS = 120;

    private final Map<String, Tandem> nodes = Collections.synchronizedMap(new LinkedHashMap<>());
    private final Map<String, Config> configs = new HashMap<>();
    private final List<Integer> ports = List.of(freePort(), freePort());
    private final Map<String, Object> settings;

    /**
     * Starts "first" (the oldest, without GPUs), "api", and a node for each GPU.
     *
     * @param gpus role by id
     * @param settings over the defaults
     */
    EmbeddedCluster(Map<String, String> gpus, Map<String, Object> settings) {
        this.settings = settings;
        try {
            start("first", Map.of("tandem.node.port", ports.get(0)), List.of());
            start("api", Map.of("tandem.node.port", ports.get(1)), seeds());
            gpus.forEach((id, role) ->
                    start(id, Map.of("tandem.node.gpus", List.of(Map.of("id", id, "role", role))), seeds()));
            awaitWorkers(gpus.size());
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private List<String> seeds() {
        return ports.stream().map(p -> "127.0.0.1:" + p).toList();
    }

    /** Another node with such a GPU, which is the caller's to close. */
    Tandem startBeside(String gpu, String role) {
        return Tandem.start(config(Map.of("tandem.node.gpus", List.of(Map.of("id", gpu, "role", role))), seeds()));
    }

    private void start(String name, Map<String, Object> own, List<String> seeds) {
        configs.put(name, config(own, seeds));
        nodes.put(name, Tandem.start(configs.get(name)));
    }

    private Config config(Map<String, Object> own, List<String> seeds) {
        Map<String, Object> all = new HashMap<>(Map.of(
                "tandem.node.model.path", Golden.modelFile().toString(),
                "tandem.node.seeds", seeds,
                "tandem.compute.backend", "simulated",
                "tandem.engine.kv-blocks", 2048,
                "tandem.engine.verify-each-step", "on",
                "tandem.simulated.step-micros", 4000,
                "tandem.supervisor.mode", "off",
                "tandem.transfer.term-bytes", "1M",
                "tandem.transfer.window-bytes", "512K"));
        all.putAll(settings);
        all.putAll(own);
        return ConfigFactory.parseMap(all);
    }

    private static int freePort() {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void awaitWorkers(int count) {
        Poll.until(
                count + " workers",
                () -> status().ready()
                        && status().workers().stream()
                                        .filter(ClusterStatus.Worker::live)
                                        .count()
                                == count,
                () -> status().toString());
    }

    TandemClient client() {
        return nodes.get("api").client();
    }

    /** That of any node. */
    TandemClient client(String name) {
        return nodes.get(name).client();
    }

    ClusterStatus status() {
        return client().clusterStatus();
    }

    ClusterStatus.Worker worker(String gpu) {
        return status().workers().stream()
                .filter(w -> w.gpuId().equals(gpu))
                .findFirst()
                .orElseThrow();
    }

    /** Stops a node in order, as SIGTERM does. */
    void stop(String name) {
        nodes.remove(name).close();
    }

    /** Stops a node in order and starts it again. */
    void restart(String name) {
        int workers = (int)
                status().workers().stream().filter(ClusterStatus.Worker::live).count();
        stop(name);
        nodes.put(name, Tandem.start(configs.get(name)));
        awaitWorkers(workers);
    }

    /** The oldest node comes back as the youngest. */
    void restartFirst() {
        Config joins = ConfigFactory.parseMap(Map.of("tandem.node.seeds", seeds().subList(1, 2)))
                .withFallback(configs.get("first"));
        nodes.put("first", Tandem.start(joins));
    }

    void awaitIdle() {
        Poll.until(
                "no work and no block in use anywhere",
                () -> status().workers().stream()
                        .filter(ClusterStatus.Worker::live)
                        .allMatch(w -> w.stats().running()
                                        + w.stats().waiting()
                                        + w.stats().reserved()
                                        + w.stats().held()
                                        + w.stats().usedBlocks()
                                == 0),
                () -> status().toString());
    }

    /** One answer as it comes. */
    static final class Answer implements TandemClient.GenerationObserver {
        private final List<Integer> tokens = new ArrayList<>();
        private final List<Long> atNanos = new ArrayList<>();
        private final CompletableFuture<int[]> all = new CompletableFuture<>();
        final AtomicReference<GenerationEvent.Finished> finished = new AtomicReference<>();
        private volatile int received;

        @Override
        public void onEvent(GenerationEvent event) {
            if (event instanceof GenerationEvent.Tokens t) {
                for (int id : t.tokenIds()) {
                    tokens.add(id);
                    atNanos.add(System.nanoTime());
                }
                received = tokens.size();
            } else if (event instanceof GenerationEvent.Finished f) {
                finished.set(f);
                all.complete(tokens.stream().mapToInt(Integer::intValue).toArray());
            }
        }

        @Override
        public void onError(GenerationException e) {
            all.completeExceptionally(e);
        }

        int received() {
            return received;
        }

        /** What it ends with, where it must not succeed. */
        GenerationException failure() {
            try {
                all.get(GUARD_SECONDS, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                return (GenerationException) e.getCause();
            } catch (InterruptedException | TimeoutException e) {
                throw new AssertionError("an answer does not end", e);
            }
            throw new AssertionError("an answer succeeded");
        }

        int[] tokens() {
            try {
                return all.get(GUARD_SECONDS, TimeUnit.SECONDS);
            } catch (Exception e) {
                throw new AssertionError("an answer failed after " + received + " tokens", e);
            }
        }
    }

    Answer start(int[] prompt, int maxTokens) {
        Answer answer = new Answer();
        client().start(
                        new GenerationRequest(
                                client().models().getFirst().name(),
                                new GenerationRequest.TokenIds(prompt),
                                maxTokens,
                                SamplingParams.greedy(),
                                List.of(),
                                true,
                                "",
                                Duration.ofMinutes(2)),
                        answer);
        return answer;
    }

    /** Workers first, the oldest node last. */
    @Override
    public void close() {
        new ArrayList<>(nodes.values()).reversed().forEach(Tandem::close);
        nodes.clear();
    }
}
