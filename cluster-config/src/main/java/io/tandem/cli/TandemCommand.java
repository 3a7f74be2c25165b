package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.typesafe.config.ConfigException;
import io.tandem.Failures;
import io.tandem.engine.EngineRole;
import io.tandem.node.NodeProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The {@code tandem} command. Exit codes: 0 done, 1 it went wrong, 2 wrong usage, 69 something needed is not there. */
@Command(
        name = "tandem",
        mixinStandardHelpOptions = true,
        version = "Tandem 0.1.0",
        description = "LLM inference over a cluster of JVMs, prefill and decode apart.")
public final class TandemCommand {
    private static final int WRONG_USAGE = 2;
    private static final int UNAVAILABLE = 69;

    /** By name, in the order of the help; made when needed, since each costs a start some time. */
    private static final Map<String, Supplier<Object>> COMMANDS = commands();

    private TandemCommand() {}

    private static Map<String, Supplier<Object>> commands() {
        Map<String, Supplier<Object>> all = new LinkedHashMap<>();
        all.put("quickstart", Quickstart::new);
        all.put("fault-sim", FaultSim::new);
        all.put("serve", Serve::new);
        all.put("node", Node::new);
        all.put("chat", Chat::new);
        all.put("models", ModelsCommand::new);
        all.put("status", Status::new);
        all.put("explain", Explain::new);
        all.put("role", Role::new);
        all.put("drain", Drain::new);
        all.put("gpu-check", Gpu.Check::new);
        all.put("simulate", Simulate::new);
        all.put("bench", Bench::new);
        all.put("fit-timing", FitTiming::new);
        all.put("pareto", Pareto::new);
        return all;
    }

    /** With the one subcommand that the arguments name, or with all when they name none. */
    static CommandLine commandLine(String[] args) {
        CommandLine command = new CommandLine(new TandemCommand());
        boolean known = args.length > 0 && COMMANDS.containsKey(args[0]);
        COMMANDS.forEach((name, make) -> {
            if (!known || name.equals(args[0])) {
                command.addSubcommand(name, make.get());
            }
        });
        return command;
    }

    public static void main(String[] args) {
        int code;
        try {
            code = run(args);
        } catch (Error | RuntimeException e) {
            // Threads that were started by then would keep the process.
            e.printStackTrace();
            code = 1;
        }
        System.exit(code);
    }

    private static int run(String[] args) {
        CommandLine command = commandLine(args);
        command.setCaseInsensitiveEnumValuesAllowed(true);
        command.setExecutionExceptionHandler((e, line, parsed) -> {
            Throwable cause = Failures.cause(e);
            System.err.println("tandem: " + text(cause));
            if (System.getenv("TANDEM_DEBUG") != null) {
                cause.printStackTrace();
            }
            return switch (cause) {
                case IllegalArgumentException ignored -> WRONG_USAGE;
                case ConfigException ignored -> WRONG_USAGE;
                case ApiClient.ApiException ignored -> 1;
                case IOException ignored -> UNAVAILABLE;
                default -> 1;
            };
        });
        return args.length == 0 ? command.execute("--help") : command.execute(args);
    }

    /** Of failures of the file system only the path would be left. */
    private static String text(Throwable cause) {
        return switch (cause) {
            case NoSuchFileException e -> "there is no file " + e.getFile();
            case AccessDeniedException e -> "no permission for " + e.getFile();
            default -> Failures.text(cause);
        };
    }

    /** Where a running node is. */
    static final class Where {
        @Option(
                names = "--url",
                defaultValue = "${env:TANDEM_URL:-http://127.0.0.1:8080}",
                description = "a node with the role api (default: ${DEFAULT-VALUE})")
        String url;

        @Option(names = "--api-key", defaultValue = "${env:TANDEM_API_KEY:-}", description = "its API (or admin) key")
        String apiKey;

        ApiClient open() {
            return new ApiClient(url, apiKey == null ? "" : apiKey);
        }
    }

    @Command(name = "serve", mixinStandardHelpOptions = true, description = "One JVM with everything in it.")
    static final class Serve implements Callable<Integer> {
        @Mixin
        NodeOptions options;

        @Override
        public Integer call() throws Exception {
            if (!options.config().hasPath("tandem.node.model.path")) {
                ModelStore.pull();
            }
            return NodeProcess.run(options.config());
        }
    }

