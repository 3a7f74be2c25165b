package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
import io.tandem.sampling.SamplingParams;
import io.tandem.weights.TensorType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A sequence changes engines while it decodes: its tokens are those it would have had, and no block is lost on either side. */
class LiveMoveTest {
    private static final int NEW_TOKENS = 60;
    private static final int BLOCKS = 64;

    /** An engine and what it says. */
    private static final class Side implements EngineListener, AutoCloseable {
        final Map<Long, List<Integer>> tokens = new HashMap<>();
        final Map<Long, FinishReason> ends = new HashMap<>();
        final List<String> refusals = new ArrayList<>();
        final List<EngineRole> rolesRun = new ArrayList<>();
        int[] reserved = {};
        int cached;
        int[] exported = {};
        int[] paused = {};
        int pausedOutput;
        final CpuBackend backend;
        final Engine engine;

        Side(String more) {
            EngineSettings settings = EngineSettings.from(ConfigFactory.parseString(more)
                    .atPath("tandem.engine")
                    .withFallback(ConfigFactory.parseString(
                            "tandem.engine { kv-blocks = " + BLOCKS + ", max-sequences = 8, verify-each-step = on }"))
                    .withFallback(ConfigFactory.load()));
            backend =
                    CpuBackend.vector(new TinyLlama(TensorType.Q4_1), 2, 16, settings.maxBatchTokens(), 16, List.of());
            engine = new Engine(backend, "tiny", settings, EngineRole.DECODE, this);
        }

        void run(int steps) {
            for (int i = 0; i < steps; i++) {
                engine.step(i);
            }
        }

        void finish() {
            while (engine.hasWork()) {
                engine.step(0);
            }
        }

        @Override
        public void onStep(StepTokens step) {
            for (int i = 0; i < step.count; i++) {
                tokens.computeIfAbsent(step.keys[i], k -> new ArrayList<>()).add(step.tokens[i]);
            }
        }

        @Override
        public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
            ends.put(key, reason);
        }

        @Override
        public void onReserved(long key, int cachedBlocks, int[] blockIds) {
            reserved = blockIds;
            cached = cachedBlocks;
        }

        @Override
        public void onExported(long exportKey, int[] blockIds) {
            exported = blockIds;
        }

        @Override
        public void onPaused(long exportKey, long key, int outputTokens, int[] blockIds) {
            paused = blockIds;
            pausedOutput = outputTokens;
        }

        @Override
        public void onRoleRuns(EngineRole role) {
            rolesRun.add(role);
        }

        @Override
        public void onRefused(long key, RefusalReason reason, String detail) {
            refusals.add(key + " " + reason);
        }

        int unused() {
            return engine.stats().freeBlocks() + engine.stats().cachedBlocks();
        }

