package io.tandem.compute.cpu;

import io.tandem.model.ModelConfig;
import io.tandem.model.RopeScaling;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.Tensor;
import io.tandem.weights.TensorType;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A Llama of two layers with random weights. */
final class TinyLlama implements Checkpoint {
    private static final int HIDDEN = 64;
    private static final int MLP = 96;
    private static final int VOCABULARY = 160;

    private final Arena arena = Arena.ofShared();
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();
    private final ModelConfig config = new ModelConfig(
            "llama",
            VOCABULARY,
            HIDDEN,
            2,
            4,
            2,
            16,
            MLP,
            1e-5f,
            10_000,
            new RopeScaling.None(),
            false,
            512,
            true,
            1,
            List.of(2));

    TinyLlama(TensorType type) {
        put("model.embed_tokens.weight", type, VOCABULARY, HIDDEN);
        put("model.norm.weight", TensorType.F32, 1, HIDDEN);
        for (int i = 0; i < config.layers(); i++) {
            String p = "model.layers." + i + ".";
            put(p + "input_layernorm.weight", TensorType.F32, 1, HIDDEN);
            put(p + "post_attention_layernorm.weight", TensorType.F32, 1, HIDDEN);
            put(p + "self_attn.q_proj.weight", type, config.queryWidth(), HIDDEN);
            put(p + "self_attn.k_proj.weight", type, config.kvWidth(), HIDDEN);
            put(p + "self_attn.v_proj.weight", type, config.kvWidth(), HIDDEN);
            put(p + "self_attn.o_proj.weight", type, HIDDEN, config.queryWidth());
            put(p + "mlp.gate_proj.weight", type, MLP, HIDDEN);
            put(p + "mlp.up_proj.weight", type, MLP, HIDDEN);
            put(p + "mlp.down_proj.weight", type, HIDDEN, MLP);
        }
    }

    private void put(String name, TensorType type, int rows, int cols) {
        tensors.put(name, RandomTensors.tensor(arena, name, type, rows, cols, name.hashCode()));
    }

    @Override
    public ModelConfig config() {
        return config;
    }

    @Override
    public Optional<Tensor> find(String name) {
        return Optional.ofNullable(tensors.get(name));
    }

    @Override
    public Tensor tensor(String name) {
        return find(name).orElseThrow(() -> new IllegalArgumentException("no tensor " + name));
    }

    @Override
    public Set<String> tensorNames() {
        return tensors.keySet();
    }

    @Override
    public String fingerprint() {
        return "tiny-llama";
    }

    @Override
    public long weightBytes() {
        return tensors.values().stream().mapToLong(t -> t.rowBytes() * t.rows()).sum();
    }

    @Override
    public void close() {
        arena.close();
    }
}
