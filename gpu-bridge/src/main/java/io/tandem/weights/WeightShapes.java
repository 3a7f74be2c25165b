package io.tandem.weights;

import io.tandem.model.ModelConfig;
import java.nio.file.Path;

/**
 * Whether a checkpoint has the tensors that its configuration promises, in their shapes. What computes trusts them: a matrix of
 * another shape is read beyond its end, or gives wrong numbers without a word.
 */
final class WeightShapes {
    private final Path place;
    private final Checkpoint checkpoint;
    private final ModelConfig c;

    private WeightShapes(Path place, Checkpoint checkpoint) {
        this.place = place;
        this.checkpoint = checkpoint;
        c = checkpoint.config();
    }

    /** @throws IllegalArgumentException naming file, tensor and both shapes */
    static void check(Path place, Checkpoint checkpoint) {
        new WeightShapes(place, checkpoint).check();
    }

    private void check() {
        matrix("model.embed_tokens.weight", c.vocabSize(), c.hiddenSize());
        vector("model.norm.weight", c.hiddenSize());
        if (!c.tiedHead()) {
            matrix("lm_head.weight", c.vocabSize(), c.hiddenSize());
        }
        for (int i = 0; i < c.layers(); i++) {
            layer("model.layers." + i + ".");
        }
    }

    private void layer(String p) {
        String a = p + "self_attn.";
        vector(p + "input_layernorm.weight", c.hiddenSize());
        matrix(a + "q_proj.weight", c.queryWidth(), c.hiddenSize());
        matrix(a + "k_proj.weight", c.kvWidth(), c.hiddenSize());
        matrix(a + "v_proj.weight", c.kvWidth(), c.hiddenSize());
        matrix(a + "o_proj.weight", c.hiddenSize(), c.queryWidth());
        if (c.traits().qkvBias()) {
            vector(a + "q_proj.bias", c.queryWidth());
            vector(a + "k_proj.bias", c.kvWidth());
            vector(a + "v_proj.bias", c.kvWidth());
        }
        if (c.traits().headNorm()) {
            vector(a + "q_norm.weight", c.headDim());
            vector(a + "k_norm.weight", c.headDim());
        }
        vector(p + "post_attention_layernorm.weight", c.hiddenSize());
        matrix(p + "mlp.gate_proj.weight", c.intermediateSize(), c.hiddenSize());
        matrix(p + "mlp.up_proj.weight", c.intermediateSize(), c.hiddenSize());
        matrix(p + "mlp.down_proj.weight", c.hiddenSize(), c.intermediateSize());
    }

    private void vector(String name, int width) {
        matrix(name, 1, width);
    }

    private void matrix(String name, int rows, int cols) {
        Tensor t = checkpoint.tensor(name);
        if (t.rows() != rows || t.cols() != cols) {
            throw new IllegalArgumentException(place + ": tensor '" + name + "' is " + t.rows() + " x " + t.cols()
                    + "; its configuration needs " + rows + " x " + cols);
        }
    }
}