        @Override
        public void close() {
            engine.close();
            backend.close();
        }
    }

    private static int[] prompt(int length) {
        return IntStream.range(0, length).map(i -> (11 * i + i * i) % 160).toArray();
    }

    private static SequenceSpec spec(int[] tokens, int promptTokens) {
        return new SequenceSpec(
                tokens, promptTokens, NEW_TOKENS, SamplingParams.greedy(), new int[0], 0, Long.MAX_VALUE);
    }

    private static List<Integer> plain(int promptLength) {
        try (Side side = new Side("")) {
            side.engine.apply(new EngineCommand.Generate(1, spec(prompt(promptLength), promptLength)), 0);
            side.finish();
            return side.tokens.get(1L);
        }
    }

    private static SequenceSpec soFar(int promptLength, List<Integer> output) {
        int[] tokens = IntStream.concat(
                        IntStream.of(prompt(promptLength)), output.stream().mapToInt(Integer::intValue))
                .toArray();
        return spec(tokens, promptLength);
    }

    private static void copy(Side from, int[] source, Side to, int first, int end) {
        for (int i = first; i < end; i++) {
            to.engine
                    .kvMemory()
                    .block(to.reserved[i])
                    .copyFrom(from.engine.kvMemory().block(source[i]));
        }
    }

    /** Lengths and moments on both sides of block boundaries, and a destination that has the prompt in its cache. */
    @ParameterizedTest
    @CsvSource({"1,1,0,false", "15,2,3,false", "16,1,0,false", "17,15,17,false", "40,8,1,true", "100,3,30,true"})
    void shouldGoOnElsewhereWithTheSameTokens(int promptLength, int before, int during, boolean cachedThere) {
        List<Integer> expected = plain(promptLength);
        try (Side from = new Side("");
                Side to = new Side("")) {
            if (cachedThere) {
                to.engine.apply(new EngineCommand.Generate(9, spec(prompt(promptLength), promptLength)), 0);
                to.finish();
            }
            from.engine.apply(new EngineCommand.Generate(1, spec(prompt(promptLength), promptLength)), 0);
            from.run(promptLength / 64 + before);
            List<Integer> known = List.copyOf(from.tokens.get(1L));
            to.engine.apply(new EngineCommand.Reserve(2, soFar(promptLength, known), 64), 0);
            assertTrue(!cachedThere || to.cached > 0, "the prompt's blocks are not sent again");
            from.engine.apply(new EngineCommand.Export(1, 70), 0);
            int whole = from.exported.length;
            copy(from, from.exported, to, to.cached, whole);
            from.run(during);
            from.engine.apply(new EngineCommand.Pause(1, 70), 0);
            from.run(3);
            List<Integer> there = from.tokens.get(1L);
            assertEquals(from.pausedOutput, there.size(), "a paused sequence chooses nothing");
            copy(from, from.paused, to, whole, from.paused.length);
            int[] next = there.stream()
                    .skip(known.size())
                    .mapToInt(Integer::intValue)
                    .toArray();
            to.engine.apply(new EngineCommand.Adopt(2, next), 0);
            from.engine.apply(new EngineCommand.Cancel(1), 0);
            assertTrue(from.unused() < BLOCKS || from.paused.length == 0, "pinned until the transfer is over");
            from.engine.apply(new EngineCommand.EndExport(70), 0);
            assertEquals(BLOCKS, from.unused());
            to.finish();
            List<Integer> all = new ArrayList<>(there);
            all.addAll(to.tokens.get(2L));
            assertEquals(expected, all);
            assertEquals(FinishReason.LENGTH, to.ends.get(2L));
            assertEquals(BLOCKS, to.unused());
        }
    }

    @Test
    void shouldGoOnHereWhenTheMoveIsCalledOff() {
        List<Integer> expected = plain(20);
        try (Side side = new Side("")) {
            side.engine.apply(new EngineCommand.Generate(1, spec(prompt(20), 20)), 0);
            side.run(5);
            side.engine.apply(new EngineCommand.Export(1, 70), 0);
            side.run(3);
            side.engine.apply(new EngineCommand.Pause(1, 70), 0);
            assertEquals(1, side.engine.stats().reserved());
            side.engine.apply(new EngineCommand.EndExport(70), 0);
            side.engine.apply(new EngineCommand.Resume(1), 0);
            side.finish();
            assertEquals(expected, side.tokens.get(1L));
            assertEquals(0, side.engine.stats().reserved());
            assertEquals(BLOCKS, side.unused());
        }
    }

    @Test
    void shouldKeepExportedBlocksWhenTheSequenceEndsOrIsPreempted() {
        try (Side side = new Side("")) {
            side.engine.apply(new EngineCommand.Generate(1, spec(prompt(40), 40)), 0);
            side.run(2);
            side.engine.apply(new EngineCommand.Export(1, 70), 0);
            byte[] before =
                    side.engine.kvMemory().block(side.exported[0]).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
            side.finish();
            side.engine.apply(new EngineCommand.Pause(1, 70), 0);
            side.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            for (int key = 100; key < 104; key++) {
                side.engine.apply(new EngineCommand.Generate(key, spec(prompt(150), 150)), 0);
            }
            side.run(4);
            byte[] after =
                    side.engine.kvMemory().block(side.exported[0]).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
            assertTrue(Arrays.equals(before, after), "nobody else was given the block");
            assertEquals(List.of("70 BAD_KEY"), side.refusals, "what is over cannot be paused");
            side.engine.apply(new EngineCommand.EndExport(70), 0);
            side.engine.apply(new EngineCommand.EndExport(70), 0);
            side.finish();
            assertEquals(BLOCKS, side.unused());
        }
    }

    @Test
    void shouldNotExportWhatDoesNotDecode() {
        try (Side side = new Side("decode-chunk-tokens = 16")) {
            side.engine.apply(new EngineCommand.Generate(1, spec(prompt(100), 100)), 0);
            side.engine.apply(new EngineCommand.Export(1, 70), 0);
            side.run(2);
            side.engine.apply(new EngineCommand.Export(1, 71), 0);
            side.engine.apply(new EngineCommand.Export(5, 72), 0);
            assertEquals(List.of("70 BAD_KEY", "71 BAD_KEY", "72 BAD_KEY"), side.refusals);
            side.finish();
            assertEquals(BLOCKS, side.unused());
        }
    }

    @Test
    void shouldGiveOneBackThatHasNotBegun() {
        try (Side side = new Side("decode-chunk-tokens = 16, max-sequences = 2")) {
            for (int key = 1; key <= 4; key++) {
                side.engine.apply(new EngineCommand.Generate(key, spec(prompt(20 + key), 20 + key)), 0);
            }
            side.run(3);
            side.engine.apply(new EngineCommand.GiveBack(1), 0);
            side.engine.apply(new EngineCommand.GiveBack(4), 0);
            side.engine.apply(new EngineCommand.GiveBack(9), 0);
            assertEquals(Map.of(4L, FinishReason.SHED), side.ends);
            side.finish();
            assertEquals(FinishReason.LENGTH, side.ends.get(1L));
            assertEquals(FinishReason.LENGTH, side.ends.get(3L));
            assertEquals(BLOCKS, side.unused());
        }
    }

    @Test
    void shouldGiveBackWhatHasNotBegunAndTellWhenARoleRuns() {
        try (Side side = new Side("decode-chunk-tokens = 16, max-sequences = 2")) {
            side.engine.apply(new EngineCommand.SetRole(EngineRole.MIXED), 0);
            assertEquals(List.of(EngineRole.MIXED), side.rolesRun, "an idle engine runs in its role at once");
            for (int key = 1; key <= 4; key++) {
                side.engine.apply(new EngineCommand.Generate(key, spec(prompt(20 + key), 20 + key)), 0);
            }
            side.run(3);
            side.engine.apply(new EngineCommand.SetRole(EngineRole.DECODE), 0);
            side.engine.apply(new EngineCommand.Shed(), 0);
            assertEquals(Map.of(3L, FinishReason.SHED, 4L, FinishReason.SHED), side.ends);
            assertEquals(1, side.rolesRun.size());
            side.run(1);
            assertEquals(List.of(EngineRole.MIXED, EngineRole.DECODE), side.rolesRun);
            side.finish();
            assertEquals(FinishReason.LENGTH, side.ends.get(1L));
            assertEquals(BLOCKS, side.unused());
        }
    }
}