    @Command(name = "node", mixinStandardHelpOptions = true, description = "One node of a cluster.")
    static final class Node implements Callable<Integer> {
        @Mixin
        NodeOptions options;

        @Option(names = "--parent-pid", hidden = true, description = "end when that process is gone")
        Long parentPid;

        @Override
        public Integer call() throws Exception {
            if (parentPid != null) {
                NodeProcess.endWith(parentPid);
            }
            return NodeProcess.run(options.config());
        }
    }

    @Command(name = "chat", mixinStandardHelpOptions = true, description = "Talk to a running cluster.")
    static final class Chat implements Callable<Integer> {
        @Mixin
        Where where;

        @Option(names = "--temperature", defaultValue = "0.7", description = "0 = greedy (default: ${DEFAULT-VALUE})")
        double temperature;

        @Option(names = "--max-tokens", defaultValue = "512", description = "default: ${DEFAULT-VALUE}")
        int maxTokens;

        @Parameters(arity = "0..*", description = "one question; without it, a conversation line by line")
        List<String> question;

        @Override
        public Integer call() throws Exception {
            try (ApiClient api = where.open()) {
                String model =
                        api.get("/v1/models").path("data").path(0).path("id").asText();
                List<Map<String, String>> messages = new ArrayList<>();
                if (question != null) {
                    ask(api, model, messages, String.join(" ", question));
                    return 0;
                }
                Scanner in = new Scanner(System.in, StandardCharsets.UTF_8);
                System.out.print("> ");
                while (in.hasNextLine()) {
                    ask(api, model, messages, in.nextLine());
                    System.out.print("> ");
                }
                return 0;
            }
        }

        private void ask(ApiClient api, String model, List<Map<String, String>> messages, String text)
                throws IOException, InterruptedException {
            messages.add(Map.of("role", "user", "content", text));
            StringBuilder answer = new StringBuilder();
            Map<String, Object> body = new LinkedHashMap<>();
            body.put("model", model);
            body.put("messages", messages);
            body.put("stream", true);
            body.put("temperature", temperature);
            body.put("max_tokens", maxTokens);
            api.stream(body, chunk -> {
                String piece = chunk.path("choices")
                        .path(0)
                        .path("delta")
                        .path("content")
                        .asText("");
                answer.append(piece);
                System.out.print(piece);
                System.out.flush();
            });
            System.out.println();
            messages.add(Map.of("role", "assistant", "content", answer.toString()));
        }
    }

    @Command(name = "models", mixinStandardHelpOptions = true, description = "The models in the local cache.")
    static final class ModelsCommand implements Callable<Integer> {
        @Parameters(arity = "0..1", defaultValue = "list", description = "list or pull (default: ${DEFAULT-VALUE})")
        String what;

        @Override
        public Integer call() throws Exception {
            switch (what) {
                case "pull" -> System.out.println(ModelStore.pull());
                case "list" -> {
                    if (Files.isDirectory(ModelStore.folder())) {
                        try (DirectoryStream<Path> files = Files.newDirectoryStream(ModelStore.folder(), "*.gguf")) {
                            for (Path file : files) {
                                System.out.printf("%s  %,d bytes%n", file, Files.size(file));
                            }
                        }
                    }
                }
                default -> throw new IllegalArgumentException("models takes list or pull, not '" + what + "'");
            }
            return 0;
        }
    }

    @Command(
            name = "status",
            mixinStandardHelpOptions = true,
            description = "Members, workers, roles, load, KV use, what waits.")
    static final class Status implements Callable<Integer> {
        @Mixin
        Where where;

        @Option(names = "--json", description = "the node's own JSON")
        boolean json;

        @Override
        public Integer call() throws Exception {
            try (ApiClient api = where.open()) {
                JsonNode cluster = api.get("/admin/cluster");
                if (json) {
                    System.out.println(cluster.toPrettyString());
                } else {
                    print(cluster);
                }
                return cluster.path("ready").asBoolean() ? 0 : 1;
            }
        }

