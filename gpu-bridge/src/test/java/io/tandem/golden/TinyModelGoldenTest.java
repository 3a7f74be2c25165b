package io.tandem.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.compute.ComputeBackend;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.compute.cpu.CpuBackend;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.Models;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.GgufWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Small random models of each family against the reference's logits, in chunks, on both backends. */
class TinyModelGoldenTest {
    private static final int BLOCK_TOKENS = 16;
    private static final double LOGIT_TOLERANCE = 1e-4;
    private static final double MARGIN = 0.01;

    @TempDir
    Path folder;

    @ParameterizedTest
    @CsvSource({
        "llama,scalar,512", "llama,vector,512", "llama,vector,7",
        "llama31-rope,scalar,512", "llama31-rope,vector,512", "llama31-rope,vector,13",
        "mistral,scalar,512", "mistral,vector,512", "mistral,vector,1",
        "qwen2,scalar,512", "qwen2,vector,512", "qwen2,vector,11",
        "qwen3,scalar,512", "qwen3,vector,512", "qwen3,vector,5"
    })
    void shouldComputeTheReferencesLogitsAndTokens(String family, String backend, int chunkTokens) throws IOException {
        checkAll(family, GoldenFiles.folder("tiny/" + family), backend, chunkTokens);
    }

    @ParameterizedTest
    @CsvSource({"llama,llama", "mistral,llama", "qwen2,qwen2", "qwen3,qwen3"})
    void shouldReadTheSameModelFromGguf(String family, String architecture) throws IOException {
        Path file = folder.resolve(family + ".gguf");
        try (Checkpoint source = Models.openWeights(GoldenFiles.folder("tiny/" + family))) {
            GgufWriter.write(source, architecture, file);
        }
        checkAll(family, file, "vector", 512);
    }

    private static void checkAll(String family, Path model, String backend, int chunkTokens) throws IOException {
        JsonNode cases = GoldenFiles.json(GoldenFiles.folder("tiny/" + family).resolve("expected.json"))
                .path("cases");
        assertTrue(cases.size() >= 2);
        for (JsonNode one : cases) {
            try (ComputeBackend compute = open(model, backend);
                    KvMemory kv = compute.allocateKv(32)) {
                check(one, compute, kv, chunkTokens);
            }
        }
    }

    private static ComputeBackend open(Path model, String backend) throws IOException {
        Checkpoint checkpoint = Models.openWeights(model);
        return backend.equals("scalar")
                ? CpuBackend.scalar(checkpoint, BLOCK_TOKENS, 512, 2, List.of())
                : CpuBackend.vector(checkpoint, 2, BLOCK_TOKENS, 512, 2, List.of());
    }

    private static void check(JsonNode one, ComputeBackend compute, KvMemory kv, int chunkTokens) {
        int[] prompt = GoldenFiles.ids(one.path("prompt"));
        int[] greedy = GoldenFiles.ids(one.path("greedy"));
        int[] tokens =
                IntStream.concat(IntStream.of(prompt), IntStream.of(greedy)).toArray();
        int[] table = IntStream.range(0, 32).toArray();
        ForwardBatch batch = new ForwardBatch(512, 2);
        ForwardOutput output = new ForwardOutput(2, compute.model().vocabSize(), true);
        for (int from = 0; from < prompt.length; from += chunkTokens) {
            run(compute, kv, batch, output, tokens, from, Math.min(chunkTokens, prompt.length - from), table);
        }
        for (int i = 0; i < one.path("last_logits").size(); i++) {
            assertEquals(one.path("last_logits").get(i).asDouble(), output.logits[0][i], LOGIT_TOLERANCE, "logit " + i);
        }
        for (int step = 0; step < greedy.length; step++) {
            if (one.path("margins").get(step).asDouble() >= MARGIN) {
                assertEquals(greedy[step], argmax(output.logits[0]), "step " + step);
            }
            run(compute, kv, batch, output, tokens, prompt.length + step, 1, table);
        }
    }

    private static void run(
            ComputeBackend compute,
            KvMemory kv,
            ForwardBatch batch,
            ForwardOutput output,
            int[] tokens,
            int from,
            int count,
            int[] table) {
        batch.clear();
        batch.add(tokens, from, count, table, true);
        compute.forward(batch, kv, output);
    }

    private static int argmax(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        return best;
    }
}
