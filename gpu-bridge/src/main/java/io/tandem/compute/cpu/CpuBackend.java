package io.tandem.compute.cpu;

import io.tandem.compute.BackendInfo;
import io.tandem.compute.ComputeBackend;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import io.tandem.weights.Checkpoint;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;

/** Computes on the host's cores, with float32 activations and weights as they are stored. Batch-invariant. */
public final class CpuBackend implements ComputeBackend {
    /** Tokens of a warm-up prompt: a tile of each kind. */
    private static final int WARM_UP_PROMPT = 13;

    private static final int WARM_UP_ANSWER = 3;
    private static final int WARM_UP_ROUNDS = 3;

    private final Checkpoint checkpoint;
    private final CpuOps ops;
    private final LlamaForward model;
    private final KvLayout layout;
    private final int maxTokens;
    private final BackendInfo info;

    private CpuBackend(
            Checkpoint checkpoint,
            CpuOps ops,
            int blockTokens,
            int maxTokens,
            int maxSequences,
            List<String> refusals) {
        this.checkpoint = checkpoint;
        this.ops = ops;
        this.maxTokens = maxTokens;
        ModelConfig c = checkpoint.config();
        layout = new KvLayout(c.layers(), c.kvHeads(), c.headDim(), blockTokens, KvLayout.Dtype.F32);
        model = load(maxSequences);
        info = new BackendInfo(
                ops.name(), ops.device(), refusals, true, Runtime.getRuntime().maxMemory());
    }

    private LlamaForward load(int maxSequences) {
        try {
            return new LlamaForward(checkpoint, ops, maxTokens, maxSequences);
        } catch (RuntimeException | Error e) {
            ops.close();
            throw e;
        }
    }

    /** The reference, on one thread. Owns the checkpoint. */
    public static CpuBackend scalar(
            Checkpoint checkpoint, int blockTokens, int maxTokens, int maxSequences, List<String> refusals) {
        return new CpuBackend(checkpoint, new ScalarOps(), blockTokens, maxTokens, maxSequences, refusals);
    }

    /** Why {@link #vector} would be slow in this JVM; empty when it is not. The vector module must be there. */
    public static String vectorRefusal() {
        return VectorUnit.refusal();
    }

    /** The Vector API on a number of threads. Owns the checkpoint. The caller has checked that the module is there. */
    public static CpuBackend vector(
            Checkpoint checkpoint,
            int threads,
            int blockTokens,
            int maxTokens,
            int maxSequences,
            List<String> refusals) {
        return new CpuBackend(checkpoint, new VectorOps(threads), blockTokens, maxTokens, maxSequences, refusals);
    }

    @Override
    public BackendInfo info() {
        return info;
    }

    @Override
    public ModelConfig model() {
        return checkpoint.config();
    }

    @Override
    public KvLayout kvLayout() {
        return layout;
    }

    @Override
    public KvMemory allocateKv(int blocks) {
        return new CpuKvMemory(layout, blocks);
    }

    @Override
    public int maxBatchTokens() {
        return maxTokens;
    }

    @Override
    public void warmUp(Duration budget) {
        long until = System.nanoTime() + budget.toNanos();
        model.warmUpKernels(layout, until);
        int prompt = Math.min(WARM_UP_PROMPT, maxTokens);
        int[] tokens = new int[prompt + WARM_UP_ANSWER];
        int[] table = IntStream.range(0, layout.blocksFor(tokens.length)).toArray();
        ForwardBatch batch = new ForwardBatch(prompt, 1);
        ForwardOutput output = new ForwardOutput(1, model().vocabSize(), true);
        try (KvMemory kv = new CpuKvMemory(layout, table.length)) {
            for (int round = 0; round < WARM_UP_ROUNDS; round++) {
                for (int at = 0; at < tokens.length && System.nanoTime() < until; at += at == 0 ? prompt : 1) {
                    batch.clear();
                    batch.add(tokens, at, at == 0 ? prompt : 1, table, true);
                    forward(batch, kv, output);
                }
            }
        }
    }

    @Override
    public void forward(ForwardBatch batch, KvMemory kv, ForwardOutput output) {
        model.forward(batch, kv, output);
    }

    @Override
    public void close() {
        ops.close();
        checkpoint.close();
    }
}
