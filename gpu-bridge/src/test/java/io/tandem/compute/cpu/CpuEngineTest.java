package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.fail;

import com.sun.management.ThreadMXBean;
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
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CpuEngineTest {
    private static final int NEW_TOKENS = 200;
    private static final int MAX_ROUNDS = 200;
    private static final int MAX_JVMS = 4;

    private static EngineSettings settings(String prefixCache) {
        return EngineSettings.from(ConfigFactory.parseString(
                        "tandem.engine { kv-blocks = 256, max-sequences = 40, prefix-cache = " + prefixCache + " }")
                .withFallback(ConfigFactory.load()));
    }

    private static CpuBackend backend() {
        return CpuBackend.vector(new TinyLlama(TensorType.Q4_1), 2, 16, 640, 40, List.of());
    }

    private static void generate(Engine engine, long key, int[] prompt, int newTokens) {
        SequenceSpec spec = new SequenceSpec(
                prompt, prompt.length, newTokens, SamplingParams.greedy(), new int[0], 0, Long.MAX_VALUE);
        engine.apply(new EngineCommand.Generate(key, spec), 0);
    }

    private static int[] prompt(int key) {
        int[] ids = new int[3 + 5 * key % 40];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (7 * key + 13 * i) % 160;
        }
        return ids;
    }

    /** In a JVM of its own, as an engine has it: prints what 100 decode steps allocate once all loops are compiled. */
    static final class AllocationProbe {
        public static void main(String[] args) {
            try (CpuBackend backend = backend();
                    Engine engine =
                            new Engine(backend, "tiny", settings(args[0]), EngineRole.MIXED, new Recorder(false))) {
                // Until its loops are compiled the Vector API allocates; so the steps are repeated until they are.
                long allocated = Long.MAX_VALUE;
                for (int round = 0; round < MAX_ROUNDS && allocated > 0; round++) {
                    allocated = allocatedByDecodes(engine, 4 * round);
                }
                System.out.println("bytes in 100 decode steps: " + allocated + ";"
                        + (allocated == 0 ? "" : " allocated at " + allocationSites(engine)));
            }
        }
    }

    /**
     * With the prefix cache on, blocks become whole in those steps, are hashed, and their events are handed out. The compiler
     * decides anew in every JVM what it inlines, and now and then leaves a vector on the heap: so one of a few JVMs has to
     * reach zero. Code that allocates does so in each.
     */
    @ParameterizedTest
    @ValueSource(strings = {"off", "on"})
    void shouldAllocateNothingInADecodeStep(String prefixCache) throws Exception {
        List<String> outcomes = new ArrayList<>();
        for (int jvm = 0; jvm < MAX_JVMS; jvm++) {
            String said = ForkedJava.run(AllocationProbe.class, List.of(prefixCache));
            outcomes.add(said);
            if (said.contains("bytes in 100 decode steps: 0;")) {
                return;
            }
        }
        fail("every JVM allocates in decode steps: " + outcomes);
    }

    /** Where a decode step allocates: the innermost frames of this project, with the bytes sampled there. */
    private static Map<String, Long> allocationSites(Engine engine) {
        Map<String, Long> sites = new TreeMap<>();
        try (Recording recording = new Recording()) {
            recording.enable("jdk.ObjectAllocationSample").with("throttle", "20000/s");
            recording.start();
            allocatedByDecodes(engine, 4 * MAX_ROUNDS);
            recording.stop();
            Path file = Files.createTempFile("decode", ".jfr");
            recording.dump(file);
            for (RecordedEvent event : RecordingFile.readAllEvents(file)) {
                String site = event.getStackTrace() == null
                        ? "?"
                        : event.getStackTrace().getFrames().stream()
                                .limit(12)
                                .map(f -> f.getMethod().getType().getName() + "."
                                        + f.getMethod().getName() + ":" + f.getLineNumber() + "/" + f.getType())
                                .collect(Collectors.joining(" < "));
                sites.merge(site, event.getLong("weight"), Long::sum);
            }
            Files.delete(file);
        } catch (IOException e) {
            sites.put(e.toString(), 0L);
        }
        return sites;
    }

    /** Runs four sequences; answers the bytes that 100 of their decode steps allocate on this thread. */
    private static long allocatedByDecodes(Engine engine, int firstKey) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long self = Thread.currentThread().threadId();
        for (int i = 0; i < 4; i++) {
            generate(engine, firstKey + i, prompt(i), NEW_TOKENS);
        }
        for (int i = 0; i < 20; i++) {
            engine.step(i);
        }
        long before = threads.getThreadAllocatedBytes(self);
        for (int i = 0; i < 100; i++) {
            engine.step(i);
        }
        long allocated = threads.getThreadAllocatedBytes(self) - before;
        while (engine.hasWork()) {
            engine.step(0);
        }
        return allocated;
    }

    @Test
    void shouldGenerateTheSameTokensAloneAndInABatch() {
        Map<Long, List<Integer>> alone = new TreeMap<>();
        for (int key = 0; key < 33; key++) {
            alone.putAll(run(List.of(key)));
        }
        List<Integer> keys =
                new ArrayList<>(alone.keySet().stream().map(Long::intValue).toList());
        assertEquals(alone, run(keys));
    }

    private static Map<Long, List<Integer>> run(List<Integer> keys) {
        Recorder recorder = new Recorder(true);
        try (CpuBackend backend = backend();
                Engine engine = new Engine(backend, "tiny", settings("off"), EngineRole.DECODE, recorder)) {
            for (int key : keys) {
                generate(engine, key, prompt(key), 12);
            }
            while (engine.hasWork()) {
                engine.step(0);
            }
        }
        assertFalse(recorder.tokens.isEmpty());
        return recorder.tokens;
    }

    private static final class Recorder implements EngineListener {
        private final boolean keep;
        private final Map<Long, List<Integer>> tokens = new TreeMap<>();

        Recorder(boolean keep) {
            this.keep = keep;
        }

        @Override
        public void onStep(StepTokens step) {
            for (int i = 0; keep && i < step.count; i++) {
                tokens.computeIfAbsent(step.keys[i], k -> new ArrayList<>()).add(step.tokens[i]);
            }
        }

        @Override
        public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {}

        @Override
        public void onRefused(long key, RefusalReason reason, String detail) {
            throw new AssertionError(reason + " " + detail);
        }
    }
}
