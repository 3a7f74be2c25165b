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
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;

/** A cluster of forked JVMs: API nodes, which are the seeds, and a node for each worker. Nodes can be killed, hung and started again. */
final class ForkedCluster implements AutoCloseable {
    /** Key of the HTTP API where it does not listen on loopback. */
    static final String KEY = "key-of-the-test";

    /** Flags of nodes that compute nothing: they start in half the time without the second compiler. */
    static final List<String> NO_COMPUTE_FLAGS = List.of("-XX:TieredStopAtLevel=1");

    /**
     * What a cluster is made of.
     *
     * @param apis names of the API nodes; the first one founds the cluster
     * @param gpus role of each worker by its id, which is its node's name as well
     * @param settings HOCON over the quickstart profile
     * @param flags JVM flags of the workers' nodes
     */
    record Plan(
            Path model, List<String> apis, Map<String, String> gpus, String settings, List<String> flags, Hosts hosts) {
        Plan(Path model, List<String> apis, Map<String, String> gpus, String settings) {
            this(model, apis, gpus, settings, List.of(), Hosts.LOOPBACK);
        }
    }

    /** All start at once, perhaps on two busy cores. */
    private static final int START_GUARD_SECONDS_A_NODE = 40;

    private final Plan plan;
    private final Path directory;
    private final Map<String, List<String>> argumentsOf = new LinkedHashMap<>();
    private final Map<String, ForkedNode> nodes = new ConcurrentHashMap<>();
    private final Map<String, Integer> starts = new ConcurrentHashMap<>();
    private final Map<String, Api> apis = new LinkedHashMap<>();
    /** Epoch of a worker that was told to end: as long as it counts as live, its successor has not joined. */
    private final Map<String, Long> endedEpochs = new ConcurrentHashMap<>();

    private final Map<String, String> gpus;
    private final Path settings;
    private String seeds = "";

    private ForkedCluster(Plan plan, Path directory) {
        this.plan = plan;
        this.directory = directory;
        gpus = new LinkedHashMap<>(plan.gpus());
        settings = directory.resolve("cluster.conf");
    }

    /**
     * One API node "api", and workers called prefill-0, decode-0, decode-1, ... Every long prompt is split: the cost policy
     * would leave it to an idle decode worker.
     */
    static ForkedCluster start(Path directory, Path model, int prefill, int decode) {
        Map<String, String> gpus = new LinkedHashMap<>();
        for (int i = 0; i < prefill; i++) {
            gpus.put("prefill-" + i, "prefill");
        }
        for (int i = 0; i < decode; i++) {
            gpus.put("decode-" + i, "decode");
        }
        return start(directory, new Plan(model, List.of("api"), gpus, "tandem.routing.policy = least-loaded"));
    }

