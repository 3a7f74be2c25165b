package io.tandem.cluster;

import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.compute.simulated.TimingModel;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import io.tandem.model.Models;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/** What the simulated engine answers, computed here, without a cluster: one sequence, one step a token, nothing cached. */
final class SimulatedAnswers {
    private static final int BLOCK_TOKENS = 16;
    private static final int MAX_TOKENS = 4096;
    private static final int FAMILIES = 40;

    private final ModelConfig model;
    private final long seed;

    SimulatedAnswers(Path modelFile, long seed) {
        this.seed = seed;
        try {
            model = Models.open(modelFile, "").config();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The n-th question: one of 40 shared beginnings of 64 to 463 tokens, an end of its own, 16 to 79 tokens of output. */
    Question question(int n) {
        Random own = new Random(seed * 1_000_003 + n);
        Random family = new Random(seed * 31 + n % FAMILIES);
        int[] shared = ids(family, 64 + family.nextInt(400));
        int[] end = ids(own, 8 + own.nextInt(120));
        int[] prompt = Arrays.copyOf(shared, shared.length + end.length);
        System.arraycopy(end, 0, prompt, shared.length, end.length);
        return new Question(prompt, answer(prompt, 16 + own.nextInt(64)));
    }

    private static int[] ids(Random random, int count) {
        return random.ints(count, 100, 40_000).toArray();
    }

    /** The greedy continuation of that many tokens. */
    int[] answer(int[] prompt, int outputTokens) {
        ForwardBatch batch = new ForwardBatch(MAX_TOKENS, 1);
        ForwardOutput output = new ForwardOutput(1, model.vocabSize(), false);
        int[] tokens = Arrays.copyOf(prompt, prompt.length + outputTokens);
        int[] table = IntStream.range(0, tokens.length / BLOCK_TOKENS + 1).toArray();
        TimingModel noTime = new TimingModel(0, 0, 0, 0);
        try (SimulatedBackend backend =
                        new SimulatedBackend(model, BLOCK_TOKENS, MAX_TOKENS, noTime, List.of(), (start, step) -> {});
                KvMemory kv = backend.allocateKv(table.length)) {
            int computed = 0;
            for (int next = prompt.length; next < tokens.length; next++) {
                batch.clear();
                batch.add(tokens, computed, next - computed, table, true);
                backend.forward(batch, kv, output);
                tokens[next] = output.tokens[0];
                computed = next;
            }
        }
        return Arrays.copyOfRange(tokens, prompt.length, tokens.length);
    }
}
