package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.settings.SettingRange;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The main job: three JVMs on loopback, one real answer, and what it took. */
@Command(
        name = "quickstart",
        mixinStandardHelpOptions = true,
        description = "Start an API node, a prefill node and a decode node here, and ask them something.")
final class Quickstart implements Callable<Integer> {
    private static final long READY_SECONDS = 120;

    @Option(
            names = "--model",
            paramLabel = "PATH",
            description = "GGUF file or safetensors folder instead of the default")
    private Path model;

    @Option(names = "--port", defaultValue = "8080", description = "HTTP port (default: ${DEFAULT-VALUE})")
    private int port;

    @Option(names = "--once", description = "stop after the answer")
    private boolean once;

    @Option(names = "--aggregated", description = "one node that does both prefill and decode")
    private boolean aggregated;

    @Option(names = "--wire", defaultValue = "udp", description = "udp or ipc (default: ${DEFAULT-VALUE})")
    private String wire;

    @Option(names = "--json", paramLabel = "FILE", description = "write the figures for programs")
    private Path json;

    @Option(
            names = "--max-tokens",
            defaultValue = "64",
            description = "length of the answer (default: ${DEFAULT-VALUE})")
    private int maxTokens;

    @Option(
            names = "--prompt",
            defaultValue =
                    "Two riders share one bicycle: one pushes hard up the hill, the other keeps the pace. In a few"
                            + " sentences, why can two people on a tandem go faster than one?",
            description = "what to ask")
    private String prompt;

    private record Child(String name, Process process, Path log) {}

    private final List<Child> children = new ArrayList<>();

    @Override
    public Integer call() throws Exception {
        OutputFile.check("--json", json);
        Path path = model == null ? ModelStore.pull() : model.toAbsolutePath();
        checkPort();
        Path logs = Files.createDirectories(Path.of(System.getenv().getOrDefault("TANDEM_LOGS", ".tandem/logs")));
        AheadOfTimeCache.train(path, logs);
        Thread hook = new Thread(this::stopAll, "stop-nodes");
        Runtime.getRuntime().addShutdownHook(hook);
        try (ApiClient api = new ApiClient("http://127.0.0.1:" + port, "")) {
            startNodes(path, logs);
            System.out.println("Starting " + children.size() + (children.size() == 1 ? " JVM" : " JVMs") + ", logs in "
                    + logs.toAbsolutePath().normalize());
            awaitReady(api);
            describe(api.get("/admin/cluster"));
            String modelName =
                    api.get("/v1/models").path("data").path(0).path("id").asText();
            ObjectNode figures = ask(api, modelName);
            if (json != null) {
                Files.writeString(json, figures.toPrettyString() + "\n");
            }
            hint(figures, modelName);
            if (!once) {
                System.out.println("Up until Ctrl-C.");
                children.getFirst().process().waitFor();
                System.err.println(
                        "tandem: a node has stopped; see " + children.getFirst().log());
                return 1;
            }
            return 0;
        } finally {
            stopAll();
        }
    }

    private void checkPort() {
        SettingRange.check("--port", port, 1, 65_535);
        try (ServerSocket probe = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
            probe.setReuseAddress(true);
        } catch (IOException e) {
            throw new IllegalArgumentException("port " + port + " is taken; choose another one with --port", e);
        }
    }

    private void startNodes(Path path, Path logs) throws IOException {
        int clusterPort = AheadOfTimeCache.freePort();
        List<String> common = List.of("--model", path.toString(), "--wire", wire);
        String seed = "127.0.0.1:" + clusterPort;
        String apiRoles = aggregated ? "api,mixed" : "api";
        start("api", logs, common, "--roles", apiRoles, "--port", "" + port, "--cluster-port", "" + clusterPort);
        if (!aggregated) {
            start("prefill", logs, common, "--roles", "prefill", "--seeds", seed);
            start("decode", logs, common, "--roles", "decode", "--seeds", seed);
        }
    }

    private void start(String name, Path logs, List<String> common, String... more) throws IOException {
        List<String> options = new ArrayList<>(common);
        options.addAll(List.of(more));
        Path log = logs.resolve(name + ".log");
        List<String> flags = new ArrayList<>(AheadOfTimeCache.flags());
        if (name.equals("api") && !aggregated) {
            // It computes nothing: the optimising compiler would only take the cores from those who start beside it.
            flags.add("-XX:TieredStopAtLevel=1");
        }
        children.add(new Child(name, JavaProcess.startNode(log, flags, options), log));
    }

