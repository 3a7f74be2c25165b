package io.tandem.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.typesafe.config.ConfigFactory;
import io.tandem.compute.ComputeBackend;
import io.tandem.compute.cpu.CpuBackend;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.engine.StepTokens;
import io.tandem.model.Models;
import io.tandem.sampling.SamplingParams;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** SmolLM2's greedy continuations, all in one continuous batch, against the float32 reference. */
class SmolLm2GoldenTest {
    /** Steps on which the reference's two best logits are closer than this say nothing. */
    private static final double MARGIN = 0.01;

    private static final double LOGPROB_TOLERANCE = 0.02;

    /** A minute of computing, of which a slow core that others use as well makes many. */
    @Test
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void shouldContinueEveryPromptAsTheReferenceDoes() throws IOException {
        List<JsonNode> rows = new ArrayList<>(GoldenFiles.lines("smollm2/greedy.jsonl"));
        assertEquals(20, rows.size());
        rows.addAll(GoldenFiles.lines("smollm2/long.jsonl"));
        Answers answers = new Answers();
        EngineSettings settings = EngineSettings.from(
                ConfigFactory.parseString("tandem.engine { kv-blocks = 640, mixed-chunk-tokens = 200 }")
                        .withFallback(ConfigFactory.load()));
        try (ComputeBackend backend = CpuBackend.vector(
                        Models.openWeights(GoldenFiles.model()),
                        Runtime.getRuntime().availableProcessors(),
                        settings.blockTokens(),
                        settings.maxBatchTokens(),
                        settings.maxSequences(),
                        List.of());
                Engine engine = new Engine(backend, "smollm2", settings, EngineRole.MIXED, answers)) {
            for (int i = 0; i < rows.size(); i++) {
                engine.apply(new EngineCommand.Generate(i, spec(rows.get(i))), 0);
            }
            while (engine.hasWork()) {
                engine.step(0);
            }
        }
        int compared = 0;
        for (int i = 0; i < rows.size(); i++) {
            compared += compare(rows.get(i), answers.tokens.get((long) i));
            compareLogprobs(rows.get(i), answers, i);
        }
        assertTrue(compared > 700, compared + " steps compared");
    }

    private static SequenceSpec spec(JsonNode row) {
        int[] prompt = GoldenFiles.ids(row.path("prompt_ids"));
        SamplingParams greedy = new SamplingParams(0, 0, 1, 0, 1, 0, 0, new int[0], new float[0], 0, 20);
        return new SequenceSpec(
                prompt, prompt.length, row.path("ids").size(), greedy, new int[] {2}, 0, Long.MAX_VALUE);
    }

    /** Steps compared: all until one that differs where the margin is too small to tell. */
    private static int compare(JsonNode row, List<Integer> tokens) {
        int[] expected = GoldenFiles.ids(row.path("ids"));
        for (int step = 0; step < expected.length; step++) {
            if (tokens.get(step) != expected[step]) {
                double margin = row.path("margins").get(step).asDouble();
                assertTrue(margin < MARGIN, "row " + row.path("n") + " differs at step " + step + ", margin " + margin);
                return step;
            }
        }
        return expected.length;
    }

    private static void compareLogprobs(JsonNode row, Answers answers, long key) {
        double lse = row.path("lse").asDouble();
        Map<Integer, Double> reference = new TreeMap<>();
        for (JsonNode pair : row.path("top20")) {
            reference.put(pair.get(0).asInt(), pair.get(1).asDouble() - lse);
        }
        int shared = 0;
        for (int i = 0; i < 20; i++) {
            Double expected = reference.get(answers.topIds.get(key)[i]);
            if (expected != null) {
                shared++;
                assertEquals(
                        expected,
                        answers.topLogprobs.get(key)[i],
                        LOGPROB_TOLERANCE,
                        "row " + row.path("n") + " top " + i);
            }
        }
        assertTrue(shared >= 19, "row " + row.path("n") + " shares " + shared + " of its best 20 tokens");
    }

    private static final class Answers implements EngineListener {
        private final Map<Long, List<Integer>> tokens = new TreeMap<>();
        private final Map<Long, int[]> topIds = new TreeMap<>();
        private final Map<Long, float[]> topLogprobs = new TreeMap<>();

        @Override
        public void onStep(StepTokens step) {
            for (int i = 0; i < step.count; i++) {
                tokens.computeIfAbsent(step.keys[i], k -> new ArrayList<>()).add(step.tokens[i]);
                topIds.putIfAbsent(step.keys[i], step.topIds[i]);
                topLogprobs.putIfAbsent(step.keys[i], step.topLogprobs[i]);
            }
        }

        @Override
        public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
            assertTrue(reason == FinishReason.LENGTH || reason == FinishReason.STOP, key + " ended with " + reason);
        }

        @Override
        public void onRefused(long key, RefusalReason reason, String detail) {
            throw new AssertionError(reason + " " + detail);
        }
    }
}
