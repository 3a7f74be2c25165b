package io.tandem.cli;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * The JVM's ahead-of-time cache: classes loaded and linked, methods profiled (JEP 483, 515). One node with everything in
 * it answers a few requests and leaves the cache behind; every later node starts from it. Without a cache all works, only
 * slower.
 */
final class AheadOfTimeCache {
    private static final int REQUESTS = 3;
    private static final long READY_SECONDS = 60;

    /** The node's JVM makes the cache at its end, in a process of its own. */
    private static final long ASSEMBLY_SECONDS = 180;

    private AheadOfTimeCache() {}

    /** Where the launcher wants the cache; null when it says nothing. */
    static Path path() {
        String path = System.getProperty("tandem.aot", "");
        return path.isEmpty() ? null : Path.of(path);
    }

    /** JVM flags of a node: the cache, if there is one. */
    static List<String> flags() {
        Path cache = path();
        return cache != null && Files.exists(cache) ? JavaProcess.flagsOf("tandem.cache-flags") : List.of();
    }

    /** Makes the cache unless it is there. A failure costs nothing but the speed of later starts. */
    static void train(Path model, Path logs) {
        Path cache = path();
        if (cache == null || Files.exists(cache)) {
            return;
        }
        System.out.println("Preparing faster starts (once) ...");
        // It has its name when it is whole: a start that took half of one would be slower than one without.
        Path made = cache.resolveSibling(cache.getFileName() + ".new");
        Process node = null;
        try {
            int port = freePort();
            node = JavaProcess.startNode(
                    logs.resolve("aot.log"),
                    List.of("-XX:AOTCacheOutput=" + made),
                    List.of("--roles", "api,mixed", "--port", "" + port, "--model", model.toString()));
            try (ApiClient api = new ApiClient("http://127.0.0.1:" + port, "")) {
                awaitReady(api, node);
                ask(api);
            }
            node.destroy();
            if (!node.waitFor(ASSEMBLY_SECONDS, TimeUnit.SECONDS)) {
                throw new IOException("it was not made within " + ASSEMBLY_SECONDS + " s");
            }
            Files.move(made, cache, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            System.err.println("tandem: no ahead-of-time cache, starts stay slower: " + e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            if (node != null && node.isAlive()) {
                node.descendants().forEach(ProcessHandle::destroyForcibly);
                node.destroy();
                JavaProcess.awaitEnd(node);
            }
        }
    }

    private static void awaitReady(ApiClient api, Process node) throws IOException, InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(READY_SECONDS);
        while (api.status("/ready") != 200) {
            if (!node.isAlive() || System.nanoTime() - end > 0) {
                throw new IOException("the node that should make it did not start");
            }
            Thread.sleep(ApiClient.READY_POLL_MILLIS);
        }
    }

    private static void ask(ApiClient api) throws IOException, InterruptedException {
        String model = api.get("/v1/models").path("data").path(0).path("id").asText();
        for (int i = 0; i < REQUESTS; i++) {
            Map<String, Object> body = Map.of(
                    "model",
                    model,
                    "messages",
                    List.of(Map.of("role", "user", "content", "Why do two wheels suffice, and what keeps them up?")),
                    "stream",
                    true,
                    "temperature",
                    0,
                    "max_tokens",
                    48);
            api.stream(body, chunk -> {});
        }
        api.get("/admin/cluster");
    }

    static int freePort() throws IOException {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        }
    }
}
