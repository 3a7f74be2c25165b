package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import io.tandem.kvcache.KvMemory;
import io.tandem.sampling.SamplingParams;
import io.tandem.weights.TensorType;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * However a sequence is run — in chunks, in a batch, preempted, resumed, with a cached prefix, begun on one engine and
 * finished on another — its tokens are those of the plain run.
 */
class EngineEquivalenceTest {
    private static final int BLOCK_TOKENS = 16;
    private static final int NEW_TOKENS = 40;
    private static final int SEQUENCES = 9;
    private static final Map<Long, List<Integer>> PLAIN = plain();

    private static Engine engine(String settings, EngineRole role, Recorder recorder) {
        EngineSettings engine = EngineSettings.from(ConfigFactory.parseString(settings)
                .atPath("tandem.engine")
                .withFallback(ConfigFactory.parseString(
                        "tandem.engine { kv-blocks = 256, max-sequences = 16, verify-each-step = on }"))
                .withFallback(ConfigFactory.load()));
        CpuBackend backend = CpuBackend.vector(
                new TinyLlama(TensorType.Q4_1), 2, BLOCK_TOKENS, engine.maxBatchTokens(), 16, List.of());
        recorder.backend = backend;
        return new Engine(backend, "tiny", engine, role, recorder);
    }

    /** Lengths on both sides of block and chunk boundaries. */
    private static int[] prompt(int key) {
        int[] lengths = {1, 2, 15, 16, 17, 31, 48, 100, 203};
        return IntStream.range(0, lengths[key])
                .map(i -> (7 * key + 13 * i + i * i) % 160)
                .toArray();
    }

    /** Greedy for even keys, sampled with penalties and cuts for odd ones. */
    private static SamplingParams sampling(int key) {
        return key % 2 == 0
                ? SamplingParams.greedy()
                : new SamplingParams(
                        0.9f, 40, 0.95f, 0.01f, 1.1f, 0.2f, 0.1f, new int[] {3}, new float[] {1.5f}, 77 + key, -1);
    }

    private static SequenceSpec spec(int key, int[] tokens, int promptTokens) {
        return new SequenceSpec(tokens, promptTokens, NEW_TOKENS, sampling(key), new int[0], 0, Long.MAX_VALUE);
    }

    private static SequenceSpec spec(int key) {
        return spec(key, prompt(key), prompt(key).length);
    }

    private static Map<Long, List<Integer>> plain() {
        Map<Long, List<Integer>> all = new TreeMap<>();
        for (int key = 0; key < SEQUENCES; key++) {
            Recorder recorder = new Recorder();
            try (Engine engine = engine("prefix-cache = off", EngineRole.PREFILL, recorder)) {
                engine.apply(new EngineCommand.Generate(key, spec(key)), 0);
                finish(engine);
            }
            recorder.backend.close();
            all.putAll(recorder.tokens);
        }
        assertEquals(SEQUENCES, all.size());
        all.values().forEach(tokens -> assertEquals(NEW_TOKENS, tokens.size()));
        return all;
    }

    private static void finish(Engine engine) {
        for (int steps = 0; engine.hasWork(); steps++) {
            assertTrue(steps < 20_000, "the engine goes round in circles");
            engine.step(steps);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "'mixed-chunk-tokens = 16, prefix-cache = off'",
        "'mixed-chunk-tokens = 23, prefix-cache = on'",
        "'mixed-chunk-tokens = 512, prefix-cache = off'",
        "'max-sequences = 3, mixed-chunk-tokens = 64'"
    })
    void shouldGiveTheSameTokensInChunksAndBatches(String settings) {
        Recorder recorder = new Recorder();
        try (Engine engine = engine(settings, EngineRole.MIXED, recorder)) {
            for (int key = 0; key < SEQUENCES; key++) {
                engine.apply(new EngineCommand.Generate(key, spec(key)), 0);
            }
            finish(engine);
            assertEquals(256, engine.stats().freeBlocks() + engine.stats().cachedBlocks());
        }
        recorder.backend.close();
        assertEquals(PLAIN, recorder.tokens);
    }

    @Test
    void shouldGiveTheSameTokensWhenBlocksRunOut() {
        Recorder recorder = new Recorder();
        try (Engine engine = engine("kv-blocks = 24", EngineRole.MIXED, recorder)) {
            for (int key = 0; key < SEQUENCES; key++) {
                engine.apply(new EngineCommand.Generate(key, spec(key)), 0);
            }
            finish(engine);
            assertTrue(engine.stats().preemptions() > 0, "nothing was preempted: the test shows nothing");
            assertEquals(24, engine.stats().freeBlocks() + engine.stats().cachedBlocks());
        }
        recorder.backend.close();
        assertEquals(PLAIN, recorder.tokens);
    }

