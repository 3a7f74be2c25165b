package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.compute.BackendInfo;
import io.tandem.compute.ComputeBackend;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineLoop;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.EngineTurns;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.engine.StepTokens;
import io.tandem.kvcache.FindableBlocks;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import io.tandem.sampling.SamplingParams;
import io.tandem.weights.TensorType;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

/** What goes wrong in one sequence, or on the engine's thread, and whom it ends. */
class EngineFailureTest {
    private static final int NEW_TOKENS = 6;

    private final Recorder recorder = new Recorder();

    private static EngineSettings settings() {
        return EngineSettings.from(
                ConfigFactory.parseString("tandem.engine { kv-blocks = 64, max-sequences = 8, verify-each-step = on }")
                        .withFallback(ConfigFactory.load()));
    }

    private static CpuBackend tiny() {
        return CpuBackend.scalar(new TinyLlama(TensorType.F32), 16, 640, 8, List.of());
    }

    private static EngineCommand.Generate generate(long key, SamplingParams sampling) {
        int[] prompt = {5, 6, 7 + (int) key};
        return new EngineCommand.Generate(
                key, new SequenceSpec(prompt, prompt.length, NEW_TOKENS, sampling, new int[0], 0, Long.MAX_VALUE));
    }

    @Test
    void shouldEndOnlyTheSequenceWhoseLogitsHoldANaN() {
        try (ComputeBackend backend = new Poisoned(tiny(), 2);
                Engine engine = new Engine(backend, "tiny", settings(), EngineRole.MIXED, recorder)) {
            for (long key = 1; key <= 3; key++) {
                engine.apply(generate(key, SamplingParams.greedy()), 0);
            }
            while (engine.hasWork()) {
                engine.step(0);
            }
            assertEquals(0, engine.stats().usedBlocks());
        }
        assertEquals(Map.of(1L, FinishReason.LENGTH, 2L, FinishReason.ERROR, 3L, FinishReason.LENGTH), recorder.ends);
        assertEquals(2 * NEW_TOKENS, recorder.tokens);
    }

    @Test
    void shouldRefuseABiasOfATokenThatIsNone() {
        try (ComputeBackend backend = tiny();
                Engine engine = new Engine(backend, "tiny", settings(), EngineRole.MIXED, recorder)) {
            engine.apply(generate(1, SamplingParams.greedy()), 0);
            for (int token : new int[] {-1, backend.model().vocabSize()}) {
                SamplingParams biased =
                        new SamplingParams(0, 0, 1, 0, 1, 0, 0, new int[] {token}, new float[] {1}, 0, -1);
                engine.apply(generate(2, biased), 0);
                assertFalse(engine.holds(2));
            }
            while (engine.hasWork()) {
                engine.step(0);
            }
        }
        assertEquals(2, recorder.refusals.size(), recorder.refusals.toString());
        assertTrue(recorder.refusals.getFirst().contains("logit_bias"), recorder.refusals.toString());
        assertEquals(Map.of(1L, FinishReason.LENGTH), recorder.ends);
    }

    /** Whoever waits for a command that throws hears so, and nothing is held for it. */
    @Test
    void shouldTellOfACommandThatFails() {
        recorder.onReserved = () -> {
            throw new IllegalStateException("on purpose");
        };
        try (ComputeBackend backend = tiny();
                Engine engine = new Engine(backend, "tiny", settings(), EngineRole.MIXED, recorder)) {
            EngineTurns turns = new EngineTurns(engine, 64);
            assertTrue(turns.offer(generate(1, SamplingParams.greedy())));
            assertTrue(turns.offer(new EngineCommand.Reserve(
                    2, generate(2, SamplingParams.greedy()).spec())));
            assertTrue(turns.offer(generate(3, null)));
            assertTrue(turns.turn(0));
            assertFalse(engine.holds(2));
            assertFalse(engine.holds(3));
            assertEquals(Map.of(2L, FinishReason.ERROR), recorder.ends);
            assertTrue(recorder.refusals.getFirst().contains("NullPointerException"), recorder.refusals.toString());
            while (turns.turn(0)) {
                assertTrue(recorder.refusals.size() < 2, recorder.refusals.toString());
            }
            assertEquals(0, engine.stats().usedBlocks());
        }
        assertEquals(Map.of(1L, FinishReason.LENGTH, 2L, FinishReason.ERROR), recorder.ends);
        assertEquals(NEW_TOKENS, recorder.tokens);
    }

    /** Its sequence cannot be sent on: nobody knows what the export has of it. */
    @Test
    void shouldTellBothWhoWaitForAnExportThatFails() {
        recorder.onExported = () -> {
            throw new IllegalStateException("on purpose");
        };
        try (ComputeBackend backend = tiny();
                Engine engine = new Engine(backend, "tiny", settings(), EngineRole.MIXED, recorder)) {
            EngineTurns turns = new EngineTurns(engine, 64);
            assertTrue(turns.offer(generate(1, SamplingParams.greedy())));
            while (recorder.tokens < 2) {
                turns.turn(0);
            }
            assertTrue(turns.offer(new EngineCommand.Export(1, 100)));
            turns.turn(0);
            assertEquals(Map.of(1L, FinishReason.ERROR), recorder.ends);
            assertEquals(1, recorder.refusals.size(), recorder.refusals.toString());
            assertTrue(turns.offer(new EngineCommand.EndExport(100)));
            turns.turn(0);
            assertEquals(0, engine.stats().usedBlocks());
        }
    }

