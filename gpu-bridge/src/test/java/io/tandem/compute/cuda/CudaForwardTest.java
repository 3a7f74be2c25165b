package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.typesafe.config.Config;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.golden.GoldenFiles;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.Models;
import io.tandem.sampling.SamplingParams;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.GgufWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The sequence of launches, checked on emulated kernels against the float32 reference's logits. */
class CudaForwardTest {
    /** bf16 keeps 8 bits: the error of a logit against the spread of all of them. */
    private static final double LOGIT_TOLERANCE = 0.03;

    private static final double MARGIN_TOLERANCE = 0.06;

    @TempDir
    Path folder;

    @ParameterizedTest
    @CsvSource({
        "llama,160,on",
        "llama,7,on",
        "llama,1,off",
        "llama31-rope,13,on",
        "mistral,150,off",
        "qwen2,11,on",
        "qwen2,150,on",
        "qwen3,5,on",
        "qwen3,150,on"
    })
    void shouldComputeTheReferencesLogitsAndTokens(String family, int chunkTokens, String graphs) throws IOException {
        check(family, GoldenFiles.folder("tiny/" + family), chunkTokens, graphs);
    }

    @ParameterizedTest
    @CsvSource({"llama,llama", "qwen2,qwen2"})
    void shouldReadTheSameModelFromGguf(String family, String architecture) throws IOException {
        Path file = folder.resolve(family + ".gguf");
        try (Checkpoint source = Models.openWeights(GoldenFiles.folder("tiny/" + family))) {
            GgufWriter.write(source, architecture, file);
        }
        check(family, file, 150, "on");
    }

    /** As when it was preempted twice and nobody had its first slot meanwhile. */
    @Test
    void shouldCountTokensThatWereChosenInAnotherSlot() throws IOException {
        int[] stays = penalized(0, 0, 0);
        assertArrayEquals(stays, penalized(0, 1, 0));
    }

    /** Tokens chosen one by one, eight in each of these slots, where what was chosen before is chosen again the more. */
    private static int[] penalized(int... places) throws IOException {
        int[] slots = IntStream.of(places)
                .flatMap(p -> IntStream.range(0, 8).map(i -> p))
                .toArray();
        Config config = HostDevice.config("");
        SamplingParams again = new SamplingParams(0.8f, 0, 1, 0, 1, 0, -0.5f, new int[0], new float[0], 1, 0);
        int[] tokens = new int[3 + slots.length];
        int[] table = IntStream.range(0, 32).toArray();
        try (CudaBackend backend = HostDevice.open(
                        new HostDriver(), Models.openWeights(GoldenFiles.folder("tiny/llama")), config);
                KvMemory kv = backend.allocateKv(32)) {
            ForwardBatch batch = new ForwardBatch(160, 2);
            ForwardOutput output = new ForwardOutput(2, backend.model().vocabSize(), false);
            for (int i = 0; i < 3; i++) {
                tokens[i] = 5 + i;
            }
            for (int i = 0; i < slots.length; i++) {
                batch.clear();
                int from = i == 0 ? 0 : 2 + i;
                batch.add(tokens, from, 3 + i - from, table, true, 42, slots[i], again, 3);
                backend.forward(batch, kv, output);
                tokens[3 + i] = output.tokens[0];
            }
        }
        return Arrays.copyOfRange(tokens, 3, tokens.length);
    }

    private static void check(String family, Path model, int chunkTokens, String graphs) throws IOException {
        JsonNode cases = GoldenFiles.json(GoldenFiles.folder("tiny/" + family).resolve("expected.json"))
                .path("cases");
        Config config = HostDevice.config("tandem.compute.cuda.graphs = " + graphs);
        for (JsonNode one : cases) {
            HostDriver driver = new HostDriver();
            try (CudaBackend backend = HostDevice.open(driver, Models.openWeights(model), config);
                    KvMemory kv = backend.allocateKv(32)) {
                check(one, backend, kv, Math.min(chunkTokens, 160));
            }
            assertEquals(0, driver.open(), "left on the device");
        }
    }

    private static void check(JsonNode one, CudaBackend backend, KvMemory kv, int chunkTokens) {
        int[] prompt = GoldenFiles.ids(one.path("prompt"));
        int[] greedy = GoldenFiles.ids(one.path("greedy"));
        int[] tokens =
                IntStream.concat(IntStream.of(prompt), IntStream.of(greedy)).toArray();
        int[] table = IntStream.range(0, 32).map(i -> 31 - i).toArray();
        ForwardBatch batch = new ForwardBatch(160, 2);
        ForwardOutput output = new ForwardOutput(2, backend.model().vocabSize(), true);
        for (int from = 0; from < prompt.length; from += chunkTokens) {
            run(backend, kv, batch, output, tokens, from, Math.min(chunkTokens, prompt.length - from), table);
        }
        double spread = 0;
        for (JsonNode logit : one.path("last_logits")) {
            spread = Math.max(spread, Math.abs(logit.asDouble()));
        }
        for (int i = 0; i < one.path("last_logits").size(); i++) {
            assertEquals(
                    one.path("last_logits").get(i).asDouble(),
                    output.logits[0][i],
                    LOGIT_TOLERANCE * spread,
                    "logit " + i + " of " + spread);
        }
        int compared = 0;
        for (int step = 0; step < greedy.length; step++) {
            if (one.path("margins").get(step).asDouble() >= MARGIN_TOLERANCE * spread) {
                assertEquals(greedy[step], output.tokens[0], "step " + step);
                compared++;
            }
            run(backend, kv, batch, output, tokens, prompt.length + step, 1, table);
        }
        assertTrue(compared > 0, "no step of " + greedy.length + " has a margin that tells");
    }

    private static void run(
            CudaBackend backend,
            KvMemory kv,
            ForwardBatch batch,
            ForwardOutput output,
            int[] tokens,
            int from,
            int count,
            int[] table) {
        batch.clear();
        batch.add(tokens, from, count, table, true);
        backend.forward(batch, kv, output);
    }
}
