package io.tandem.compute.cuda;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.compute.DeviceLostException;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.engine.EngineSettings;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.Models;
import io.tandem.sampling.Sampler;
import io.tandem.sampling.SamplingParams;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;

/**
 * Checks a device by what it computes: logits of small models and continuations of SmolLM2 against the float32 reference,
 * the choice of tokens against the host's sampler, blocks that travel, memory that comes back.
 *
 * <p>bf16 keeps 8 significant bits, so a logit may be off by {@value #LOGIT_TOLERANCE} of the largest, and tokens are
 * compared where the reference's best two logits are further apart than that error can move them.
 */
public final class GpuCheck {
    private static final double LOGIT_TOLERANCE = 0.03;
    private static final double MARGIN_TOLERANCE = 0.06;

    /** Margin, in logits, on which SmolLM2's tokens must be the reference's. Its logits reach about 20. */
    private static final double SMOLLM2_MARGIN = 0.5;

    private static final int ROUNDS = 20;

    /** Belongs to no allocation. */
    private static final long BAD_ADDRESS = 0x7000_0000_0000_0000L;

    private static final long LEAK_BYTES = 64L << 20;
    private static final int BATCH_TOKENS = 256;
    private static final ObjectMapper JSON = new ObjectMapper();

    /** One check; {@code passed} is empty when it was skipped. */
    public record Outcome(String name, Optional<Boolean> passed, String detail) {
        @Override
        public String toString() {
            return (passed.isEmpty() ? "SKIPPED " : passed.get() ? "ok      " : "FAILED  ") + name + ": " + detail;
        }
    }

    /** A check's body: answers what it saw, throws {@link AssertionError} when that is wrong. */
    @FunctionalInterface
    private interface Body {
        String run() throws Exception;
    }

    private final int device;
    private final Path golden;
    private final List<Outcome> outcomes = new ArrayList<>();

    private GpuCheck(int device, Path golden) {
        this.device = device;
        this.golden = golden;
    }

    /**
     * Runs all checks.
     *
     * @param golden folder with the reference's answers ({@code tiny/}, {@code smollm2/})
     * @param smollm2 the SmolLM2 file, when it is there
     */
    public static List<Outcome> run(int device, Path golden, Optional<Path> smollm2) {
        String refusal = CudaDevices.deviceRefusal(device);
        if (!refusal.isEmpty()) {
            return List.of(new Outcome("device " + device, Optional.empty(), refusal));
        }
        GpuCheck check = new GpuCheck(device, golden);
        check.add("device", () -> CudaDevices.describe(device));
        for (String family : List.of("llama", "llama31-rope", "mistral", "qwen2", "qwen3")) {
            for (int chunk : new int[] {BATCH_TOKENS, 13, 1}) {
                check.add(family + ", prompt in chunks of " + chunk, () -> check.tiny(family, chunk, "on", "auto"));
            }
        }
        check.add("llama without graphs and cuBLASLt", () -> check.tiny("llama", BATCH_TOKENS, "off", "off"));
        check.add("choice of tokens", check::sampling);
        check.add("blocks through host memory", check::transfer);
        check.add("open and close " + ROUNDS + " times", check::leaks);
        if (smollm2.isPresent()) {
            check.add("SmolLM2, continuations one by one", () -> check.smollm2(smollm2.get()));
        } else {
            check.report(new Outcome(
                    "SmolLM2",
                    Optional.empty(),
                    "its file is not there: ./tandem models pull, or name it with --model"));
        }
        // The last one: after it this process may be unable to use the device.
        check.add("a device that is lost", check::loss);
        return check.outcomes;
    }

    private void add(String name, Body body) {
        Outcome outcome;
        try {
            outcome = new Outcome(name, Optional.of(true), body.run());
        } catch (Exception | AssertionError e) {
            outcome = new Outcome(name, Optional.of(false), e.toString());
        }
        report(outcome);
    }

