package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.compute.cpu.EngineBenchmark;
import io.tandem.settings.SettingRange;
import io.tandem.transfer.TransferBenchmark;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.ToDoubleFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measurements against a running cluster; each prints a table for docs/benchmarks. */
@Command(
        name = "bench",
        mixinStandardHelpOptions = true,
        description = "Measurements; ttft, streams and overload run against a running cluster.",
        subcommands = {
            Bench.Engines.class,
            Bench.Transfers.class,
            IndexBench.class,
            Bench.Ttft.class,
            Bench.Streams.class,
            BlockEventsBench.class,
            OverloadBench.class,
            Gpu.Benchmark.class,
            FlipBench.class
        })
final class Bench {
    static int[] randomPrompt(Random random, int tokens) {
        int[] ids = new int[tokens];
        for (int i = 0; i < tokens; i++) {
            ids[i] = 1000 + random.nextInt(20_000);
        }
        return ids;
    }

    static Map<String, Object> body(String model, int[] prompt, int maxTokens) {
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("model", model);
        body.put("prompt", prompt);
        body.put("max_tokens", maxTokens);
        body.put("temperature", 0);
        body.put("ignore_eos", true);
        body.put("stream", true);
        return body;
    }

    /** The engine alone, beside llama.cpp where its binary is given. */
    @Command(
            name = "engine",
            mixinStandardHelpOptions = true,
            description = "Prompt and decode speed of the CPU engine, beside llama.cpp in the same run.")
    static final class Engines implements Callable<Integer> {
        private static final int THREADS_MAX = 1_024;

        @Option(names = "--model", paramLabel = "PATH", description = "GGUF file (default: the cached model)")
        Path model;

        @Option(names = "--threads", split = ",", defaultValue = "1,2", description = "default: ${DEFAULT-VALUE}")
        List<Integer> threads;

        @Option(names = "--repeats", defaultValue = "5", description = "default: ${DEFAULT-VALUE}")
        int repeats;

        @Option(
                names = "--workloads",
                split = ",",
                defaultValue = "prompt,decode,batch",
                description = "prompt, decode, batch, scalar (default: ${DEFAULT-VALUE})")
        Set<EngineBenchmark.Workload> workloads;

        @Option(names = "--llama-bench", paramLabel = "PATH", description = "llama.cpp's llama-bench to run beside us")
        Path llamaBench;

        @Override
        public Integer call() throws Exception {
            threads.forEach(t -> SettingRange.check("--threads", t, 1, THREADS_MAX));
            SettingRange.check("--repeats", repeats, 1, 100);
            Path path = model == null ? ModelStore.pull() : model;
            var rows = EngineBenchmark.run(
                    new EngineBenchmark.Plan(path, threads, repeats, workloads, Optional.ofNullable(llamaBench)));
            System.out.println(EngineBenchmark.markdown(rows));
            return 0;
        }
    }

    /** KV transfers between two processes beside plain TCP. */
    @Command(
            name = "transfer",
            mixinStandardHelpOptions = true,
            description = "KV transfers over udp and ipc beside plain TCP, between two processes.")
    static final class Transfers implements Callable<Integer> {
        @Option(names = "--repeats", defaultValue = "5", description = "default: ${DEFAULT-VALUE}")
        int repeats;

        @Option(names = "--latency-blocks", defaultValue = "200", description = "default: ${DEFAULT-VALUE}")
        int latencyBlocks;

        @Override
        public Integer call() throws Exception {
            SettingRange.check("--repeats", repeats, 1, 20);
            SettingRange.check("--latency-blocks", latencyBlocks, 1, 1000);
            System.out.println(TransferBenchmark.markdown(TransferBenchmark.run(repeats, latencyBlocks)));
            return 0;
        }
    }

    /** Time to first token by prompt length, one request at a time, no prefix cached. */
    @Command(
            name = "ttft",
            mixinStandardHelpOptions = true,
            description = "Time to first token by prompt length, one request at a time.")
    static final class Ttft implements Callable<Integer> {
        @Mixin
        TandemCommand.Where where;

        @Option(names = "--repeats", defaultValue = "7", description = "requests a length (default: ${DEFAULT-VALUE})")
        int repeats;

        @Option(
                names = "--warm-up",
                defaultValue = "3",
                description = "requests before, while the nodes' code compiles (default: ${DEFAULT-VALUE})")
        int warmUp;

        @Option(names = "--lengths", split = ",", defaultValue = "16,32,64,128,512,1900", description = "prompt tokens")
        List<Integer> lengths;

