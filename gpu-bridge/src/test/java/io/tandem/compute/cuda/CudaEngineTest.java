package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import io.tandem.compute.DeviceLostException;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineLoop;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.engine.StepTokens;
import io.tandem.golden.GoldenFiles;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.Models;
import io.tandem.sampling.SamplingParams;
import io.tandem.weights.Checkpoint;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

/** The engine over passes that overlap: the same tokens whatever runs beside a sequence, and clear ends when the device fails. */
class CudaEngineTest {
    private static final int NEW_TOKENS = 24;
    private static final int SEQUENCES = 14;

    private static CudaBackend open(HostDriver driver, Config config) throws IOException {
        return HostDevice.open(driver, Models.openWeights(GoldenFiles.folder("tiny/llama")), config);
    }

    private static SamplingParams sampling(int key) {
        return switch (key % 4) {
            case 0 -> SamplingParams.greedy();
            case 1 -> SamplingParams.of(0.9f, 17L * key);
            case 2 -> new SamplingParams(0.7f, 20, 0.9f, 0, 1.2f, 0.5f, 0.3f, new int[0], new float[0], key, 0);
            default -> new SamplingParams(0, 0, 1, 0, 1.3f, 0, 0, new int[] {5, 9}, new float[] {-100, 2}, key, 3);
        };
    }

    private static SequenceSpec spec(int key, int newTokens) {
        int[] prompt = new int[3 + 11 * key % 70];
        for (int i = 0; i < prompt.length; i++) {
            prompt[i] = (7 * key + 13 * i + 1) % 100;
        }
        return new SequenceSpec(prompt, prompt.length, newTokens, sampling(key), new int[0], 0, Long.MAX_VALUE);
    }

