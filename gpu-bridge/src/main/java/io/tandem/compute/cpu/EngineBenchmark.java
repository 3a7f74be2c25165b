package io.tandem.compute.cpu;

import com.sun.management.ThreadMXBean;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.engine.StepTokens;
import io.tandem.sampling.SamplingParams;
import io.tandem.weights.GgufCheckpoint;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Speed of the engine on this machine's cores: prompt processing, decode at a depth and batched decode, by the engine's own
 * step loop with greedy sampling. Where llama.cpp's binaries are given, each repeat runs them right after ours, so both
 * see the same machine.
 */
public final class EngineBenchmark {
    private static final int PROMPT_TOKENS = 512;
    private static final int DEEP_TOKENS = 1024;
    private static final int DECODE_STEPS = 48;
    private static final int SCALAR_STEPS = 2;
    private static final int SCALAR_PROMPT_TOKENS = 8;
    private static final int SHORT_PROMPT_TOKENS = 4;
    private static final int WARMUP_ROUNDS = 3;
    private static final List<Integer> BATCHES = List.of(1, 4, 8, 16, 32);

    /** Groups of workloads. */
    public enum Workload {
        PROMPT,
        DECODE,
        BATCH,
        /** The scalar reference, on short workloads. */
        SCALAR
    }

    /**
     * What to measure.
     *
     * @param model a GGUF file of the Llama family
     * @param threads CPU threads, each number measured on its own
     * @param repeats measurements of each workload, 1 to 100; one more round before them is dropped
     * @param workloads what to run, at least one
     * @param llamaBench llama.cpp's {@code llama-bench}; {@code llama-batched-bench} is looked for beside it
     */
    public record Plan(
            Path model, List<Integer> threads, int repeats, Set<Workload> workloads, Optional<Path> llamaBench) {
        public Plan {
            threads = List.copyOf(threads);
            workloads = Set.copyOf(workloads);
            if (workloads.isEmpty()) {
                throw new IllegalArgumentException(
                        "workloads must name at least one of " + EnumSet.allOf(Workload.class));
            }
            if (threads.isEmpty() || threads.stream().anyMatch(t -> t < 1)) {
                throw new IllegalArgumentException("threads must be 1 or more, not " + threads);
            }
            if (repeats < 1 || repeats > 100) {
                throw new IllegalArgumentException("repeats must be 1 to 100, not " + repeats);
            }
        }
    }