    @Test
    void shouldGiveTheSameTokensFromACachedPrefix() {
        Recorder recorder = new Recorder();
        try (Engine engine = engine("prefix-cache = on", EngineRole.MIXED, recorder)) {
            for (int round = 0; round < 2; round++) {
                recorder.tokens.clear();
                for (int key = 0; key < SEQUENCES; key++) {
                    engine.apply(new EngineCommand.Generate(100L * round + key, spec(key)), 0);
                }
                finish(engine);
            }
            assertTrue(engine.stats().cacheHitTokens() >= 16 + 16 + 32 + 96 + 192);
        }
        recorder.backend.close();
        recorder.tokens.forEach((key, tokens) -> assertEquals(PLAIN.get(key - 100), tokens));
    }

    @Test
    void shouldContinueAResumedSequenceWithTheTokensItWouldHaveHad() {
        for (int done : new int[] {1, 7, 16, 39}) {
            Recorder recorder = new Recorder();
            try (Engine engine = engine("", EngineRole.DECODE, recorder)) {
                for (int key = 0; key < SEQUENCES; key++) {
                    int[] tokens = IntStream.concat(
                                    IntStream.of(prompt(key)),
                                    PLAIN.get((long) key).stream().limit(done).mapToInt(Integer::intValue))
                            .toArray();
                    engine.apply(new EngineCommand.Generate(key, spec(key, tokens, prompt(key).length)), 0);
                }
                finish(engine);
            }
            recorder.backend.close();
            PLAIN.forEach((key, tokens) ->
                    assertEquals(tokens.subList(done, NEW_TOKENS), recorder.tokens.get(key), "after " + done));
        }
    }

    @ParameterizedTest
    @CsvSource({"PREFILL,DECODE", "MIXED,MIXED"})
    void shouldGiveTheSameTokensWhenThePromptRunsElsewhere(EngineRole first, EngineRole second) {
        Recorder there = new Recorder();
        Recorder here = new Recorder();
        try (Engine prefill = engine("prefill-chunk-tokens = 48", first, there);
                Engine decode = engine("", second, here)) {
            for (int key = 0; key < SEQUENCES; key++) {
                decode.apply(new EngineCommand.Reserve(key, spec(key)), 0);
                prefill.apply(new EngineCommand.Prefill(key, spec(key)), 0);
            }
            finish(prefill);
            assertEquals(SEQUENCES, prefill.stats().held());
            for (long key = 0; key < SEQUENCES; key++) {
                copy(prefill.kvMemory(), there.progress.get(key), decode.kvMemory(), here.reserved.get(key));
                int chosen = there.tokens.get(key).getFirst();
                decode.apply(new EngineCommand.Adopt(key, new int[] {chosen}), 0);
                prefill.apply(new EngineCommand.Release(key), 0);
                here.tokens.put(key, new ArrayList<>(List.of(chosen)));
                decode.step(0);
            }
            finish(decode);
            assertEquals(0, prefill.stats().held());
            assertEquals(256, prefill.stats().freeBlocks() + prefill.stats().cachedBlocks());
        }
        there.backend.close();
        here.backend.close();
        assertEquals(PLAIN, here.tokens);
    }

    private static void copy(KvMemory from, int[] source, KvMemory to, int[] target) {
        assertEquals(source.length, target.length);
        for (int i = 0; i < source.length; i++) {
            to.block(target[i]).copyFrom(from.block(source[i]));
        }
    }

    @Test
    void shouldGiveEveryRunningDecodeATokenInEveryStepWhateverPromptsCome() {
        Recorder recorder = new Recorder();
        try (Engine engine = engine("mixed-chunk-tokens = 16", EngineRole.MIXED, recorder)) {
            engine.apply(new EngineCommand.Generate(0, spec(0)), 0);
            engine.step(0);
            engine.apply(new EngineCommand.Generate(8, spec(8)), 0);
            for (int step = 1; step < 13; step++) {
                engine.step(step);
                assertEquals(step + 1, recorder.tokens.get(0L).size(), "the decode waited in step " + step);
            }
            assertNull(recorder.tokens.get(8L), "203 tokens in chunks of 16 take 13 steps");
            engine.step(13);
            assertEquals(1, recorder.tokens.get(8L).size());
        }
        recorder.backend.close();
    }

    @Test
    void shouldFlipItsRoleBetweenTwoStepsWithoutChangingATokenOfWhatRuns() {
        Recorder recorder = new Recorder();
        EngineRole[] roles = EngineRole.values();
        try (Engine engine = engine("", EngineRole.MIXED, recorder)) {
            for (int key = 0; key < SEQUENCES; key++) {
                engine.apply(new EngineCommand.Generate(key, spec(key)), 0);
            }
            for (int step = 0; engine.hasWork(); step++) {
                engine.apply(new EngineCommand.SetRole(roles[step % roles.length]), step);
                engine.step(step);
                assertEquals(roles[step % roles.length], engine.stats().role());
            }
        }
        recorder.backend.close();
        assertEquals(PLAIN, recorder.tokens);
    }

