package io.tandem.compute.cpu;

import io.tandem.model.ModelConfig;
import io.tandem.model.ModelFamily;
import io.tandem.weights.Checkpoint;

/** What some families do between the q/k/v products and the rotation: Qwen2's bias, Qwen3's norm of each head. */
final class AttentionExtras {
    private static final float[] NONE = {};

    private final float[] queryBias;
    private final float[] keyBias;
    private final float[] valueBias;
    private final float[] queryNorm;
    private final float[] keyNorm;

    /** @param prefix of the layer's attention tensors, "model.layers.0.self_attn." */
    AttentionExtras(Checkpoint c, String prefix) {
        ModelFamily family = c.config().traits();
        queryBias = family.qkvBias() ? LlamaForward.vector(c.tensor(prefix + "q_proj.bias")) : NONE;
        keyBias = family.qkvBias() ? LlamaForward.vector(c.tensor(prefix + "k_proj.bias")) : NONE;
        valueBias = family.qkvBias() ? LlamaForward.vector(c.tensor(prefix + "v_proj.bias")) : NONE;
        queryNorm = family.headNorm() ? LlamaForward.vector(c.tensor(prefix + "q_norm.weight")) : NONE;
        keyNorm = family.headNorm() ? LlamaForward.vector(c.tensor(prefix + "k_norm.weight")) : NONE;
    }

    /** In place, on q [tokens][heads * headDim] and k, v [tokens][kvHeads * headDim]. */
    void apply(CpuOps ops, ModelConfig config, int tokens, float[] q, float[] k, float[] v) {
        if (queryBias.length > 0) {
            ops.addBias(q, tokens, config.queryWidth(), queryBias);
            ops.addBias(k, tokens, config.kvWidth(), keyBias);
            ops.addBias(v, tokens, config.kvWidth(), valueBias);
        }
        if (queryNorm.length > 0) {
            ops.rmsNorm(q, tokens * config.heads(), config.headDim(), queryNorm, config.normEps(), q);
            ops.rmsNorm(k, tokens * config.kvHeads(), config.headDim(), keyNorm, config.normEps(), k);
        }
    }
}
