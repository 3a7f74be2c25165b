package io.tandem.compute.simulated;

import io.tandem.compute.BackendInfo;
import io.tandem.compute.ComputeBackend;
import io.tandem.compute.DeviceLostException;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/**
 * Computes nothing: takes the time a {@link TimingModel} says and chooses tokens by a hash of the KV it finds and of the
 * last token. Each token leaves its mark in its KV slot, so a block that was lost, swapped or damaged on its way changes
 * the tokens that follow, just as with a real model. Deterministic and batch-invariant.
 */
public final class SimulatedBackend implements ComputeBackend {
    private static final long MIX = 0x9E3779B97F4A7C15L;
    private static final int MARK_BYTES = Long.BYTES;

    private final ModelConfig model;
    private final KvLayout layout;
    private final TimingModel timing;
    private final int maxTokens;
    private final Pace pace;
    private final BackendInfo info;

    /** As with CUDA, a process whose device was lost gets no other one. */
    private static final AtomicBoolean LOST = new AtomicBoolean();

    private long stepsUntilLoss = Long.MAX_VALUE;

    /** How a step's time passes. */
    @FunctionalInterface
    public interface Pace {
        /** Called once a step, after its tokens are chosen. */
        void pass(long startNanos, long stepNanos);
    }

    /** In real time. */
    public SimulatedBackend(
            ModelConfig model, int blockTokens, int maxTokens, TimingModel timing, List<String> refusals) {
        this(model, blockTokens, maxTokens, timing, refusals, SimulatedBackend::waitUntil);
    }

    public SimulatedBackend(
            ModelConfig model, int blockTokens, int maxTokens, TimingModel timing, List<String> refusals, Pace pace) {
        this.model = model;
        this.timing = timing;
        this.pace = pace;
        this.maxTokens = maxTokens;
        layout = new KvLayout(1, 1, MARK_BYTES / 4 / 2, blockTokens, KvLayout.Dtype.F32);
        info = new BackendInfo("simulated", "timing model " + timing, refusals, true, 0);
    }

    /**
     * The device is lost with this step, counted from 1, for the rest of the process.
     *
     * @throws IllegalStateException when it is lost already
     */
    public void loseWithStep(long step) {
        if (LOST.get()) {
            throw new IllegalStateException("the simulated device is lost: this process cannot open it again");
        }
        stepsUntilLoss = step;
    }

    @Override
    public BackendInfo info() {
        return info;
    }

    @Override
    public ModelConfig model() {
        return model;
    }

    @Override
    public KvLayout kvLayout() {
        return layout;
    }

    @Override
    public KvMemory allocateKv(int blocks) {
        return new MarkMemory(layout, blocks);
    }

    @Override
    public int maxBatchTokens() {
        return maxTokens;
    }

    @Override
    public boolean choosesTokens() {
        return true;
    }

    @Override
    public void forward(ForwardBatch batch, KvMemory kv, ForwardOutput output) {
        if (--stepsUntilLoss <= 0) {
            LOST.set(true);
            throw new DeviceLostException("the simulated device is lost on purpose: lose-with-step", null);
        }
        long start = System.nanoTime();
        int prompt = 0;
        int decodes = 0;
        long context = 0;
        for (int s = 0; s < batch.sequences; s++) {
            int count = batch.tokenCount[s];
            prompt += count > 1 ? count : 0;
            decodes += count == 1 ? 1 : 0;
            context += batch.contextStart[s] + count;
            output.tokens[s] = run(batch, s, (MarkMemory) kv);
        }
        pace.pass(start, timing.stepNanos(prompt, decodes, context));
    }

    private static void waitUntil(long startNanos, long stepNanos) {
        long end = startNanos + stepNanos;
        for (long left = end - System.nanoTime(); left > 0; left = end - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
    }

    /** Chains each new token onto the mark before it and answers the token that the last mark stands for. */
    private int run(ForwardBatch batch, int s, MarkMemory kv) {
        int position = batch.contextStart[s];
        int[] table = batch.blockTables[s];
        long mark = position == 0 ? 0 : kv.mark(table, position - 1);
        for (int i = 0; i < batch.tokenCount[s]; i++) {
            mark = mix(mark ^ (batch.tokenIds[batch.tokenStart[s] + i] + 1) * MIX);
            kv.mark(table, position + i, mark);
        }
        int ordinary = model.vocabSize() - FIRST_TOKEN;
        return FIRST_TOKEN + (int) Long.remainderUnsigned(mix(mark), ordinary);
    }

    /** Ids below are control tokens in the vocabularies of this project's tests; the simulation does not choose them. */
    private static final int FIRST_TOKEN = 32;

    private static long mix(long z) {
        long a = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        long b = (a ^ (a >>> 27)) * 0x94D049BB133111EBL;
        return b ^ (b >>> 31);
    }

    @Override
    public void close() {}

    /** Eight bytes a token: keys [token][1] and values [token][1] of one layer, head and dimension. */
    private static final class MarkMemory implements KvMemory {
        private final KvLayout layout;
        private final int blocks;
        private final Arena arena = Arena.ofShared();
        private final MemorySegment memory;

        MarkMemory(KvLayout layout, int blocks) {
            this.layout = layout;
            this.blocks = blocks;
            memory = arena.allocate(layout.blockBytes() * blocks, 64);
        }

        private long offset(int[] table, int position) {
            int blockTokens = layout.blockTokens();
            return layout.blockBytes() * table[position / blockTokens] + 8L * (position % blockTokens);
        }

        long mark(int[] table, int position) {
            return memory.get(ValueLayout.JAVA_LONG, offset(table, position));
        }

        void mark(int[] table, int position, long value) {
            memory.set(ValueLayout.JAVA_LONG, offset(table, position), value);
        }

        @Override
        public KvLayout layout() {
            return layout;
        }

        @Override
        public int blocks() {
            return blocks;
        }

        @Override
        public MemorySegment block(int blockId) {
            return memory.asSlice(layout.blockBytes() * blockId, layout.blockBytes());
        }

        @Override
        public void close() {
            arena.close();
        }
    }
}