    /** Starts the nodes and waits until the cluster is whole. */
    static ForkedCluster start(Path directory, Plan plan) {
        ForkedCluster cluster = new ForkedCluster(plan, directory);
        try {
            Files.writeString(cluster.settings, plan.settings());
            cluster.prepare();
            cluster.argumentsOf.keySet().forEach(cluster::startNode);
            cluster.awaitWhole();
            return cluster;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (RuntimeException | Error e) {
            cluster.close();
            throw e;
        }
    }

    private void prepare() throws IOException {
        List<Integer> ports = freePorts(2 * plan.apis().size() + gpus.size());
        Map<String, Integer> portOf = new LinkedHashMap<>();
        plan.apis().forEach(name -> portOf.put(name, ports.removeLast()));
        seeds = plan.apis().stream()
                .map(name -> plan.hosts().address(name) + ":" + portOf.get(name))
                .collect(Collectors.joining(","));
        for (String api : plan.apis()) {
            int port = ports.removeLast();
            String host = plan.hosts().address(api);
            apis.put(api, new Api(host, port, plan.hosts().equals(Hosts.LOOPBACK) ? "" : KEY));
            argumentsOf.put(api, arguments(api, portOf.get(api), List.of("--roles", "api", "--port", "" + port)));
        }
        gpus.forEach((gpu, role) -> argumentsOf.put(gpu, workerArguments(gpu, role, ports.removeLast())));
    }

    private List<String> workerArguments(String gpu, String role, int port) {
        return arguments(gpu, port, List.of("--gpus", gpu + "=" + role));
    }

    private List<String> arguments(String name, int port, List<String> more) {
        List<String> arguments = new ArrayList<>(List.of("node", "--profile", "quickstart"));
        arguments.addAll(List.of("--model", plan.model().toString(), "--config", settings.toString()));
        arguments.addAll(
                List.of("--parent-pid", Long.toString(ProcessHandle.current().pid())));
        arguments.addAll(List.of("--cluster-port", "" + port, "--seeds", seeds));
        if (!plan.hosts().equals(Hosts.LOOPBACK)) {
            arguments.addAll(List.of("--host", plan.hosts().address(name), "--insecure-network"));
        }
        arguments.addAll(more);
        return arguments;
    }

    private static List<Integer> freePorts(int count) throws IOException {
        List<ServerSocket> probes = new ArrayList<>();
        try {
            for (int i = 0; i < count; i++) {
                probes.add(new ServerSocket(0, 1, InetAddress.getLoopbackAddress()));
            }
            return probes.stream().map(ServerSocket::getLocalPort).collect(Collectors.toCollection(ArrayList::new));
        } finally {
            for (ServerSocket probe : probes) {
                probe.close();
            }
        }
    }

    /** Adds a worker to the cluster, which is then awaited as the others are. */
    void add(String gpu, String role) {
        try {
            gpus.put(gpu, role);
            argumentsOf.put(gpu, workerArguments(gpu, role, freePorts(1).getFirst()));
            startNode(gpu);
            awaitWhole();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    Collection<String> names() {
        return argumentsOf.keySet();
    }

    /** Starts a node by the same command as before. */
    void startNode(String name) {
        int start = starts.merge(name, 1, Integer::sum);
        List<String> flags = new ArrayList<>(apis.containsKey(name) ? NO_COMPUTE_FLAGS : plan.flags());
        // Not in /dev/shm, where a killed node's buffers would stay until another node sweeps them.
        flags.add("-Dtandem.transfer.directory=" + directory);
        if (!plan.hosts().equals(Hosts.LOOPBACK)) {
            flags.add("-Dtandem.http.host=" + plan.hosts().address(name));
        }
        nodes.put(
                name,
                ForkedNode.start(
                        name + (start == 1 ? "" : "-start" + start),
                        directory,
                        plan.hosts().before(name),
                        flags,
                        argumentsOf.get(name)));
    }

    /** How often the node was started; a request whose API node has another number by now has lost it. */
    int starts(String name) {
        return starts.getOrDefault(name, 0);
    }

    boolean isAlive(String name) {
        ForkedNode node = nodes.get(name);
        return node != null && node.isAlive();
    }

    /** SIGKILL. */
    void kill(String name) {
        rememberEpoch(name);
        nodes.remove(name).kill();
    }

    /** SIGTERM: the node drains and leaves. */
    void stop(String name) {
        rememberEpoch(name);
        nodes.remove(name).stop();
    }

    private void rememberEpoch(String name) {
        apis.values().stream()
                .flatMap(api -> live(api).stream())
                .filter(worker -> worker.path("gpu_id").asText().equals(name))
                .forEach(worker -> endedEpochs.merge(name, worker.path("epoch").asLong(), Math::max));
    }

    /** SIGSTOP. */
    void pause(String name) {
        nodes.get(name).pause();
    }

    /** SIGCONT. */
    void goOn(String name) {
        nodes.get(name).goOn();
    }

    /** SIGTERM, then the same node anew; answers once its worker takes work again. */
    void restart(String name) {
        stop(name);
        startNode(name);
        awaitWhole();
    }

    /** SIGKILL, then the same node anew. */
    void killAndRestart(String name) {
        kill(name);
        startNode(name);
        awaitWhole();
    }

    /** Starts the nodes that ended by themselves, as a service manager does; answers how many. */
    int revive() {
        List<String> dead = names().stream().filter(n -> !isAlive(n)).toList();
        dead.forEach(this::startNode);
        return dead.size();
    }

    /** Waits until every API node is ready and sees every worker live. */
    void awaitWhole() {
        awaitWhole(false);
    }

    /** The same; nodes that end themselves meanwhile are started again. */
    void awaitWholeByRevival() {
        awaitWhole(true);
    }

    private void awaitWhole(boolean revive) {
        Poll.until(
                START_GUARD_SECONDS_A_NODE * argumentsOf.size(),
                "a ready cluster of " + gpus.size() + " workers",
                () -> {
                    if (revive) {
                        revive();
                    } else {
                        failOnDeadNode();
                    }
                    return apis.values().stream().allMatch(api -> isReady(api) && seesAll(api));
                },
                this::tails);
    }

    private boolean seesAll(Api api) {
        return live(api).stream()
                        .filter(w -> w.path("epoch").asLong()
                                > endedEpochs.getOrDefault(w.path("gpu_id").asText(), Long.MIN_VALUE))
                        .count()
                == gpus.size();
    }

    private void failOnDeadNode() {
        names().stream().filter(n -> !isAlive(n)).findFirst().ifPresent(n -> {
            throw new AssertionError("node " + n + " ended\n" + tails());
        });
    }

    private static boolean isReady(Api api) {
        try {
            return api.get("/ready").statusCode() == 200;
        } catch (UncheckedIOException e) {
            return false;
        }
    }

    private static List<JsonNode> live(Api api) {
        List<JsonNode> live = new ArrayList<>();
        try {
            for (JsonNode worker : api.getJson("/admin/cluster").path("workers")) {
                if (worker.path("live").asBoolean()) {
                    live.add(worker);
                }
            }
        } catch (UncheckedIOException e) {
            return List.of();
        }
        return live;
    }

    private List<JsonNode> live() {
        return live(api());
    }

    /** The first API node. */
    Api api() {
        return apis.values().iterator().next();
    }

    Map<String, Api> apis() {
        return apis;
    }

    String model() {
        return api().getJson("/v1/models").path("data").path(0).path("id").asText();
    }

    /** Name of the API node where the supervisor runs; empty when it runs elsewhere. */
    String supervisorNode() {
        JsonNode status = api().getJson("/admin/cluster");
        String node = status.path("supervisor").path("node").asText();
        return plan.apis().stream()
                .filter(name -> argumentsOf.get(name).contains(node.substring(node.lastIndexOf(':') + 1)))
                .findFirst()
                .orElse("");
    }

    /** Empties a worker; answers when nothing runs there. */
    void drain(String gpu) {
        post("/admin/workers/" + gpu + "/drain", "{}");
    }

    void undrain(String gpu) {
        post("/admin/workers/" + gpu + "/undrain", "{}");
    }

    void setRole(String gpu, String role) {
        post("/admin/workers/" + gpu + "/role", "{\"role\":\"" + role + "\"}");
    }

    private void post(String path, String body) {
        HttpResponse<String> response = api().post(path, body);
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

    int blocksInUse() {
        return live().stream()
                .mapToInt(w -> w.path("stats").path("used_blocks").asInt())
                .sum();
    }

    /** Waits until no worker has a block in use, a sequence, a reservation or a finished prefill, and no API node a request. */
    void awaitNothingHeld() {
        Poll.until(
                "all KV blocks to be free and no sequence anywhere",
                () -> apis.values().stream().allMatch(api -> activeRequests(api) == 0)
                        && live().size() == runningWorkers()
                        && live().stream().allMatch(ForkedCluster::holdsNothing),
                () -> live() + "\n" + tails());
    }

    private int runningWorkers() {
        return (int) gpus.keySet().stream().filter(this::isAlive).count();
    }

    private static boolean holdsNothing(JsonNode worker) {
        JsonNode s = worker.path("stats");
        return s.path("used_blocks").asInt()
                        + s.path("running").asInt()
                        + s.path("waiting").asInt()
                        + s.path("reserved").asInt()
                        + s.path("held").asInt()
                == 0;
    }

    private static int activeRequests(Api api) {
        return api.get("/metrics")
                .body()
                .lines()
                .filter(line -> line.startsWith("tandem_active_requests "))
                .mapToInt(line -> (int) Double.parseDouble(line.substring(line.indexOf(' ') + 1)))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no tandem_active_requests in /metrics"));
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

    String tails() {
        return nodes.values().stream().map(ForkedNode::tail).collect(Collectors.joining("\n"));
    }

    /** By SIGKILL: how nodes leave in order is what {@link #stop} is for. */
    @Override
    public void close() {
        apis.values().forEach(Api::close);
        nodes.values().forEach(ForkedNode::close);
    }
}