    /** What nobody can be told of must not be forgotten: everything goes on elsewhere. */
    @Test
    void shouldEndWithACommandOfNoSequenceThatFails() throws InterruptedException {
        recorder.onBlocksListed = () -> {
            throw new IllegalStateException("on purpose");
        };
        try (ComputeBackend backend = tiny();
                EngineLoop loop = new EngineLoop(
                        "tiny", new Engine(backend, "tiny", settings(), EngineRole.MIXED, recorder), 64)) {
            assertTrue(loop.offer(new EngineCommand.ListBlocks()));
            while (loop.failure() == null) {
                Thread.sleep(5);
            }
            assertTrue(
                    loop.failure().getMessage().contains("on purpose"),
                    loop.failure().getMessage());
        }
    }

    /** Whoever owns the loop learns that it ended, as when the device is lost: the sequences go on elsewhere. */
    @Test
    void shouldTellOfAnErrorThatEndsItsThread() throws InterruptedException {
        recorder.onStep = () -> {
            throw new AssertionError("on purpose");
        };
        try (ComputeBackend backend = tiny();
                EngineLoop loop = new EngineLoop(
                        "tiny", new Engine(backend, "tiny", settings(), EngineRole.MIXED, recorder), 64)) {
            assertTrue(loop.offer(generate(1, SamplingParams.greedy())));
            while (loop.failure() == null) {
                Thread.sleep(5);
            }
            assertTrue(
                    loop.failure().getMessage().contains("on purpose"),
                    loop.failure().getMessage());
            assertFalse(loop.offer(generate(2, SamplingParams.greedy())));
        }
        assertEquals(Map.of(1L, FinishReason.ERROR), recorder.ends);
    }

    /** An owner that is told to hurry must know that the weights are still read. */
    @Test
    void shouldSayWhetherItsThreadHasEnded() throws InterruptedException {
        CountDownLatch inStep = new CountDownLatch(1);
        CountDownLatch mayEnd = new CountDownLatch(1);
        recorder.onStep = () -> {
            inStep.countDown();
            try {
                mayEnd.await();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        };
        try (ComputeBackend backend = tiny()) {
            EngineLoop loop =
                    new EngineLoop("tiny", new Engine(backend, "tiny", settings(), EngineRole.MIXED, recorder), 64);
            assertTrue(loop.offer(generate(1, SamplingParams.greedy())));
            inStep.await();
            Thread.currentThread().interrupt();
            loop.close();
            assertTrue(Thread.interrupted());
            assertFalse(loop.hasEnded());
            mayEnd.countDown();
            loop.close();
            assertTrue(loop.hasEnded());
        }
    }

    /** Computes as another backend does, and spoils the logits of one sequence. */
    private record Poisoned(ComputeBackend backend, long key) implements ComputeBackend {
        @Override
        public BackendInfo info() {
            return backend.info();
        }

        @Override
        public ModelConfig model() {
            return backend.model();
        }

        @Override
        public KvLayout kvLayout() {
            return backend.kvLayout();
        }

        @Override
        public KvMemory allocateKv(int blocks) {
            return backend.allocateKv(blocks);
        }

        @Override
        public int maxBatchTokens() {
            return backend.maxBatchTokens();
        }

        @Override
        public void forward(ForwardBatch batch, KvMemory kv, ForwardOutput output) {
            backend.forward(batch, kv, output);
            for (int s = 0; s < batch.sequences; s++) {
                if (batch.keys[s] == key) {
                    output.logits[s][3] = Float.NaN;
                }
            }
        }

        @Override
        public void close() {
            backend.close();
        }
    }

    private static final class Recorder implements EngineListener {
        private final Map<Long, FinishReason> ends = new ConcurrentHashMap<>();
        private final List<String> refusals = new ArrayList<>();
        private int tokens;
        private Runnable onStep = () -> {};
        private Runnable onReserved = () -> {};
        private Runnable onExported = () -> {};
        private Runnable onBlocksListed = () -> {};

        @Override
        public void onStep(StepTokens step) {
            onStep.run();
            tokens += step.count;
        }

        @Override
        public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
            ends.put(key, reason);
        }

        @Override
        public void onReserved(long key, int cachedBlocks, int[] blockIds) {
            onReserved.run();
        }

        @Override
        public void onExported(long exportKey, int[] blockIds) {
            onExported.run();
        }

        @Override
        public void onBlocksListed(FindableBlocks blocks) {
            onBlocksListed.run();
        }

        @Override
        public void onRefused(long key, RefusalReason reason, String detail) {
            refusals.add(detail);
        }
    }
}
