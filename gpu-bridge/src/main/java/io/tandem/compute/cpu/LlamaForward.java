package io.tandem.compute.cpu;

import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.model.ModelConfig;
import io.tandem.model.RopeTable;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.Tensor;
import java.util.List;

/**
 * The Llama-like families (Llama, SmolLM2, Mistral, Qwen2, Qwen3): weights and forward pass, in the order of the paper. What a
 * family adds is said by {@link io.tandem.model.ModelFamily} and done by {@link AttentionExtras}.
 */
final class LlamaForward {

    private static final class Layer {
        final float[] attentionNorm;
        final Matrix q;
        final Matrix k;
        final Matrix v;
        final AttentionExtras extras;
        final Matrix o;
        final float[] mlpNorm;
        final Matrix gate;
        final Matrix up;
        final Matrix down;

        Layer(Checkpoint c, int index, CpuOps ops) {
            String p = "model.layers." + index + ".";
            attentionNorm = vector(c.tensor(p + "input_layernorm.weight"));
            q = product(c.tensor(p + "self_attn.q_proj.weight"), ops);
            k = product(c.tensor(p + "self_attn.k_proj.weight"), ops);
            v = product(c.tensor(p + "self_attn.v_proj.weight"), ops);
            extras = new AttentionExtras(c, p + "self_attn.");
            o = product(c.tensor(p + "self_attn.o_proj.weight"), ops);
            mlpNorm = vector(c.tensor(p + "post_attention_layernorm.weight"));
            gate = product(c.tensor(p + "mlp.gate_proj.weight"), ops);
            up = product(c.tensor(p + "mlp.up_proj.weight"), ops);
            down = product(c.tensor(p + "mlp.down_proj.weight"), ops);
        }
    }

    /** Arrays are padded by this much so that vector loops need no tail. */
    private static final int PADDING = 64;

    private final ModelConfig config;
    private final CpuOps ops;
    private final RopeTable ropeTable;
    private final Matrix embedding;
    private final Layer[] layers;
    private final float[] finalNorm;
    private final Matrix head;

    private final float[] x;
    private final float[] normed;
    private final float[] queries;
    private final float[] keys;
    private final float[] values;
    private final float[] attended;
    private final float[] gate;
    private final float[] up;
    private final float[] cos;
    private final float[] sin;
    private final float[] logits;
    private final int[] sequenceOfRow;

    LlamaForward(Checkpoint checkpoint, CpuOps ops, int maxTokens, int maxSequences) {
        this.config = checkpoint.config();
        this.ops = ops;
        ropeTable = new RopeTable(config);
        embedding = new Matrix(checkpoint.tensor("model.embed_tokens.weight"));
        layers = new Layer[config.layers()];
        for (int i = 0; i < layers.length; i++) {
            layers[i] = new Layer(checkpoint, i, ops);
        }
        finalNorm = vector(checkpoint.tensor("model.norm.weight"));
        head = config.tiedHead() ? embedding : new Matrix(checkpoint.tensor("lm_head.weight"));
        ops.prepare(head);
        x = rows(maxTokens, config.hiddenSize());
        normed = rows(maxTokens, config.hiddenSize());
        queries = rows(maxTokens, config.queryWidth());
        keys = rows(maxTokens, config.kvWidth());
        values = rows(maxTokens, config.kvWidth());
        attended = rows(maxTokens, config.queryWidth());
        gate = rows(maxTokens, config.intermediateSize());
        up = rows(maxTokens, config.intermediateSize());
        cos = rows(maxTokens, config.headDim() / 2);
        sin = rows(maxTokens, config.headDim() / 2);
        logits = rows(maxSequences, config.vocabSize());
        sequenceOfRow = new int[maxSequences];
    }

    private static float[] rows(int count, int width) {
        return new float[Math.addExact(Math.multiplyExact(count, width), PADDING)];
    }

    private static Matrix product(Tensor tensor, CpuOps ops) {
        Matrix matrix = new Matrix(tensor);
        ops.prepare(matrix);
        return matrix;
    }