    private void report(Outcome outcome) {
        System.out.println(outcome);
        outcomes.add(outcome);
    }

    private static void require(boolean ok, String message) {
        if (!ok) {
            throw new AssertionError(message);
        }
    }

    private Config config(String settings) {
        return ConfigFactory.parseString(settings)
                .withFallback(ConfigFactory.parseString("tandem.engine { max-sequences = 8, max-batch-tokens = "
                        + BATCH_TOKENS + ", prefill-chunk-tokens = 128, mixed-chunk-tokens = 128 }"
                        + "\ntandem.compute.cuda.device = " + device))
                .withFallback(ConfigFactory.load());
    }

    private CudaBackend open(Path model, String settings) throws IOException {
        Config config = config(settings);
        CudaDriver driver = NativeDriver.open(device);
        return new CudaBackend(
                driver,
                KernelCatalog.forDevice(driver.facts()),
                Models.openWeights(model),
                CudaSettings.from(config),
                EngineSettings.from(config),
                Runtime.getRuntime().availableProcessors(),
                List.of());
    }

    // ---- small models

    private String tiny(String family, int chunk, String graphs, String cublasLt) throws IOException {
        JsonNode cases = JSON.readTree(
                        golden.resolve("tiny/" + family + "/expected.json").toFile())
                .path("cases");
        double worst = 0;
        int compared = 0;
        String settings = "tandem.compute.cuda { graphs = " + graphs + ", cublas-lt = " + cublasLt + " }";
        for (JsonNode one : cases) {
            try (CudaBackend backend = open(golden.resolve("tiny/" + family), settings);
                    KvMemory kv = backend.allocateKv(64)) {
                Continuation c = new Continuation(backend, kv, one.path("prompt"), one.path("greedy"));
                c.prompt(chunk);
                double largest = 0;
                double error = 0;
                for (int i = 0; i < one.path("last_logits").size(); i++) {
                    double expected = one.path("last_logits").get(i).asDouble();
                    largest = Math.max(largest, Math.abs(expected));
                    error = Math.max(error, Math.abs(expected - c.output.logits[0][i]));
                    require(!Float.isNaN(c.output.logits[0][i]), "logit " + i + " is no number");
                }
                worst = Math.max(worst, error / largest);
                require(error <= LOGIT_TOLERANCE * largest, "logits are off by " + error + " of " + largest);
                compared += c.compare(one.path("margins"), MARGIN_TOLERANCE * largest);
            }
        }
        require(compared > 0, "no step has a margin that tells");
        return String.format(
                Locale.ROOT, "worst logit off by %.2f %% of the largest, %d tokens equal", 100 * worst, compared);
    }

    /** A prompt and the reference's continuation on a backend, one sequence at a time. */
    private static final class Continuation {
        final ForwardOutput output;
        private final CudaBackend backend;
        private final KvMemory kv;
        private final ForwardBatch batch;
        private final int[] tokens;
        private final int[] table;
        private final int promptTokens;

        Continuation(CudaBackend backend, KvMemory kv, JsonNode prompt, JsonNode answer) {
            this.backend = backend;
            this.kv = kv;
            output = new ForwardOutput(1, backend.model().vocabSize(), true);
            batch = new ForwardBatch(backend.maxBatchTokens(), 1);
            int[] first = ids(prompt);
            promptTokens = first.length;
            tokens = IntStream.concat(IntStream.of(first), IntStream.of(ids(answer)))
                    .toArray();
            table = IntStream.range(0, kv.blocks())
                    .map(i -> kv.blocks() - 1 - i)
                    .toArray();
        }

        private static int[] ids(JsonNode array) {
            int[] ids = new int[array.size()];
            Arrays.setAll(ids, i -> array.get(i).asInt());
            return ids;
        }

        void prompt(int chunk) {
            for (int from = 0; from < promptTokens; from += chunk) {
                run(from, Math.min(chunk, promptTokens - from));
            }
        }