        static void print(JsonNode cluster) {
            System.out.println(
                    cluster.path("ready").asBoolean()
                            ? "ready"
                            : "not ready: " + cluster.path("reason").asText());
            JsonNode supervisor = cluster.path("supervisor");
            String layout = supervisor.path("layout").asText();
            String wanted = supervisor.path("wanted_layout").asText();
            System.out.printf(
                    "supervisor on %s, mode %s%s: %s%n",
                    supervisor.path("node").asText("?"),
                    supervisor.path("mode").asText(),
                    layout.isEmpty() ? "" : ", " + layout + (wanted.equals(layout) ? "" : ", wants " + wanted),
                    supervisor.path("reason").asText());
            System.out.printf("%-24s %-12s %s%n", "MEMBER", "STATUS", "ROLES");
            for (JsonNode m : cluster.path("members")) {
                List<String> roles = new ArrayList<>();
                m.path("roles").forEach(r -> roles.add(r.asText()));
                System.out.printf(
                        "%-24s %-12s %s%n",
                        m.path("address").asText(), m.path("status").asText(), String.join(" ", roles));
            }
            System.out.printf(
                    "%-16s %-10s %-20s %-12s %8s %8s %8s %s%n",
                    "GPU", "ROLE", "NODE", "BACKEND", "WAITING", "RUNNING", "KV USED", "STATE");
            for (JsonNode w : cluster.path("workers")) {
                JsonNode s = w.path("stats");
                System.out.printf(
                        "%-16s %-10s %-20s %-12s %8d %8d %3d/%-5d %s%n",
                        w.path("gpu_id").asText(),
                        w.path("role").asText(),
                        w.path("node").asText(),
                        w.path("backend").path("name").asText(),
                        s.path("waiting").asInt(),
                        s.path("running").asInt(),
                        s.path("used_blocks").asInt(),
                        s.path("total_blocks").asInt(),
                        state(w));
            }
            printAdmission(cluster.path("admission"));
        }
    }

    private static String state(JsonNode worker) {
        if (!worker.path("live").asBoolean()) {
            return "lost";
        }
        JsonNode s = worker.path("stats");
        boolean idle = s.path("waiting").asInt()
                        + s.path("running").asInt()
                        + s.path("reserved").asInt()
                == 0;
        return !worker.path("draining").asBoolean() ? "live" : idle ? "drained" : "draining";
    }

    private static void printAdmission(JsonNode admission) {
        System.out.printf(
                "%-16s %10s %10s %8s %8s %9s %9s%n",
                "SERVICE CLASS", "TTFT", "ITL", "WAITING", "RUNNING", "ADMITTED", "REFUSED");
        for (JsonNode c : admission.path("classes")) {
            String name = c.path("name").asText();
            long admitted = 0;
            long refused = 0;
            for (JsonNode o : admission.path("outcomes")) {
                String outcome = o.path("outcome").asText();
                if (o.path("service_class").asText().equals(name)) {
                    admitted += outcome.equals("admitted") ? o.path("count").asLong() : 0;
                    refused += outcome.startsWith("rejected") || outcome.equals("displaced")
                            ? o.path("count").asLong()
                            : 0;
                }
            }
            System.out.printf(
                    "%-16s %7.0f ms %7.0f ms %8d %8d %9d %9d%n",
                    name,
                    c.path("ttft_target_ms").asDouble(),
                    c.path("itl_target_ms").asDouble(),
                    c.path("queued").asInt(),
                    c.path("running").asInt(),
                    admitted,
                    refused);
        }
    }

    @Command(name = "role", mixinStandardHelpOptions = true, description = "Change a worker's role while it runs.")
    static final class Role implements Callable<Integer> {
        @Mixin
        Where where;

        @Parameters(index = "0", paramLabel = "GPU")
        String gpu;

        @Parameters(index = "1", paramLabel = "prefill|decode|mixed")
        EngineRole to;

        @Override
        public Integer call() throws Exception {
            String role = to.name().toLowerCase(Locale.ROOT);
            try (ApiClient api = where.open()) {
                api.post("/admin/workers/" + gpu + "/role", Map.of("role", role));
                System.out.println(gpu + " is " + role);
                return 0;
            }
        }
    }

    @Command(
            name = "drain",
            mixinStandardHelpOptions = true,
            description = "Move all work away from a worker and keep new work off it, or put it back.")
    static final class Drain implements Callable<Integer> {
        @Mixin
        Where where;

        @Parameters(index = "0", paramLabel = "GPU")
        String gpu;

        @Option(names = "--undo", description = "put it back")
        boolean undo;

        @Override
        public Integer call() throws Exception {
            try (ApiClient api = where.open()) {
                api.post("/admin/workers/" + gpu + (undo ? "/undrain" : "/drain"), Map.of());
                System.out.println(
                        gpu + (undo ? " takes work again" : " is drained: nothing runs there, it is safe to stop"));
                return 0;
            }
        }
    }
}