    static float[] vector(Tensor tensor) {
        Matrix matrix = new Matrix(tensor);
        float[] out = new float[matrix.cols];
        matrix.readRow(0, out, 0);
        return out;
    }

    /** Gets the kernels compiled; see {@link CpuOps#warmUp}. */
    void warmUpKernels(KvLayout layout, long untilNanos) {
        ops.warmUp(List.of(layers[0].q, head), layout, untilNanos);
    }

    void forward(ForwardBatch batch, KvMemory kv, ForwardOutput output) {
        int tokens = batch.tokens;
        ropeTable.fill(batch.positions, tokens, cos, sin);
        ops.embed(embedding, batch.tokenIds, tokens, x);
        int last = layers.length - 1;
        for (int layer = 0; layer < last; layer++) {
            storeKv(layers[layer], layer, batch, kv);
            ops.attention(queries, config.heads(), batch, kv, layer, attended);
            ops.matmulAdd(layers[layer].o, attended, tokens, x);
            mlpBlock(layers[layer], tokens);
        }
        lastLayer(layers[last], last, batch, kv, output);
    }

    /** Queries, keys and values of the batch; the last two go where they stay. */
    private void storeKv(Layer w, int layer, ForwardBatch batch, KvMemory kv) {
        int tokens = batch.tokens;
        ops.rmsNorm(x, tokens, config.hiddenSize(), w.attentionNorm, config.normEps(), normed);
        ops.matmul(w.q, normed, tokens, queries);
        ops.matmul(w.k, normed, tokens, keys);
        ops.matmul(w.v, normed, tokens, values);
        w.extras.apply(ops, config, tokens, queries, keys, values);
        ops.rope(queries, tokens, config.heads(), config.headDim(), cos, sin, config.ropeInterleaved());
        ops.rope(keys, tokens, config.kvHeads(), config.headDim(), cos, sin, config.ropeInterleaved());
        ops.storeKv(keys, values, batch, kv, layer);
    }

    /** Nobody asks what the last layer makes of a row that chooses no token: behind keys and values only the others go on. */
    private void lastLayer(Layer w, int layer, ForwardBatch batch, KvMemory kv, ForwardOutput output) {
        storeKv(w, layer, batch, kv);
        int rows = 0;
        for (int s = 0; s < batch.sequences; s++) {
            if (batch.wantsLogits[s]) {
                sequenceOfRow[rows++] = s;
            }
        }
        if (rows == 0) {
            return;
        }
        ops.attention(queries, config.heads(), batch, kv, layer, attended);
        keepLastTokens(batch, rows, attended, config.queryWidth());
        keepLastTokens(batch, rows, x, config.hiddenSize());
        ops.matmulAdd(w.o, attended, rows, x);
        mlpBlock(w, rows);
        logits(rows, output);
    }

    /** Moves the last token of each of {@link #sequenceOfRow} to the row of that number. */
    private void keepLastTokens(ForwardBatch batch, int rows, float[] matrix, int width) {
        for (int r = 0; r < rows; r++) {
            int s = sequenceOfRow[r];
            int last = batch.tokenStart[s] + batch.tokenCount[s] - 1;
            System.arraycopy(matrix, last * width, matrix, r * width, width);
        }
    }

    private void mlpBlock(Layer w, int tokens) {
        ops.rmsNorm(x, tokens, config.hiddenSize(), w.mlpNorm, config.normEps(), normed);
        ops.matmul(w.gate, normed, tokens, gate);
        ops.matmul(w.up, normed, tokens, up);
        ops.siluMul(gate, up, tokens * config.intermediateSize());
        ops.matmulAdd(w.down, gate, tokens, x);
    }

    private void logits(int rows, ForwardOutput output) {
        ops.rmsNorm(x, rows, config.hiddenSize(), finalNorm, config.normEps(), normed);
        ops.matmul(head, normed, rows, logits);
        for (int r = 0; r < rows; r++) {
            System.arraycopy(logits, r * config.vocabSize(), output.logits[sequenceOfRow[r]], 0, config.vocabSize());
        }
    }
}