        void run(int from, int count) {
            batch.clear();
            batch.add(tokens, from, count, table, true);
            backend.forward(batch, kv, output);
        }

        /** Feeds the reference's tokens; answers how many steps had a margin that tells, all of them equal. */
        int compare(JsonNode margins, double margin) {
            int compared = 0;
            for (int at = promptTokens; at < tokens.length; at++) {
                if (margins.get(at - promptTokens).asDouble() >= margin) {
                    require(
                            output.tokens[0] == tokens[at],
                            "step " + (at - promptTokens) + ": token " + output.tokens[0] + " instead of " + tokens[at]
                                    + ", margin " + margins.get(at - promptTokens));
                    compared++;
                }
                run(at, 1);
            }
            return compared;
        }
    }

    // ---- the rest

    private String sampling() throws IOException {
        SamplingParams[] all = {
            SamplingParams.of(0.8f, 1),
            new SamplingParams(1.3f, 40, 1, 0, 1, 0, 0, new int[0], new float[0], 2, 0),
            new SamplingParams(0.7f, 0, 0.8f, 0, 1, 0, 0, new int[0], new float[0], 3, 0),
            new SamplingParams(1f, 0, 1, 0.05f, 1, 0, 0, new int[0], new float[0], 4, 0),
            new SamplingParams(0.9f, 50, 0.95f, 0.01f, 1.2f, 0.4f, 0.6f, new int[0], new float[0], 5, 0),
            new SamplingParams(0, 0, 1, 0, 1.3f, 0, 0.5f, new int[] {3, 7}, new float[] {4, -100}, 6, 0)
        };
        int vocabSize;
        int compared = 0;
        int unequal = 0;
        try (CudaBackend backend = open(golden.resolve("tiny/llama"), "");
                KvMemory kv = backend.allocateKv(64)) {
            vocabSize = backend.model().vocabSize();
            Sampler sampler = new Sampler(vocabSize);
            ForwardBatch batch = new ForwardBatch(BATCH_TOKENS, 1);
            ForwardOutput output = new ForwardOutput(1, vocabSize, true);
            int[] table = IntStream.range(0, 64).toArray();
            for (int p = 0; p < all.length; p++) {
                int[] tokens = new int[200];
                int length = 20;
                for (int i = 0; i < length; i++) {
                    tokens[i] = (i * 37 + p) % vocabSize;
                }
                for (int from = 0; length < 120; from = length - 1) {
                    batch.clear();
                    batch.add(tokens, from, length - from, table, true, 100 + p, p % 3, all[p], 20);
                    backend.forward(batch, kv, output);
                    int expected = sampler.choose(all[p], output.logits[0], tokens, 20, length);
                    unequal += expected == output.tokens[0] ? 0 : 1;
                    compared++;
                    tokens[length++] = output.tokens[0];
                }
            }
        }
        // A draw may fall between two sums that differ in their last bits.
        require(unequal * 200 <= compared, unequal + " of " + compared + " tokens are not the host's");
        return compared + " tokens, " + unequal + " not the host's";
    }

    private String transfer() throws Exception {
        Path model = golden.resolve("tiny/llama");
        JsonNode one = null;
        for (JsonNode candidate :
                JSON.readTree(model.resolve("expected.json").toFile()).path("cases")) {
            boolean longer = one == null
                    || candidate.path("prompt").size() > one.path("prompt").size();
            one = longer ? candidate : one;
        }
        try (CudaBackend from = open(model, "");
                CudaBackend to = open(model, "");
                KvMemory source = from.allocateKv(64);
                KvMemory target = to.allocateKv(64)) {
            Continuation there = new Continuation(from, source, one.path("prompt"), one.path("greedy"));
            there.prompt(BATCH_TOKENS);
            int blocks = source.layout().blocksFor(there.promptTokens);
            MemorySegment[] windows = new MemorySegment[blocks];
            CountDownLatch filled = new CountDownLatch(blocks);
            for (int i = 0; i < blocks; i++) {
                windows[i] = source.borrowWindow(there.table[i]);
                source.fillWindow(there.table[i], windows[i], failure -> filled.countDown());
            }
            filled.await();
            CountDownLatch stored = new CountDownLatch(1);
            target.fillBlocks(Arrays.copyOf(there.table, blocks), windows, failure -> stored.countDown());
            stored.await();
            Continuation here = new Continuation(to, target, one.path("prompt"), one.path("greedy"));
            for (int at = there.promptTokens; at < there.tokens.length; at++) {
                there.run(at, 1);
                here.run(at, 1);
                require(
                        Arrays.equals(there.output.logits[0], here.output.logits[0]),
                        "logits differ behind moved blocks at token " + at);
            }
            return blocks + " blocks moved, logits equal bit by bit";
        }
    }

