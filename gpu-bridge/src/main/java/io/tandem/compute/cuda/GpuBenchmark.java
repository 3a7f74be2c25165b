package io.tandem.compute.cuda;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.engine.EngineSettings;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * The rows of docs/benchmarks/gpu.md: the engine's own step loop on one device, an 8B shape with random weights, with the
 * device's ceilings measured in the same run.
 */
public final class GpuBenchmark {
    private static final int CONTEXT = 1024;
    private static final int DECODE_STEPS = 256;
    private static final int REPEATS = 3;
    private static final long PROBE_BYTES = 4L << 30;
    private static final int CUBE = 8192;
    private static final int TRANSFER_BLOCKS = 512;
    private static final long COPY_PATIENCE_SECONDS = 20;
    private static final int POISSON_REQUESTS = 400;
    private static final double POISSON_RATE = 20;

    /** Prompt tokens a step takes besides the decodes: less is kinder to those that wait for their next token. */
    private static final int[] POISSON_CHUNKS = {512, 1024, 2048};

    /** One measurement. */
    public record Row(String what, String unit, double median, double least, double most, String note) {}

    /**
     * What to measure.
     *
     * @param device its number
     * @param workloads of ceilings, host, transfer, decode, prefill, poisson
     * @param overrides settings over the defaults, for comparisons
     */
    public record Plan(int device, List<String> workloads, Config overrides) {}

    private final Plan plan;
    private final List<Row> rows = new ArrayList<>();
    private double readBandwidth;

    private GpuBenchmark(Plan plan) {
        this.plan = plan;
    }

    /** Measures; at least one CUDA device must be there. */
    public static List<Row> run(Plan plan) {
        String refusal = CudaDevices.deviceRefusal(plan.device());
        if (!refusal.isEmpty()) {
            throw new IllegalStateException("skipped: " + refusal);
        }
        GpuBenchmark benchmark = new GpuBenchmark(plan);
        if (plan.workloads().contains("ceilings")) {
            benchmark.ceilings();
        }
        if (plan.workloads().contains("host")) {
            benchmark.hostTime();
        }
        if (List.of("transfer", "decode", "prefill").stream().anyMatch(plan.workloads()::contains)) {
            benchmark.largeModel();
        }
        if (plan.workloads().contains("poisson")) {
            for (int chunk : POISSON_CHUNKS) {
                benchmark.poisson(chunk);
            }
        }
        return benchmark.rows;
    }