        @Override
        public Integer call() throws Exception {
            try (ApiClient api = where.open()) {
                String model =
                        api.get("/v1/models").path("data").path(0).path("id").asText();
                Random random = new Random(7);
                for (int i = 0; i < warmUp; i++) {
                    measure(api, body(model, randomPrompt(random, i < 3 ? 512 : 64), 2));
                }
                System.out.println(
                        "| prompt tokens | TTFT ms, median | lowest | highest | to the second token, ms | KV blocks moved"
                                + " | transfer, ms | GB/s | route |");
                System.out.println("|---|---|---|---|---|---|---|---|---|");
                for (int length : lengths) {
                    List<Measured> all = new ArrayList<>();
                    for (int i = 0; i < repeats; i++) {
                        all.add(measure(api, body(model, randomPrompt(random, length), 4)));
                    }
                    print(length, all);
                }
                return 0;
            }
        }

        private static void print(int length, List<Measured> all) {
            List<Double> ttft = sorted(all, m -> m.report().path("ttft_ms").asDouble());
            double transfer =
                    middle(sorted(all, m -> m.report().path("kv_transfer_ms").asDouble()));
            JsonNode last = all.getLast().report();
            System.out.printf(
                    "| %d | %.1f | %.1f | %.1f | %.1f | %d | %.1f | %.1f | %s |%n",
                    length,
                    middle(ttft),
                    ttft.getFirst(),
                    ttft.getLast(),
                    middle(sorted(all, Measured::toSecondMs)),
                    last.path("kv_blocks").asInt(),
                    transfer,
                    transfer > 0 ? last.path("kv_bytes").asDouble() / transfer / 1e6 : 0,
                    route(last));
        }

        private static String route(JsonNode report) {
            if (!report.path("split").asBoolean()) {
                return "one GPU";
            }
            return report.path("kv_direct_blocks").asInt() > 0 ? "split, device to device" : "split, stream";
        }

        private static List<Double> sorted(List<Measured> all, ToDoubleFunction<Measured> figure) {
            return all.stream().mapToDouble(figure).sorted().boxed().toList();
        }

        private static double middle(List<Double> sorted) {
            return sorted.get(sorted.size() / 2);
        }

        /** @param toSecondMs between the arrivals of the first two tokens */
        private record Measured(JsonNode report, double toSecondMs) {}

        private static Measured measure(ApiClient api, Map<String, Object> body)
                throws IOException, InterruptedException {
            JsonNode[] report = new JsonNode[1];
            List<Long> arrivals = new ArrayList<>();
            api.stream("/v1/completions", body, chunk -> {
                if (!chunk.path("choices").isEmpty()) {
                    arrivals.add(System.nanoTime());
                }
                if (chunk.has("tandem")) {
                    report[0] = chunk.path("tandem");
                }
            });
            double second = arrivals.size() < 2 ? 0 : (arrivals.get(1) - arrivals.get(0)) / 1e6;
            return new Measured(report[0], second);
        }
    }

    /** Many streams at once: tokens a second through the whole stack. */
    @Command(
            name = "streams",
            mixinStandardHelpOptions = true,
            description = "Tokens a second over many concurrent streams.")
    static final class Streams implements Callable<Integer> {
        @Mixin
        TandemCommand.Where where;

        @Option(names = "--streams", defaultValue = "200", description = "default: ${DEFAULT-VALUE}")
        int streams;

        @Option(names = "--tokens", defaultValue = "1000", description = "tokens a stream (default: ${DEFAULT-VALUE})")
        int tokens;

        @Option(names = "--repeats", defaultValue = "5", description = "default: ${DEFAULT-VALUE}")
        int repeats;

        @Override
        public Integer call() throws Exception {
            try (ApiClient api = where.open();
                    ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
                String model =
                        api.get("/v1/models").path("data").path(0).path("id").asText();
                System.out.println("| round | streams | tokens | events | seconds | tokens/s |");
                System.out.println("|---|---|---|---|---|---|");
                for (int round = 0; round <= repeats; round++) {
                    AtomicLong events = new AtomicLong();
                    AtomicLong outputs = new AtomicLong();
                    long start = System.nanoTime();
                    List<Future<?>> running = new ArrayList<>();
                    for (int s = 0; s < streams; s++) {
                        int[] prompt = randomPrompt(new Random(s), 8);
                        running.add(callers.submit(() -> {
                            api.streamLines("/v1/completions", body(model, prompt, tokens), line -> {
                                events.incrementAndGet();
                                int at = line.indexOf("\"output_tokens\":");
                                if (at >= 0) {
                                    outputs.addAndGet(Integer.parseInt(line.substring(at + 16, line.indexOf(',', at))
                                            .trim()));
                                }
                            });
                            return null;
                        }));
                    }
                    for (Future<?> one : running) {
                        one.get();
                    }
                    double seconds = (System.nanoTime() - start) / 1e9;
                    System.out.printf(
                            "| %s | %d | %d | %d | %.2f | %.0f |%n",
                            round == 0 ? "warm-up" : Integer.toString(round),
                            streams,
                            outputs.get(),
                            events.get(),
                            seconds,
                            outputs.get() / seconds);
                }
                return 0;
            }
        }
    }
}