    /**
     * One line of the result.
     *
     * @param engine cpu-vector, cpu-scalar or llama.cpp
     * @param workload "prompt 512", "decode at 1024" or "batch 16"
     * @param median tokens a second; likewise {@code min} and {@code max} of the repeats
     * @param bytesPerStep bytes of Java heap that all threads allocate in a decode step, the median; -1 where not measured
     */
    public record Row(
            String engine, int threads, String workload, double median, double min, double max, long bytesPerStep) {

        static Row of(String engine, int threads, String workload, List<Double> speeds, List<Long> bytes) {
            double[] sorted =
                    speeds.stream().mapToDouble(Double::doubleValue).sorted().toArray();
            long[] heap = bytes.stream().mapToLong(Long::longValue).sorted().toArray();
            double median = (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
            long perStep = heap.length == 0 ? -1 : heap[heap.length / 2];
            return new Row(engine, threads, workload, median, sorted[0], sorted[sorted.length - 1], perStep);
        }
    }

    private record Sample(double tokensPerSecond, long bytesPerStep) {}

    private EngineBenchmark() {}

    /** Measures everything of the plan; tens of seconds for each number of threads. */
    public static List<Row> run(Plan plan) throws IOException, InterruptedException {
        List<Row> rows = new ArrayList<>();
        for (int threads : plan.threads()) {
            try (CpuBackend backend = CpuBackend.vector(
                    GgufCheckpoint.open(plan.model()), threads, settings().blockTokens(), 512, 32, List.of())) {
                Workbench bench = new Workbench(backend, DECODE_STEPS);
                if (plan.workloads().contains(Workload.PROMPT)) {
                    prompt(plan, threads, bench, rows);
                }
                if (plan.workloads().contains(Workload.DECODE)) {
                    decode(plan, threads, bench, 0, rows);
                    decode(plan, threads, bench, DEEP_TOKENS, rows);
                }
                if (plan.workloads().contains(Workload.BATCH)) {
                    batches(plan, threads, bench, rows);
                }
            }
        }
        if (plan.workloads().contains(Workload.SCALAR)) {
            scalar(plan, rows);
        }
        return rows;
    }

    private static void prompt(Plan plan, int threads, Workbench bench, List<Row> rows)
            throws IOException, InterruptedException {
        String workload = "prompt " + PROMPT_TOKENS;
        List<Double> ours = new ArrayList<>();
        List<Double> theirs = new ArrayList<>();
        for (int i = 0; i < WARMUP_ROUNDS; i++) {
            bench.prompt(PROMPT_TOKENS);
        }
        for (int i = 0; i < plan.repeats(); i++) {
            ours.add(bench.prompt(PROMPT_TOKENS));
            if (plan.llamaBench().isPresent()) {
                theirs.add(LlamaBench.single(plan.llamaBench().get(), plan.model(), threads, PROMPT_TOKENS, 0, 0));
            }
        }
        add(rows, threads, workload, ours, List.of(), theirs);
    }

    private static void decode(Plan plan, int threads, Workbench bench, int depth, List<Row> rows)
            throws IOException, InterruptedException {
        List<Double> ours = new ArrayList<>();
        List<Long> bytes = new ArrayList<>();
        List<Double> theirs = new ArrayList<>();
        int prompt = Math.max(depth, SHORT_PROMPT_TOKENS);
        for (int i = 0; i < WARMUP_ROUNDS; i++) {
            bench.decode(1, prompt);
        }
        for (int i = 0; i < plan.repeats(); i++) {
            Sample sample = bench.decode(1, prompt);
            ours.add(sample.tokensPerSecond());
            bytes.add(sample.bytesPerStep());
            if (plan.llamaBench().isPresent()) {
                theirs.add(LlamaBench.single(plan.llamaBench().get(), plan.model(), threads, 0, DECODE_STEPS, depth));
            }
        }
        add(rows, threads, "decode at " + depth, ours, bytes, theirs);
    }

    private static void batches(Plan plan, int threads, Workbench bench, List<Row> rows)
            throws IOException, InterruptedException {
        List<List<Double>> ours = new ArrayList<>();
        List<List<Long>> bytes = new ArrayList<>();
        List<List<Double>> theirs = new ArrayList<>();
        for (int batch : BATCHES) {
            ours.add(new ArrayList<>());
            bytes.add(new ArrayList<>());
            theirs.add(new ArrayList<>());
            bench.decode(batch, SHORT_PROMPT_TOKENS);
        }
        Optional<Path> batched = plan.llamaBench()
                .map(p -> p.resolveSibling("llama-batched-bench"))
                .filter(LlamaBench::isExecutable);
        for (int i = 0; i < plan.repeats(); i++) {
            for (int b = 0; b < BATCHES.size(); b++) {
                Sample sample = bench.decode(BATCHES.get(b), SHORT_PROMPT_TOKENS);
                ours.get(b).add(sample.tokensPerSecond());
                bytes.get(b).add(sample.bytesPerStep());
            }
            if (batched.isPresent()) {
                double[] speeds = LlamaBench.batched(
                        batched.get(), plan.model(), threads, SHORT_PROMPT_TOKENS, DECODE_STEPS, BATCHES);
                for (int b = 0; b < BATCHES.size(); b++) {
                    theirs.get(b).add(speeds[b]);
                }
            }
        }
        for (int b = 0; b < BATCHES.size(); b++) {
            add(rows, threads, "batch " + BATCHES.get(b), ours.get(b), bytes.get(b), theirs.get(b));
        }
    }

    private static void add(
            List<Row> rows, int threads, String workload, List<Double> ours, List<Long> bytes, List<Double> theirs) {
        rows.add(Row.of("cpu-vector", threads, workload, ours, bytes));
        if (!theirs.isEmpty()) {
            rows.add(Row.of("llama.cpp", threads, workload, theirs, List.of()));
        }
    }

    private static void scalar(Plan plan, List<Row> rows) throws IOException {
        try (CpuBackend backend =
                CpuBackend.scalar(GgufCheckpoint.open(plan.model()), settings().blockTokens(), 512, 32, List.of())) {
            Workbench bench = new Workbench(backend, SCALAR_STEPS);
            bench.decode(1, SHORT_PROMPT_TOKENS);
            List<Double> prompts = new ArrayList<>();
            List<Double> decodes = new ArrayList<>();
            for (int i = 0; i < Math.min(plan.repeats(), 3); i++) {
                prompts.add(bench.prompt(SCALAR_PROMPT_TOKENS));
                decodes.add(bench.decode(1, SHORT_PROMPT_TOKENS).tokensPerSecond());
            }
            rows.add(Row.of("cpu-scalar", 1, "prompt " + SCALAR_PROMPT_TOKENS, prompts, List.of()));
            rows.add(Row.of("cpu-scalar", 1, "decode at 0", decodes, List.of()));
        }
    }

    private static EngineSettings settings() {
        Config overrides = ConfigFactory.parseString("tandem.engine { max-sequences = 32, max-batch-tokens = 512,"
                + " prefill-chunk-tokens = 512, mixed-chunk-tokens = 512, decode-chunk-tokens = 512,"
                + " prefix-cache = off, kv-blocks = 256, verify-each-step = off }");
        return EngineSettings.from(overrides.withFallback(ConfigFactory.load()));
    }

    /** The rows as a Markdown table, with the ratio to llama.cpp where it was measured. */
    public static String markdown(List<Row> rows) {
        StringBuilder out = new StringBuilder("""
                | engine | threads | workload | tokens/s | min to max | ratio | heap bytes a step |
                |---|---|---|---|---|---|---|
                """);
        for (Row row : rows) {
            String ratio = rows.stream()
                    .filter(o -> o.engine().equals("llama.cpp") && row.engine().equals("cpu-vector"))
                    .filter(o -> o.threads() == row.threads() && o.workload().equals(row.workload()))
                    .map(o -> String.format(Locale.ROOT, "%.2f", row.median() / o.median()))
                    .findFirst()
                    .orElse("");
            out.append(String.format(
                    Locale.ROOT,
                    "| %s | %d | %s | %.1f | %.1f to %.1f | %s | %s |%n",
                    row.engine(),
                    row.threads(),
                    row.workload(),
                    row.median(),
                    row.min(),
                    row.max(),
                    ratio,
                    row.bytesPerStep() < 0 ? "" : Long.toString(row.bytesPerStep())));
        }
        return out.toString();
    }

    /** Arguments: MODEL REPEATS THREADS WORKLOADS [LLAMA_BENCH], lists with commas. Prints the table. */
    public static void main(String[] args) throws IOException, InterruptedException {
        if (args.length < 4) {
            throw new IllegalArgumentException("arguments: MODEL REPEATS THREADS WORKLOADS [LLAMA_BENCH]");
        }
        List<Integer> threads =
                Arrays.stream(args[2].split(",", -1)).map(Integer::valueOf).toList();
        Set<Workload> workloads = Arrays.stream(args[3].split(",", -1))
                .map(w -> Workload.valueOf(w.toUpperCase(Locale.ROOT)))
                .collect(Collectors.toUnmodifiableSet());
        Optional<Path> llama = args.length > 4 ? Optional.of(Path.of(args[4])) : Optional.empty();
        System.out.print(
                markdown(run(new Plan(Path.of(args[0]), threads, Integer.parseInt(args[1]), workloads, llama))));
    }

    /** Runs workloads on one backend, each in a fresh engine. */
    private static final class Workbench implements EngineListener {
        private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        private final CpuBackend backend;
        private final int steps;
        private final Random random = new Random(1);
        private int produced;
        private int open;

        Workbench(CpuBackend backend, int steps) {
            this.backend = backend;
            this.steps = steps;
        }

        /** Tokens a second of a prompt, the first output token included. */
        double prompt(int tokens) {
            try (Engine engine = new Engine(backend, "benchmark", settings(), EngineRole.PREFILL, this)) {
                submit(engine, 1, tokens, 1);
                long start = System.nanoTime();
                while (open > 0) {
                    engine.step(start);
                }
                return tokens * 1e9 / (System.nanoTime() - start);
            }
        }

        /** Decode steps of a batch whose prompts, of that many tokens, are done. */
        Sample decode(int batch, int promptTokens) {
            try (Engine engine = new Engine(backend, "benchmark", settings(), EngineRole.MIXED, this)) {
                for (int key = 0; key < batch; key++) {
                    submit(engine, key, promptTokens, steps + 1);
                }
                produced = 0;
                while (produced < batch) {
                    engine.step(0);
                }
                if (produced != batch) {
                    throw new IllegalStateException("prompts of " + promptTokens + " tokens did not end in one step");
                }
                long bytes = THREADS.getTotalThreadAllocatedBytes();
                long start = System.nanoTime();
                for (int i = 0; i < steps - 1; i++) {
                    engine.step(start);
                }
                long nanos = System.nanoTime() - start;
                bytes = THREADS.getTotalThreadAllocatedBytes() - bytes;
                engine.step(start);
                return new Sample(batch * (steps - 1) * 1e9 / nanos, bytes / (steps - 1));
            }
        }

        private void submit(Engine engine, long key, int promptTokens, int newTokens) {
            int bound = backend.model().vocabSize();
            int[] prompt = random.ints(promptTokens, 0, bound).toArray();
            SequenceSpec spec = new SequenceSpec(
                    prompt, promptTokens, newTokens, SamplingParams.greedy(), new int[0], 0, Long.MAX_VALUE);
            open++;
            engine.apply(new EngineCommand.Generate(key, spec), 0);
        }

        @Override
        public void onStep(StepTokens tokens) {
            produced += tokens.count;
        }

        @Override
        public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
            open--;
        }

        @Override
        public void onRefused(long key, RefusalReason reason, String detail) {
            throw new IllegalStateException("the engine refused the benchmark: " + reason + " " + detail);
        }
    }
}