    private String leaks() throws IOException {
        Path model = golden.resolve("tiny/llama");
        openAndClose(model);
        long before = freeBytes();
        for (int i = 0; i < ROUNDS; i++) {
            openAndClose(model);
        }
        long lost = before - freeBytes();
        require(lost < LEAK_BYTES, lost + " bytes did not come back");
        return lost + " bytes lost";
    }

    /** A kernel that reads where nothing is breaks the context for good; the next pass must say so. */
    private String loss() throws IOException {
        Path model = golden.resolve("tiny/llama");
        String said;
        CudaBackend backend = open(model, "");
        try {
            KvMemory kv = backend.allocateKv(64);
            backend.kernels().afterCopy();
            backend.kernels()
                    .call(KernelName.READ_PROBE)
                    .address(BAD_ADDRESS)
                    .wide(1 << 20)
                    .address(BAD_ADDRESS)
                    .on(1);
            said = failedPass(backend, kv);
            kv.close();
        } finally {
            backend.close();
        }
        try {
            tiny("llama", BATCH_TOKENS, "on", "auto");
            return said + "; opened again in this process, all well";
        } catch (CudaException e) {
            return said + "; this process cannot open the device again (" + e.getMessage() + "), a new one can";
        }
    }

    private static String failedPass(CudaBackend backend, KvMemory kv) {
        ForwardBatch batch = new ForwardBatch(BATCH_TOKENS, 1);
        ForwardOutput output = new ForwardOutput(1, backend.model().vocabSize(), false);
        batch.add(new int[] {1, 2, 3}, 0, 3, new int[] {0}, true);
        try {
            backend.forward(batch, kv, output);
        } catch (DeviceLostException e) {
            return e.getMessage();
        }
        throw new AssertionError("a pass behind a broken kernel went well");
    }

    private void openAndClose(Path model) throws IOException {
        try (CudaBackend backend = open(model, "");
                KvMemory kv = backend.allocateKv(64)) {
            require(kv.borrowWindow(0) != null, "no window");
        }
    }

    private long freeBytes() {
        try (CudaDriver driver = NativeDriver.open(device)) {
            driver.makeCurrent();
            return driver.freeBytes();
        }
    }

    private String smollm2(Path model) throws IOException {
        int compared = 0;
        int steps = 0;
        try (CudaBackend backend = open(model, "");
                KvMemory kv = backend.allocateKv(256)) {
            for (String line : Files.readAllLines(golden.resolve("smollm2/greedy.jsonl"))) {
                JsonNode row = JSON.readTree(line);
                Continuation c = new Continuation(backend, kv, row.path("prompt_ids"), row.path("ids"));
                c.prompt(BATCH_TOKENS);
                compared += c.compare(row.path("margins"), SMOLLM2_MARGIN);
                steps += row.path("ids").size();
            }
        }
        require(compared > steps / 2, "only " + compared + " of " + steps + " steps have a margin that tells");
        return compared + " of " + steps + " tokens have a margin of " + SMOLLM2_MARGIN + " or more, all of them equal";
    }
}