    private void add(String what, String unit, double[] values, String note) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        Row row = new Row(what, unit, sorted[sorted.length / 2], sorted[0], sorted[sorted.length - 1], note);
        rows.add(row);
        System.out.println(markdownRow(row));
    }

    // ---- ceilings

    private void ceilings() {
        try (CudaDriver driver = NativeDriver.open(plan.device());
                DeviceMemory memory = new DeviceMemory(driver);
                Stream stream = driver.createStream();
                Event from = driver.createEvent(true);
                Event to = driver.createEvent(true)) {
            driver.makeCurrent();
            long a = memory.take("probe", PROBE_BYTES);
            long b = memory.take("probe", PROBE_BYTES);
            fillWithNoise(driver, stream, a, PROBE_BYTES);
            double[] copy = timed(
                    driver, stream, from, to, () -> driver.copyOnDevice(b, a, PROBE_BYTES, stream), 2.0 * PROBE_BYTES);
            add("copy on the device", "GB/s, read and write", scaled(copy, 1e-9), "");
            readProbe(driver, stream, from, to, a, memory);
            cube(driver, memory, stream, from, to);
        }
    }

    private void readProbe(CudaDriver driver, Stream stream, Event from, Event to, long source, DeviceMemory memory) {
        KernelCatalog catalog = KernelCatalog.forDevice(driver.facts());
        Kernels kernels = new Kernels(driver, catalog, stream, false);
        long sink = memory.takeZeroed("probe", 64, stream);
        int blocks = 8 * driver.facts().multiprocessors();
        double[] read = timed(
                driver,
                stream,
                from,
                to,
                () -> kernels.call(KernelName.READ_PROBE)
                        .address(source)
                        .wide(PROBE_BYTES)
                        .address(sink)
                        .on(blocks),
                PROBE_BYTES);
        readBandwidth = read[read.length / 2];
        add("read of device memory", "GB/s", scaled(read, 1e-9), "");
        kernels.close();
    }

    private void cube(CudaDriver driver, DeviceMemory memory, Stream stream, Event from, Event to) {
        Optional<CublasLt> lt = CublasLt.load("auto");
        if (lt.isEmpty()) {
            System.out.println("no cuBLASLt on this host: its ceiling is left out");
            return;
        }
        long bytes = 2L * CUBE * CUBE;
        long a = memory.take("product", bytes);
        long w = memory.take("product", bytes);
        long c = memory.take("product", bytes);
        long workspace = memory.take("product", CublasLt.WORKSPACE_BYTES);
        fillWithNoise(driver, stream, a, bytes);
        fillWithNoise(driver, stream, w, bytes);
        CublasLt.Plan product = lt.get().plan(CUBE, CUBE, CUBE, false);
        double[] rate = timed(
                driver,
                stream,
                from,
                to,
                () -> lt.get().multiply(product, c, a, w, false, workspace, driver.handle(stream)),
                2.0 * CUBE * CUBE * CUBE);
        add("cuBLASLt 8192 cubed", "TFLOP/s", scaled(rate, 1e-12), lt.get().library());
        lt.get().close();
    }

    private static void fillWithNoise(CudaDriver driver, Stream stream, long target, long bytes) {
        long step = 64L << 20;
        MemorySegment pinned = driver.allocatePinned(Math.min(step, bytes));
        java.util.SplittableRandom random = new java.util.SplittableRandom(bytes);
        for (long i = 0; i < pinned.byteSize() / 2; i++) {
            float value = (float) (random.nextInt() * 0x1p-31);
            pinned.setAtIndex(java.lang.foreign.ValueLayout.JAVA_SHORT, i, WeightUpload.bfloat16(value));
        }
        for (long at = 0; at < bytes; at += step) {
            driver.copyToDevice(target + at, pinned.address(), Math.min(step, bytes - at), stream);
        }
        driver.synchronize(stream);
        driver.freePinned(pinned);
    }

    /** Work per second, each of a few rounds on its own; sorted. */
    private static double[] timed(
            CudaDriver driver, Stream stream, Event from, Event to, Runnable launch, double work) {
        int calls = 4;
        double[] rates = new double[7];
        for (int round = -1; round < rates.length; round++) {
            driver.record(from, stream);
            for (int i = 0; i < calls; i++) {
                launch.run();
            }
            driver.record(to, stream);
            driver.synchronize(stream);
            if (round >= 0) {
                rates[round] = work * calls / (driver.elapsedMillis(from, to) / 1e3);
            }
        }
        Arrays.sort(rates);
        return rates;
    }

    private static double[] scaled(double[] values, double factor) {
        return Arrays.stream(values).map(v -> v * factor).toArray();
    }

    // ---- the engine

    private Config config(String settings) {
        return plan.overrides()
                .withFallback(ConfigFactory.parseString(settings))
                .withFallback(ConfigFactory.parseMap(Map.of("tandem.compute.cuda.device", plan.device())))
                .withFallback(ConfigFactory.load());
    }

    private static CudaBackend open(ModelConfig model, Config config) {
        CudaSettings settings = CudaSettings.from(config);
        CudaDriver driver = NativeDriver.open(settings.device());
        return new CudaBackend(
                driver,
                KernelCatalog.forDevice(driver.facts()),
                new RandomModel(model),
                settings,
                EngineSettings.from(config),
                Runtime.getRuntime().availableProcessors(),
                List.of());
    }

    private void hostTime() {
        Config config =
                config("tandem.engine { max-sequences = 256, max-batch-tokens = 2048, prefill-chunk-tokens = 1024,"
                        + " mixed-chunk-tokens = 1024, kv-blocks = 24000, prefix-cache = off }");
        try (CudaBackend backend = open(RandomModel.tiny(), config);
                EngineRun run = new EngineRun(backend, config)) {
            for (int batch : new int[] {1, 64, 256}) {
                run.startDecodes(batch, 64, 1300);
                run.steps(300);
                double[] host = new double[REPEATS];
                double[] wall = new double[REPEATS];
                long garbage = 0;
                for (int i = 0; i < REPEATS; i++) {
                    long waited = backend.waitedNanos();
                    long allocated = EngineRun.allocatedBytes();
                    long nanos = run.steps(300);
                    garbage = (EngineRun.allocatedBytes() - allocated) / 300;
                    host[i] = (nanos - (backend.waitedNanos() - waited)) / 300e6;
                    wall[i] = nanos / 300e6;
                }
                add("host time a step, tiny model, batch " + batch, "ms", host, "garbage " + garbage + " bytes a step");
                add("whole step, tiny model, batch " + batch, "ms", wall, "");
                run.cancelAll();
            }
        }
    }

    private void largeModel() {
        Config config =
                config("tandem.engine { max-sequences = 128, max-batch-tokens = 8320, prefill-chunk-tokens = 8192,"
                        + " mixed-chunk-tokens = 8192, kv-blocks = 14000, prefix-cache = off }");
        long start = System.nanoTime();
        try (CudaBackend backend = open(RandomModel.llama8b(), config)) {
            add(
                    "weights to the device, 8B",
                    "GB/s",
                    new double[] {backend.uploadBytes() / 1e9 / backend.uploadSeconds()},
                    String.format(Locale.ROOT, "open in %.1f s", (System.nanoTime() - start) / 1e9));
            try (EngineRun run = new EngineRun(backend, config)) {
                fillWithNoise(
                        backend.driver(),
                        backend.stream(),
                        run.kv().address(0),
                        run.kv().blocks() * run.kv().layout().blockBytes());
                if (plan.workloads().contains("transfer")) {
                    transfer(run);
                }
                if (plan.workloads().contains("decode")) {
                    for (int batch : new int[] {1, 8, 16, 32, 64, 128}) {
                        decode(run, backend, batch, CONTEXT);
                    }
                    decode(run, backend, 16, 8 * CONTEXT);
                }
                if (plan.workloads().contains("prefill")) {
                    prefill(run, 1, 2048);
                    prefill(run, 1, 8192);
                    prefill(run, 1, 32_768);
                    prefill(run, 16, 1024);
                }
            }
        }
    }

    /** Blocks to pinned windows and back, as a transfer moves them. */
    private void transfer(EngineRun run) {
        KvMemory kv = run.kv();
        int[] blocks = IntStream.range(0, TRANSFER_BLOCKS).toArray();
        MemorySegment[] windows = new MemorySegment[TRANSFER_BLOCKS];
        for (int i = 0; i < TRANSFER_BLOCKS; i++) {
            windows[i] = kv.borrowWindow(i);
        }
        double bytes = (double) TRANSFER_BLOCKS * kv.layout().blockBytes();
        double[] out = new double[REPEATS];
        double[] in = new double[REPEATS];
        for (int i = 0; i < REPEATS; i++) {
            out[i] = bytes
                    / awaitCopies(TRANSFER_BLOCKS, done -> {
                        for (int b = 0; b < TRANSFER_BLOCKS; b++) {
                            kv.fillWindow(b, windows[b], done);
                        }
                    });
            in[i] = bytes / awaitCopies(1, done -> kv.fillBlocks(blocks, windows, done));
        }
        Arrays.stream(windows).forEach(kv::returnWindow);
        add("KV blocks, device to pinned windows", "GB/s", out, TRANSFER_BLOCKS + " blocks of 2 MiB");
        add("KV blocks, pinned windows to device", "GB/s", in, "");
    }

    /** Nanoseconds until so many copies have said that they are done. */
    private static double awaitCopies(int copies, Consumer<Consumer<RuntimeException>> start) {
        CountDownLatch done = new CountDownLatch(copies);
        long began = System.nanoTime();
        start.accept(failure -> {
            if (failure == null) {
                done.countDown();
            }
        });
        try {
            if (!done.await(COPY_PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException("copies failed or take for ever");
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return System.nanoTime() - began;
    }

    private void poisson(int chunk) {
        Config config =
                config("tandem.engine { max-sequences = 128, max-batch-tokens = 4096, prefill-chunk-tokens = 4096,"
                        + " mixed-chunk-tokens = " + chunk + ", kv-blocks = 12000, max-waiting-sequences = 1000,"
                        + " prefix-cache = off }");
        try (CudaBackend backend = open(RandomModel.llama8b(), config);
                PoissonRun run =
                        new PoissonRun(backend, config, POISSON_REQUESTS, POISSON_RATE, CONTEXT, CONTEXT / 8)) {
            run.run();
            String what = "Poisson 20 a second, 1024 in, 128 out, chunk " + chunk;
            percentiles(what + ": TTFT", run.firstTokenMillis());
            percentiles(what + ": TPOT", run.tokenMillis());
        }
    }

    private void percentiles(String what, double[] sorted) {
        Row row = new Row(
                what,
                "ms",
                sorted[sorted.length / 2],
                sorted[0],
                sorted[sorted.length - 1],
                String.format(Locale.ROOT, "p99 %.1f ms", sorted[sorted.length * 99 / 100]));
        rows.add(row);
        System.out.println(markdownRow(row));
    }

    /** The mean context is that of 512 tokens after a prompt of {@code context}. */
    private void decode(EngineRun run, CudaBackend backend, int batch, int context) {
        int start = context + 256 - DECODE_STEPS / 2;
        double[] millis = new double[REPEATS];
        double[] hostMillis = new double[REPEATS];
        for (int i = 0; i < REPEATS; i++) {
            run.startDecodes(batch, start - 16, DECODE_STEPS + 64);
            run.steps(16);
            long waited = backend.waitedNanos();
            long nanos = run.steps(DECODE_STEPS);
            millis[i] = nanos / 1e6 / DECODE_STEPS;
            hostMillis[i] = (nanos - (backend.waitedNanos() - waited)) / 1e6 / DECODE_STEPS;
            run.cancelAll();
        }
        Arrays.sort(hostMillis);
        double floor = (15.01e9 + 131_072.0 * (context + 256) * batch) / readBandwidth * 1e3;
        double median = Arrays.stream(millis).sorted().toArray()[REPEATS / 2];
        String note = readBandwidth == 0
                ? ""
                : String.format(
                        Locale.ROOT,
                        "%.0f %% of the floor of %.2f ms; host %.3f ms",
                        100 * floor / median,
                        floor,
                        hostMillis[REPEATS / 2]);
        add("decode TPOT, batch " + batch + ", context " + context, "ms", millis, note);
    }

    private void prefill(EngineRun run, int prompts, int tokens) {
        double[] millis = new double[REPEATS];
        for (int i = -1; i < REPEATS; i++) {
            double one = run.prompts(prompts, tokens) / 1e6;
            if (i >= 0) {
                millis[i] = one;
            }
        }
        double median = Arrays.stream(millis).sorted().toArray()[REPEATS / 2];
        // Products without embedding and head, and causal attention: 4 * layers * width * n^2 / 2.
        double flop = 2 * 6.98e9 * tokens * prompts + 2.0 * 32 * 4096 * tokens * tokens * prompts;
        add(
                "prefill " + prompts + " x " + tokens,
                "ms",
                millis,
                String.format(Locale.ROOT, "%.0f TFLOP/s", flop / median / 1e9));
    }

    // ---- results

    private static String markdownRow(Row r) {
        return String.format(
                Locale.ROOT,
                "| %s | %.3f %s | %.3f - %.3f | %s |",
                r.what(),
                r.median(),
                r.unit(),
                r.least(),
                r.most(),
                r.note());
    }

    /** A table for docs/benchmarks. */
    public static String markdown(int device, List<Row> rows) {
        StringBuilder table = new StringBuilder(
                facts(device) + "\n\n" + "| what | median | lowest - highest | note |\n|---|---|---|---|\n");
        rows.forEach(r -> table.append(markdownRow(r)).append('\n'));
        return table.toString();
    }

    private static String facts(int device) {
        return CudaDevices.describe(device)
                + ", driver and clocks (SM, SM at most, memory) "
                + answerOf(
                        "nvidia-smi",
                        "-i",
                        Integer.toString(device),
                        "--query-gpu=driver_version,clocks.sm,clocks.max.sm,clocks.mem",
                        "--format=csv,noheader")
                + ", " + Runtime.getRuntime().availableProcessors() + " cores, JDK " + Runtime.version() + ", commit "
                + answerOf("git", "rev-parse", "--short", "HEAD");
    }

    /** What a command prints; "unknown" where it is not there. */
    private static String answerOf(String... command) {
        try {
            Process process = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            String answer = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).trim();
            return process.waitFor() == 0 && !answer.isEmpty() ? answer : "unknown";
        } catch (IOException e) {
            return "unknown";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "unknown";
        }
    }

    /** The same as JSON. */
    public static void write(Path file, int device, List<Row> rows) throws IOException {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("machine", facts(device));
        all.put("rows", rows);
        Files.writeString(
                file, new ObjectMapper().writerWithDefaultPrettyPrinter().writeValueAsString(all));
    }
}