    @Test
    void shouldFreeEveryBlockOfACancelledSequenceInAnyPhase() {
        Recorder recorder = new Recorder();
        try (Engine engine = engine("prefix-cache = off, mixed-chunk-tokens = 16", EngineRole.MIXED, recorder)) {
            engine.apply(new EngineCommand.Generate(1, spec(8)), 0);
            engine.apply(new EngineCommand.Prefill(2, spec(4)), 0);
            engine.apply(new EngineCommand.Reserve(3, spec(7)), 0);
            for (int i = 0; i < 20; i++) {
                engine.step(i);
            }
            engine.apply(new EngineCommand.Generate(4, spec(8)), 0);
            assertTrue(engine.stats().freeBlocks() < 256);
            for (long key = 1; key <= 4; key++) {
                engine.apply(new EngineCommand.Cancel(key), 0);
            }
            assertEquals(256, engine.stats().freeBlocks());
            assertEquals(
                    Map.of(
                            1L, FinishReason.CANCELLED,
                            2L, FinishReason.CANCELLED,
                            3L, FinishReason.CANCELLED,
                            4L, FinishReason.CANCELLED),
                    recorder.ends);
        }
        recorder.backend.close();
    }

    @Test
    void shouldRefuseWhatCannotRunAndKeepNothingOfIt() {
        Recorder recorder = new Recorder();
        try (Engine engine =
                engine("kv-blocks = 4, max-waiting-sequences = 1, prefix-cache = off", EngineRole.MIXED, recorder)) {
            engine.apply(new EngineCommand.Generate(1, spec(7)), 0);
            engine.apply(new EngineCommand.Generate(2, spec(0, new int[] {160}, 1)), 0);
            engine.apply(new EngineCommand.Generate(3, spec(0)), 0);
            engine.apply(new EngineCommand.Generate(3, spec(0)), 0);
            engine.apply(new EngineCommand.Generate(4, spec(1)), 0);
            engine.apply(new EngineCommand.Reserve(5, spec(6)), 0);
            engine.apply(new EngineCommand.Reserve(6, spec(6)), 0);
            engine.apply(new EngineCommand.Adopt(7, new int[] {1}), 0);
            assertEquals(
                    List.of("1 TOO_LONG", "2 BAD_KEY", "3 BAD_KEY", "4 TOO_MANY_SEQUENCES", "6 NO_BLOCKS", "7 BAD_KEY"),
                    recorder.refusals);
            engine.apply(new EngineCommand.Cancel(5), 0);
            finish(engine);
            assertEquals(4, engine.stats().freeBlocks());
        }
        recorder.backend.close();
    }

    @Test
    void shouldEndWhatIsPastItsDeadline() {
        Recorder recorder = new Recorder();
        try (Engine engine = engine("", EngineRole.MIXED, recorder)) {
            SequenceSpec late = new SequenceSpec(
                    prompt(3), prompt(3).length, NEW_TOKENS, SamplingParams.greedy(), new int[0], 0, 1_000);
            engine.apply(new EngineCommand.Generate(1, late), 0);
            engine.step(1);
            engine.endExpired(999);
            assertTrue(recorder.ends.isEmpty());
            engine.endExpired(1_000);
            assertEquals(Map.of(1L, FinishReason.DEADLINE), recorder.ends);
            assertEquals(256, engine.stats().freeBlocks() + engine.stats().cachedBlocks());
        }
        recorder.backend.close();
    }

    private static final class Recorder implements EngineListener {
        private final Map<Long, List<Integer>> tokens = new TreeMap<>();
        private final Map<Long, FinishReason> ends = new TreeMap<>();
        private final Map<Long, int[]> progress = new TreeMap<>();
        private final Map<Long, int[]> reserved = new TreeMap<>();
        private final List<String> refusals = new ArrayList<>();
        private CpuBackend backend;

        @Override
        public void onStep(StepTokens step) {
            for (int i = 0; i < step.count; i++) {
                List<Integer> mine = tokens.computeIfAbsent(step.keys[i], k -> new ArrayList<>());
                mine.add(step.tokens[i]);
            }
        }

        @Override
        public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
            ends.put(key, reason);
        }

        @Override
        public void onPrefillProgress(long key, int firstBlock, int endBlock, int[] blockIds) {
            int[] before = progress.getOrDefault(key, new int[0]);
            assertEquals(before.length, firstBlock, "progress has a gap");
            progress.put(
                    key,
                    IntStream.concat(
                                    IntStream.of(before),
                                    IntStream.of(blockIds).skip(firstBlock).limit(endBlock - firstBlock))
                            .toArray());
        }

        @Override
        public void onReserved(long key, int cachedBlocks, int[] blockIds) {
            assertEquals(0, cachedBlocks);
            reserved.put(key, blockIds);
        }

        @Override
        public void onRefused(long key, RefusalReason reason, String detail) {
            assertTrue(!detail.isBlank());
            refusals.add(key + " " + reason);
        }
    }
}