    private void awaitReady(ApiClient api) throws IOException, InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(READY_SECONDS);
        int workers = aggregated ? 1 : 2;
        while (api.status("/ready") != 200 || live(api) < workers) {
            for (Child child : children) {
                if (!child.process().isAlive()) {
                    throw new IllegalStateException("the node '" + child.name() + "' did not start:\n" + tail(child));
                }
            }
            if (System.nanoTime() - end > 0) {
                throw new IllegalStateException("not ready after " + READY_SECONDS + " s; see " + children);
            }
            Thread.sleep(ApiClient.READY_POLL_MILLIS);
        }
    }

    private static long live(ApiClient api) throws IOException, InterruptedException {
        return api.get("/admin/cluster")
                .path("workers")
                .valueStream()
                .filter(w -> w.path("live").asBoolean())
                .count();
    }

    private static String tail(Child child) throws IOException {
        List<String> lines = Files.readAllLines(child.log());
        return String.join("\n", lines.subList(Math.max(0, lines.size() - 15), lines.size()));
    }

    private void describe(JsonNode cluster) throws IOException {
        for (Child child : children) {
            StringBuilder line = new StringBuilder(String.format(
                    "  %-8s pid %d, %d MiB", child.name(), child.process().pid(), residentMiB(child)));
            if (child.name().equals("api")) {
                line.append(", HTTP on 127.0.0.1:").append(port);
            }
            for (JsonNode w : cluster.path("workers")) {
                String role = w.path("role").asText();
                if (role.equals(child.name()) || aggregated) {
                    line.append(String.format(
                            ", GPU %s as %s on %s (%s), control %s, KV by Aeron %s",
                            w.path("gpu_id").asText(),
                            role.toUpperCase(java.util.Locale.ROOT),
                            w.path("backend").path("name").asText(),
                            w.path("backend").path("device").asText(),
                            w.path("node").asText(),
                            w.path("transfer_wire").asText()));
                }
            }
            System.out.println(line);
        }
    }

    private static long residentMiB(Child child) throws IOException {
        Path status = Path.of("/proc", Long.toString(child.process().pid()), "status");
        if (!Files.exists(status)) {
            return 0;
        }
        return Files.readAllLines(status).stream()
                .filter(l -> l.startsWith("VmRSS:"))
                .mapToLong(l -> Long.parseLong(l.replaceAll("\\D", "")) / 1024)
                .findFirst()
                .orElse(0);
    }

    /** What the stream told. */
    private static final class Answer {
        final StringBuilder text = new StringBuilder();
        long firstNanos;
        long lastNanos;
        JsonNode report = ApiClient.JSON.createObjectNode();
    }

    private ObjectNode ask(ApiClient api, String modelName) throws IOException, InterruptedException {
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("model", modelName);
        body.put("messages", List.of(Map.of("role", "user", "content", prompt)));
        body.put("stream", true);
        body.put("temperature", 0);
        body.put("max_tokens", maxTokens);
        System.out.println("\n> " + prompt + "\n");
        Answer answer = new Answer();
        long sent = System.nanoTime();
        api.stream(body, chunk -> take(answer, chunk));
        System.out.println("\n");
        JsonNode r = answer.report;
        double seconds = Math.max(1, answer.lastNanos - answer.firstNanos) / 1e9;
        ObjectNode out = ApiClient.JSON.createObjectNode();
        out.put("ttft_ms", (answer.firstNanos - sent) / 1e6);
        out.put("tokens_per_second", Math.max(0, r.path("output_tokens").asInt() - 1) / seconds);
        out.put("prefill_gpu", r.path("prefill_gpu").asText());
        out.put("decode_gpu", r.path("decode_gpu").asText());
        out.put("kv_blocks", r.path("kv_blocks").asInt());
        out.put("kv_bytes", r.path("kv_bytes").asLong());
        out.put("kv_transfer_ms", r.path("kv_transfer_ms").asDouble());
        out.put("checksum_failures", r.path("checksum_failures").asInt());
        out.put("answer", answer.text.toString());
        out.put("base_url", "http://127.0.0.1:" + port + "/v1");
        System.out.printf(
                "TTFT %.0f ms, %.1f tokens/s, %d prompt and %d output tokens%n",
                out.path("ttft_ms").asDouble(),
                out.path("tokens_per_second").asDouble(),
                r.path("prompt_tokens").asInt(),
                r.path("output_tokens").asInt());
        System.out.printf(
                "prefill on %s, decode on %s; %d KV blocks (%,d bytes) by Aeron %s in %.1f ms, checksum failures: %d%n",
                out.path("prefill_gpu").asText(),
                out.path("decode_gpu").asText(),
                out.path("kv_blocks").asInt(),
                out.path("kv_bytes").asLong(),
                wire,
                out.path("kv_transfer_ms").asDouble(),
                out.path("checksum_failures").asInt());
        return out;
    }

    private static void take(Answer answer, JsonNode chunk) {
        String piece =
                chunk.path("choices").path(0).path("delta").path("content").asText("");
        if (!piece.isEmpty()) {
            answer.lastNanos = System.nanoTime();
            answer.firstNanos = answer.firstNanos == 0 ? answer.lastNanos : answer.firstNanos;
            answer.text.append(piece);
            System.out.print(piece);
            System.out.flush();
        }
        if (chunk.has("tandem")) {
            answer.report = chunk.path("tandem");
        }
    }

    private static void hint(ObjectNode figures, String modelName) {
        System.out.println("\nTry next:\n  curl -N " + figures.path("base_url").asText()
                + "/chat/completions -H 'Content-Type: application/json' -d '{\"model\":\"" + modelName
                + "\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'");
    }

    /** One after the other, the first node last: a cluster from which several leave at once waits for time-outs. */
    private synchronized void stopAll() {
        for (Child child : children.reversed()) {
            child.process().destroy();
            JavaProcess.awaitEnd(child.process());
        }
        children.clear();
    }
}