    private static Recorder run(Config config, int[] keys, int atOnce) throws IOException {
        Recorder recorder = new Recorder();
        HostDriver driver = new HostDriver();
        try (CudaBackend backend = open(driver, config);
                Engine engine = new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.MIXED, recorder)) {
            for (int i = 0; i < keys.length; i++) {
                engine.apply(new EngineCommand.Generate(keys[i], spec(keys[i], NEW_TOKENS)), 0);
                for (int step = 0; i % atOnce == atOnce - 1 && engine.hasWork() && step < 1 + 1000 / atOnce; step++) {
                    engine.step(0);
                }
            }
            while (engine.hasWork()) {
                engine.step(0);
            }
            engine.verify();
        }
        assertEquals(0, driver.open(), "left on the device");
        return recorder;
    }

    @Test
    void shouldChooseTheSameTokensTogetherAsOneByOne() throws IOException {
        Config alone = HostDevice.config("tandem.engine { prefix-cache = off, verify-each-step = on }");
        Config crowded = HostDevice.config(
                "tandem.engine { prefix-cache = on, verify-each-step = on, kv-blocks = 26, mixed-chunk-tokens = 16 }");
        int[] keys = new int[SEQUENCES];
        for (int i = 0; i < keys.length; i++) {
            keys[i] = i;
        }
        Recorder one = run(alone, keys, 1);
        Recorder together = run(crowded, keys, SEQUENCES);
        for (int key : keys) {
            assertEquals(NEW_TOKENS, one.tokens.get((long) key).size());
            assertEquals(one.tokens.get((long) key), together.tokens.get((long) key), "sequence " + key);
        }
        assertTrue(together.preemptions > 0, "nothing was preempted");
    }

    /** Whoever waits for a token of the pass that failed ends with it, in whatever phase; who goes on has lost nothing. */
    @Test
    void shouldGoOnWithTheRightTokensAfterAFailedStep() throws IOException {
        Config config = HostDevice.config(
                "tandem.engine { prefix-cache = on, verify-each-step = on, kv-blocks = 26, mixed-chunk-tokens = 16 }");
        int[] keys = new int[SEQUENCES];
        for (int i = 0; i < keys.length; i++) {
            keys[i] = i;
        }
        Recorder right = run(config, keys, SEQUENCES);
        int survivors = 0;
        for (int failedStep = 4; failedStep < 60; failedStep += 3) {
            Recorder recorder = new Recorder();
            try (CudaBackend backend = open(new HostDriver(), config);
                    Engine engine =
                            new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.MIXED, recorder)) {
                for (int key : keys) {
                    engine.apply(new EngineCommand.Generate(key, spec(key, NEW_TOKENS)), 0);
                }
                for (int step = 0; engine.hasWork(); step++) {
                    assertTrue(step < 2000, "never ends after a failure of step " + failedStep);
                    try {
                        recorder.failing = step == failedStep;
                        engine.step(0);
                    } catch (UnsupportedOperationException e) {
                        engine.failStep("on purpose", 0);
                    }
                }
                engine.verify();
                assertEquals(0, engine.stats().usedBlocks());
            }
            for (long key : keys) {
                List<Integer> all = right.tokens.get(key);
                List<Integer> got = recorder.tokens.getOrDefault(key, List.of());
                boolean failed = recorder.reasons.get(key) == FinishReason.ERROR;
                survivors += failed ? 0 : 1;
                assertEquals(
                        failed ? all.subList(0, got.size()) : all,
                        got,
                        "sequence " + key + " after a failure of step " + failedStep);
            }
        }
        assertTrue(survivors > SEQUENCES, "hardly one goes on after a failure");
    }

    @Test
    void shouldEndAPauseWhosePassFailed() throws IOException {
        Config config = HostDevice.config("tandem.engine.verify-each-step = on");
        Recorder recorder = new Recorder();
        recorder.mayRefuse = true;
        try (CudaBackend backend = open(new HostDriver(), config);
                Engine engine = new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.MIXED, recorder)) {
            engine.apply(new EngineCommand.Generate(1, spec(1, NEW_TOKENS)), 0);
            for (int step = 0; step < 6; step++) {
                engine.step(0);
            }
            engine.apply(new EngineCommand.Export(1, 77), 0);
            engine.apply(new EngineCommand.Pause(1, 77), 0);
            engine.failStep("on purpose", 0);
            engine.apply(new EngineCommand.EndExport(77), 0);
            assertEquals(FinishReason.ERROR, recorder.reasons.get(1L));
            assertEquals(List.of(77L), recorder.refused);
            assertTrue(!engine.hasWork() && !engine.holds(1));
            assertEquals(0, engine.stats().usedBlocks());
        }
    }

    @Test
    void shouldEndAtAStopTokenAlthoughTheNextPassIsUnderWay() throws IOException {
        Config config = HostDevice.config("tandem.engine.verify-each-step = on");
        List<Integer> full = run(config, new int[] {0}, 1).tokens.get(0L);
        int stop = full.get(5);
        Recorder recorder = new Recorder();
        try (CudaBackend backend = open(new HostDriver(), config);
                Engine engine = new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.MIXED, recorder)) {
            SequenceSpec s = spec(0, NEW_TOKENS);
            engine.apply(
                    new EngineCommand.Generate(
                            0,
                            new SequenceSpec(
                                    s.tokens(),
                                    s.promptTokens(),
                                    NEW_TOKENS,
                                    s.sampling(),
                                    new int[] {stop},
                                    0,
                                    Long.MAX_VALUE)),
                    0);
            while (engine.hasWork()) {
                engine.step(0);
            }
            engine.verify();
            assertEquals(0, engine.stats().usedBlocks());
        }
        assertEquals(full.subList(0, full.indexOf(stop) + 1), recorder.tokens.get(0L));
        assertEquals(FinishReason.STOP, recorder.reasons.get(0L));
    }

    @Test
    void shouldGiveEverythingBackTwentyTimes() throws IOException {
        HostDriver driver = new HostDriver();
        Config config = HostDevice.config("");
        for (int i = 0; i < 20; i++) {
            try (CudaBackend backend = open(driver, config);
                    KvMemory kv = backend.allocateKv(8)) {
                assertNotNull(kv.borrowWindow(0));
                assertTrue(driver.open() > 0);
            }
            assertEquals(0, driver.open(), "left on the device in round " + i);
            driver = new HostDriver();
        }
    }

    /** Blocks of a pass that has begun. */
    private interface UnderWay {
        void blocks(int first, int end, int[] ids, long pass);
    }

    @Test
    void shouldFillWindowsAGroupOfLayersAtATimeWhileThePassRuns() throws Exception {
        Config config = HostDevice.config("tandem.compute.cuda.transfer-layer-groups = 2");
        Recorder recorder = new Recorder();
        HostDriver driver = new HostDriver();
        try (CudaBackend backend = open(driver, config);
                Engine engine =
                        new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.PREFILL, recorder)) {
            KvMemory kv = engine.kvMemory();
            assertEquals(2, kv.layerGroups());
            assertEquals(kv.layout().blockBytes(), kv.groupOffset(2));
            Map<Integer, MemorySegment> windows = new TreeMap<>();
            CountDownLatch filled = new CountDownLatch(2 * 3);
            recorder.underWay = (first, end, ids, pass) -> {
                int[] blocks = Arrays.copyOfRange(ids, first, end);
                MemorySegment[] targets = new MemorySegment[blocks.length];
                for (int i = 0; i < blocks.length; i++) {
                    targets[i] = kv.borrowWindow(blocks[i]);
                    windows.put(blocks[i], targets[i]);
                }
                for (int g = 0; g < 2; g++) {
                    kv.fillGroup(pass, g, blocks, targets, failure -> {
                        assertNull(failure);
                        filled.countDown();
                    });
                }
            };
            int[] prompt = new int[400];
            for (int i = 0; i < prompt.length; i++) {
                prompt[i] = 1 + i % 90;
            }
            engine.apply(
                    new EngineCommand.Prefill(
                            0,
                            new SequenceSpec(
                                    prompt, prompt.length, 4, SamplingParams.greedy(), new int[0], 0, Long.MAX_VALUE)),
                    0);
            while (engine.hasWork()) {
                engine.step(0);
            }
            filled.await();
            assertEquals(25, windows.size(), "blocks of the prompt");
            for (Map.Entry<Integer, MemorySegment> window : windows.entrySet()) {
                MemorySegment whole = MemorySegment.NULL
                        .reinterpret(Long.MAX_VALUE)
                        .asSlice(kv.address(window.getKey()), kv.layout().blockBytes());
                assertEquals(-1, whole.mismatch(window.getValue()), "block " + window.getKey());
                kv.returnWindow(window.getValue());
            }
        }
        assertEquals(0, driver.open(), "left on the device");
    }

    /** Such a pass is a recorded graph, in which nothing says when a layer is done: the copy would not wait for it. */
    @Test
    void shouldPromiseNoBlockOfAPassOfSingleTokens() throws Exception {
        Config config = HostDevice.config("tandem.compute.cuda.transfer-layer-groups = 2");
        int chunk = config.getInt("tandem.engine.prefill-chunk-tokens");
        Recorder recorder = new Recorder();
        List<Integer> promised = new ArrayList<>();
        recorder.underWay = (first, end, ids, pass) -> promised.add(end);
        try (CudaBackend backend = open(new HostDriver(), config);
                Engine engine =
                        new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.PREFILL, recorder)) {
            int[] prompt = new int[chunk + 1];
            Arrays.fill(prompt, 3);
            SequenceSpec spec =
                    new SequenceSpec(prompt, prompt.length, 4, SamplingParams.greedy(), new int[0], 0, Long.MAX_VALUE);
            engine.apply(new EngineCommand.Prefill(0, spec), 0);
            while (engine.hasWork()) {
                engine.step(0);
            }
        }
        assertEquals(List.of(chunk / 16), promised);
        assertEquals(List.of(chunk / 16, chunk / 16 + 1), recorder.whole, "blocks whole once a pass is over");
    }

    @Test
    void shouldMoveBlocksBetweenTwoMemories() throws Exception {
        Config config = HostDevice.config("");
        try (CudaBackend from = open(new HostDriver(), config);
                CudaBackend to = open(new HostDriver(), config);
                KvMemory source = from.allocateKv(4);
                KvMemory target = to.allocateKv(4)) {
            long bytes = source.layout().blockBytes();
            MemorySegment pattern = MemorySegment.ofAddress(source.address(2)).reinterpret(bytes);
            for (long i = 0; i < bytes; i++) {
                pattern.set(java.lang.foreign.ValueLayout.JAVA_BYTE, i, (byte) (3 * i + 1));
            }
            MemorySegment out = source.borrowWindow(2);
            MemorySegment in = target.borrowWindow(3);
            await(done -> source.fillWindow(2, out, done));
            in.copyFrom(out);
            await(done -> target.fillBlocks(new int[] {3}, new MemorySegment[] {in}, done));
            assertEquals(
                    -1,
                    MemorySegment.ofAddress(target.address(3))
                            .reinterpret(bytes)
                            .mismatch(pattern));
            assertThrows(UnsupportedOperationException.class, () -> source.block(2));
        }
    }

    private static void await(java.util.function.Consumer<java.util.function.Consumer<RuntimeException>> copy)
            throws InterruptedException {
        CountDownLatch latch = new CountDownLatch(1);
        List<RuntimeException> failures = Collections.synchronizedList(new ArrayList<>());
        copy.accept(failure -> {
            if (failure != null) {
                failures.add(failure);
            }
            latch.countDown();
        });
        latch.await();
        assertEquals(List.of(), failures);
    }

    @Test
    void shouldEndEverySequenceWhenTheDeviceFails() throws Exception {
        HostDriver driver = new HostDriver();
        Recorder recorder = loseDevice(driver, "", () -> driver.failAfter(300));
        assertEquals(6, recorder.reasons.size());
        recorder.reasons.values().forEach(r -> assertEquals(FinishReason.ERROR, r));
    }

    @Test
    void shouldBreakTheDeviceWithThePassThatIsSet() throws Exception {
        HostDriver driver = new HostDriver();
        Recorder recorder = loseDevice(driver, "tandem.compute.cuda.fault-after-passes = 9", () -> {});
        assertEquals(6, recorder.reasons.size());
        recorder.reasons.values().forEach(r -> assertEquals(FinishReason.ERROR, r));
        assertTrue(recorder.tokens.values().stream().allMatch(t -> t.size() < 10), recorder.tokens.toString());
    }

    @Test
    void shouldNoticeAPassThatHangs() throws Exception {
        HostDriver driver = new HostDriver();
        Recorder recorder = loseDevice(driver, "tandem.compute.cuda.step-timeout = 300ms", driver::hang);
        assertEquals(6, recorder.reasons.size());
        recorder.reasons.values().forEach(r -> assertEquals(FinishReason.ERROR, r));
    }

    /** Nobody waits for the last pass of an engine that is told to end. */
    @Test
    void shouldEndInOrderWhenTheLastPassFails() throws IOException {
        HostDriver driver = new HostDriver();
        Config config = HostDevice.config("");
        Checkpoint checkpoint = Models.openWeights(GoldenFiles.folder("tiny/llama"));
        MemorySegment weights = checkpoint.tensor("model.norm.weight").data();
        CudaBackend backend = HostDevice.open(driver, checkpoint, config);
        Engine engine = new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.MIXED, new Recorder());
        engine.apply(new EngineCommand.Generate(1, spec(1, NEW_TOKENS)), 0);
        driver.failAfter(3);
        engine.step(0);
        engine.close();
        backend.close();
        assertFalse(weights.scope().isAlive(), "the model's file is mapped still");
    }

    private static Recorder loseDevice(HostDriver driver, String overrides, Runnable fault) throws Exception {
        Config config = HostDevice.config(overrides);
        Recorder recorder = new Recorder();
        CudaBackend backend = open(driver, config);
        Engine engine = new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.MIXED, recorder);
        try (EngineLoop loop = new EngineLoop("tiny", engine, 64)) {
            assertNull(loop.failure());
            fault.run();
            for (int key = 0; key < 6; key++) {
                while (!loop.offer(new EngineCommand.Generate(key, spec(key, 200))) && loop.failure() == null) {
                    Thread.onSpinWait();
                }
            }
            while (loop.failure() == null) {
                Thread.sleep(5);
            }
            DeviceLostException failure = loop.failure();
            assertTrue(failure.getMessage().contains("host memory"), failure.getMessage());
        }
        backend.close();
        return recorder;
    }

    /** Each thread that brings weights over asks for memory of its own: none of them may end without a word. */
    @Test
    void shouldNotOpenWithoutItsWeights() {
        HostDriver driver = new HostDriver();
        driver.refusePinned(2);
        IllegalStateException e = assertThrows(
                IllegalStateException.class,
                () -> open(driver, HostDevice.config("")).close());
        assertTrue(e.getMessage().contains("weights"), e.getMessage());
    }

    /** Whoever opens a backend closes the checkpoint when that fails, as the backend did: the reason must not get lost by it. */
    @Test
    void shouldLeaveACheckpointThatMayBeClosedOnceMore() throws IOException {
        HostDriver driver = new HostDriver();
        driver.refusePinned(2);
        try (Checkpoint checkpoint = Models.openWeights(GoldenFiles.folder("tiny/llama"))) {
            assertThrows(IllegalStateException.class, () -> HostDevice.open(driver, checkpoint, HostDevice.config("")));
        }
    }

    @Test
    void shouldGiveTheBlocksBackWhenThereIsNoRoomForGraphs() throws IOException {
        HostDriver driver = new HostDriver();
        driver.refuseGraphs();
        try (CudaBackend backend = open(driver, HostDevice.config(""))) {
            long before = driver.open();
            assertThrows(CudaException.class, () -> backend.allocateKv(8));
            assertEquals(before, driver.open(), "memory, marks or streams of the blocks' copiers are left");
        }
        assertEquals(0, driver.open(), "left on the device");
    }

    /** The pass is the backend's already when its prompts are told of: its results must not be taken for the next one's. */
    @Test
    void shouldGoOnWithTheRightTokensAfterAFailureBehindTheStartOfAPass() throws IOException {
        Config config = HostDevice.config("tandem.compute.cuda.transfer-layer-groups = 2");
        List<Integer> right = run(config, new int[] {1}, 1).tokens.get(1L);
        Recorder recorder = new Recorder();
        try (CudaBackend backend = open(new HostDriver(), config);
                Engine engine =
                        new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.PREFILL, recorder)) {
            recorder.underWay = (first, end, ids, pass) -> {
                throw new UnsupportedOperationException("on purpose");
            };
            engine.apply(new EngineCommand.Prefill(7, spec(7, NEW_TOKENS)), 0);
            assertThrows(UnsupportedOperationException.class, () -> engine.step(0));
            engine.failStep("on purpose", 0);
            engine.apply(new EngineCommand.Release(7), 0);
            engine.apply(new EngineCommand.Generate(1, spec(1, NEW_TOKENS)), 0);
            while (engine.hasWork()) {
                engine.step(0);
            }
        }
        assertEquals(FinishReason.ERROR, recorder.reasons.get(7L));
        assertEquals(right, recorder.tokens.get(1L));
    }

    /** Logits are as long as the vocabulary: they come along for whom they are wanted, not for whoever has the row next. */
    @Test
    void shouldFetchLogitsOnlyWhereTheyAreWanted() throws IOException {
        Config config = HostDevice.config("");
        HostDriver driver = new HostDriver();
        SequenceSpec plain = spec(0, NEW_TOKENS);
        try (CudaBackend backend = open(driver, config);
                Engine engine =
                        new Engine(backend, "tiny", EngineSettings.from(config), EngineRole.MIXED, new Recorder())) {
            long before = bytesOf(driver, engine, 4, plain);
            bytesOf(driver, engine, 3, spec(3, NEW_TOKENS));
            assertEquals(before, bytesOf(driver, engine, 8, plain));
        }
    }

    private static long bytesOf(HostDriver driver, Engine engine, long key, SequenceSpec spec) {
        long before = driver.bytesToHost();
        engine.apply(new EngineCommand.Generate(key, spec), 0);
        while (engine.hasWork()) {
            engine.step(0);
        }
        return driver.bytesToHost() - before;
    }

    /** Whoever names a library wants that one: our own kernels in its place would only be slower, without a word. */
    @Test
    void shouldNotOpenWithoutTheLibraryThatIsNamed() {
        Config config = HostDevice.config("tandem.compute.cuda.cublas-lt = /nowhere/libcublasLt.so.13");
        IllegalStateException e = assertThrows(
                IllegalStateException.class,
                () -> open(new HostDriver(), config).close());
        assertTrue(e.getMessage().contains("/nowhere/libcublasLt.so.13"), e.getMessage());
    }

    @Test
    void shouldSayWithFiguresWhatDoesNotFit() throws IOException {
        HostDriver driver = new HostDriver();
        try (CudaBackend backend = open(driver, HostDevice.config(""))) {
            IllegalStateException e = assertThrows(IllegalStateException.class, () -> backend.allocateKv(1_000_000));
            assertTrue(
                    e.getMessage().contains("for KV blocks") && e.getMessage().contains("GiB free"), e.getMessage());
        }
        assertEquals(0, driver.open(), "left on the device");
    }

    private static final class Recorder implements EngineListener {
        private final Map<Long, List<Integer>> tokens = new TreeMap<>();
        private final Map<Long, FinishReason> reasons = new ConcurrentHashMap<>();
        private final List<Long> refused = new ArrayList<>();
        private boolean mayRefuse;
        private boolean failing;
        private final List<Integer> whole = new ArrayList<>();
        private int preemptions;
        private UnderWay underWay = (first, end, ids, pass) -> {};

        @Override
        public void onPrefillUnderWay(long key, int firstBlock, int endBlock, int[] blockIds, long pass) {
            underWay.blocks(firstBlock, endBlock, blockIds, pass);
        }

        @Override
        public void onStep(StepTokens step) {
            if (failing) {
                throw new UnsupportedOperationException("on purpose");
            }
            for (int i = 0; i < step.count; i++) {
                List<Integer> list = tokens.computeIfAbsent(step.keys[i], k -> new ArrayList<>());
                assertEquals(step.outputIndex[i], list.size());
                list.add(step.tokens[i]);
                int logprobs = sampling((int) step.keys[i]).topLogprobs();
                assertEquals(logprobs < 0, Float.isNaN(step.logprobs[i]));
                assertEquals(Math.max(0, logprobs), step.topIds[i] == null ? 0 : step.topIds[i].length);
            }
        }

        @Override
        public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
            preemptions += stats.preemptions();
            reasons.put(key, reason);
        }

        @Override
        public void onPrefillProgress(long key, int firstBlock, int endBlock, int[] blockIds) {
            whole.add(endBlock);
        }

        @Override
        public void onRefused(long key, RefusalReason reason, String detail) {
            if (!mayRefuse) {
                throw new AssertionError(reason + " " + detail);
            }
            refused.add(key);
        }
    }
}
