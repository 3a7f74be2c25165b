package io.tandem.compute.cuda;

import com.sun.management.ThreadMXBean;
import com.typesafe.config.Config;
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
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;

/** An engine stepped by hand, for measurements. */
final class EngineRun implements AutoCloseable, EngineListener {
    private static final int[] NO_STOPS = {};

    private final Engine engine;
    private final int vocabSize;
    private final List<Long> open = new ArrayList<>();
    private long lastKey;

    EngineRun(CudaBackend backend, Config config) {
        vocabSize = backend.model().vocabSize();
        engine = new Engine(backend, "random", EngineSettings.from(config), EngineRole.MIXED, this);
    }

    KvMemory kv() {
        return engine.kvMemory();
    }

    static long allocatedBytes() {
        return ((ThreadMXBean) ManagementFactory.getThreadMXBean()).getCurrentThreadAllocatedBytes();
    }

    private SequenceSpec spec(long key, int tokens, int newTokens) {
        int[] prompt = new int[tokens];
        for (int i = 0; i < tokens; i++) {
            prompt[i] = (int) ((key * 7919 + i * 104_729L) % vocabSize);
        }
        return new SequenceSpec(prompt, tokens, newTokens, SamplingParams.greedy(), NO_STOPS, 0, Long.MAX_VALUE);
    }

    /** Sequences that stand behind a prompt already: what their blocks hold is taken as its KV. */
    void startDecodes(int sequences, int context, int newTokens) {
        for (int i = 0; i < sequences; i++) {
            long key = ++lastKey;
            open.add(key);
            engine.apply(new EngineCommand.Reserve(key, spec(key, context, newTokens)), 0);
            engine.apply(new EngineCommand.Adopt(key, new int[] {(int) key % vocabSize}), 0);
        }
    }

    /** Nanoseconds that so many steps take. */
    long steps(int count) {
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
            engine.step(start);
        }
        return System.nanoTime() - start;
    }

    /** Nanoseconds until each of so many prompts has its first token. */
    long prompts(int count, int tokens) {
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
            long key = ++lastKey;
            engine.apply(new EngineCommand.Generate(key, spec(key, tokens, 1)), 0);
        }
        while (engine.hasWork()) {
            engine.step(start);
        }
        return System.nanoTime() - start;
    }

    void cancelAll() {
        open.forEach(key -> engine.apply(new EngineCommand.Cancel(key), 0));
        open.clear();
        while (engine.hasWork()) {
            engine.step(0);
        }
    }

    @Override
    public void onStep(StepTokens tokens) {}

    @Override
    public void onFinished(long key, FinishReason reason, SequenceStats stats, String detail) {
        if (reason == FinishReason.ERROR) {
            throw new IllegalStateException(detail);
        }
    }

    @Override
    public void onRefused(long key, RefusalReason reason, String detail) {
        throw new IllegalStateException(reason + " " + detail);
    }

    @Override
    public void close() {
        engine.close();
    }
}
