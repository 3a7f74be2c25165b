package io.tandem.cluster;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** A cluster of forked JVMs: one API node, and a node for each worker. */
final class ForkedCluster implements AutoCloseable {
    private static final String MAIN = "io.tandem.cli.TandemCommand";

    private final Map<String, ForkedNode> nodes = new LinkedHashMap<>();
    private final Map<String, List<String>> argumentsOf = new LinkedHashMap<>();
    private Path directory;
    private final Api api;

    private ForkedCluster(int httpPort) {
        api = new Api(httpPort);
    }

    /**
     * Starts the nodes and waits until the cluster is ready. Workers are called prefill-0, decode-0, decode-1, ... Every long
     * prompt is split: the cost policy would leave it to an idle decode worker.
     */
    static ForkedCluster start(Path directory, Path model, List<String> prefill, List<String> decode) {
        return start(directory, model, prefill, decode, "tandem.routing.policy = least-loaded");
    }

    /** The same with settings of one's own. */
    static ForkedCluster start(Path directory, Path model, List<String> prefill, List<String> decode, String settings) {
        Path file = directory.resolve("cluster.conf");
        try {
            Files.writeString(file, settings);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        int httpPort = freePort();
        int clusterPort = freePort();
        ForkedCluster cluster = new ForkedCluster(httpPort);
        try {
            List<String> common = List.of(
                    "--profile",
                    "quickstart",
                    "--model",
                    model.toString(),
                    "--config",
                    file.toString(),
                    "--parent-pid",
                    Long.toString(ProcessHandle.current().pid()));
            cluster.start(
                    "api",
                    directory,
                    common,
                    List.of("--roles", "api", "--port", "" + httpPort, "--cluster-port", "" + clusterPort));
            cluster.startWorkers("prefill", prefill.size(), directory, common, clusterPort);
            cluster.startWorkers("decode", decode.size(), directory, common, clusterPort);
            cluster.awaitReady(prefill.size() + decode.size());
            return cluster;
        } catch (RuntimeException | Error e) {
            cluster.close();
            throw e;
        }
    }

    private void startWorkers(String role, int count, Path directory, List<String> common, int seedPort) {
        for (int i = 0; i < count; i++) {
            String gpu = role + "-" + i;
            start(gpu, directory, common, List.of("--gpus", gpu + "=" + role, "--seeds", "127.0.0.1:" + seedPort));
        }
    }

    private void start(String name, Path directory, List<String> common, List<String> more) {
        List<String> arguments = new ArrayList<>(List.of("node"));
        arguments.addAll(common);
        arguments.addAll(more);
        this.directory = directory;
        argumentsOf.put(name, arguments);
        nodes.put(name, ForkedNode.start(name, directory, MAIN, arguments));
    }

    /** SIGTERM, then the same node anew; answers once its worker takes work again. */
    void restart(String name) {
        int workers = live().size();
        stop(name);
        nodes.put(name, ForkedNode.start(name, directory, MAIN, argumentsOf.get(name)));
        awaitReady(workers);
    }

    /** SIGKILL, then the same node anew. */
    void killAndRestart(String name) {
        int workers = live().size();
        killOwnerOf(name);
        nodes.put(name, ForkedNode.start(name, directory, MAIN, argumentsOf.get(name)));
        awaitReady(workers);
    }

    /** SIGTERM: the node drains and leaves. */
    void stop(String name) {
        nodes.remove(name).stop();
    }

    /** Empties a worker; answers when nothing runs there. */
    void drain(String gpu) {
        post("/admin/workers/" + gpu + "/drain");
    }

    void undrain(String gpu) {
        post("/admin/workers/" + gpu + "/undrain");
    }

    private void post(String path) {
        HttpResponse<String> response = api.post(path, "{}");
        if (response.statusCode() != 200) {
            throw new AssertionError(response.statusCode() + ": " + response.body() + "\n" + tails());
        }
    }

    /** One worker's entry of /admin/cluster. */
    JsonNode worker(String gpu) {
        for (JsonNode worker : live()) {
            if (worker.path("gpu_id").asText().equals(gpu)) {
                return worker;
            }
        }
        throw new AssertionError(gpu + " is not live\n" + tails());
    }

    private static int freePort() {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void awaitReady(int workers) {
        Poll.until(
                "a ready cluster of " + workers + " workers",
                () -> {
                    nodes.values().forEach(node -> {
                        if (!node.isAlive()) {
                            throw new AssertionError("a node ended\n" + node.tail());
                        }
                    });
                    return ready() && live().size() == workers;
                },
                this::tails);
    }

    private boolean ready() {
        try {
            return api.get("/ready").statusCode() == 200;
        } catch (UncheckedIOException e) {
            return false;
        }
    }

    private List<JsonNode> live() {
        List<JsonNode> live = new ArrayList<>();
        for (JsonNode worker : api.getJson("/admin/cluster").path("workers")) {
            if (worker.path("live").asBoolean()) {
                live.add(worker);
            }
        }
        return live;
    }

    Api api() {
        return api;
    }

    String model() {
        return api.getJson("/v1/models").path("data").path(0).path("id").asText();
    }

    void setRole(String gpu, String role) {
        HttpResponse<String> response = api.post("/admin/workers/" + gpu + "/role", "{\"role\":\"" + role + "\"}");
        if (response.statusCode() != 200) {
            throw new AssertionError(response.statusCode() + ": " + response.body() + "\n" + tails());
        }
    }

    int blocksInUse() {
        return live().stream()
                .mapToInt(w -> w.path("stats").path("used_blocks").asInt())
                .sum();
    }

    void awaitNoBlocksInUse() {
        Poll.until("all KV blocks to be free", () -> blocksInUse() == 0, () -> live() + "\n" + tails());
    }

    void awaitNoActiveRequests() {
        Poll.until("no sequence anywhere", () -> live().stream().allMatch(ForkedCluster::idle), this::tails);
    }

    private static boolean idle(JsonNode worker) {
        JsonNode s = worker.path("stats");
        return s.path("running").asInt()
                        + s.path("waiting").asInt()
                        + s.path("reserved").asInt()
                == 0;
    }

    /** The decode worker that runs something now. */
    String busyDecodeWorker() {
        String[] found = {""};
        Poll.until(
                "a busy decode worker",
                () -> {
                    for (JsonNode worker : live()) {
                        if (worker.path("role").asText().equals("decode")
                                && worker.path("stats").path("running").asInt() > 0) {
                            found[0] = worker.path("gpu_id").asText();
                        }
                    }
                    return !found[0].isEmpty();
                },
                this::tails);
        return found[0];
    }

    void killOwnerOf(String gpu) {
        nodes.remove(gpu).kill();
    }

    private String tails() {
        return nodes.values().stream().map(ForkedNode::tail).collect(Collectors.joining("\n"));
    }

    /** Workers first, the first node last. */
    @Override
    public void close() {
        api.close();
        for (ForkedNode node : new ArrayList<>(nodes.values()).reversed()) {
            node.close();
        }
    }
}
