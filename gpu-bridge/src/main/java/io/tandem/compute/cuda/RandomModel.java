package io.tandem.compute.cuda;

import io.tandem.model.ModelConfig;
import io.tandem.model.RopeScaling;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.Tensor;
import io.tandem.weights.TensorType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.LongStream;

/**
 * A model of a given shape whose weights are random, uniform in [-0.001, 0.001), for measurements: speed depends on shapes
 * alone. Every tensor is a window of one random buffer, so that the host needs memory for the largest only.
 */
final class RandomModel implements Checkpoint {
    private static final float RANGE = 1e-3f;
    private static final long CHUNK_ELEMENTS = 1 << 20;
    private static final long STAGGER_BYTES = 4096;

    private final Arena arena = Arena.ofShared();
    private final ModelConfig config;
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();
    private final MemorySegment noise;
    private long offset;

    RandomModel(ModelConfig config) {
        this.config = config;
        long rows = Math.max(config.vocabSize(), config.intermediateSize());
        long elements = rows * config.hiddenSize() + CHUNK_ELEMENTS;
        noise = arena.allocate(2 * elements, 64);
        LongStream.range(0, (elements + CHUNK_ELEMENTS - 1) / CHUNK_ELEMENTS)
                .parallel()
                .forEach(chunk -> fill(chunk, elements));
        int hidden = config.hiddenSize();
        put("model.embed_tokens.weight", config.vocabSize(), hidden);
        put("model.norm.weight", 1, hidden);
        if (!config.tiedHead()) {
            put("lm_head.weight", config.vocabSize(), hidden);
        }
        for (int i = 0; i < config.layers(); i++) {
            String p = "model.layers." + i + ".";
            put(p + "input_layernorm.weight", 1, hidden);
            put(p + "post_attention_layernorm.weight", 1, hidden);
            put(p + "self_attn.q_proj.weight", config.queryWidth(), hidden);
            put(p + "self_attn.k_proj.weight", config.kvWidth(), hidden);
            put(p + "self_attn.v_proj.weight", config.kvWidth(), hidden);
            put(p + "self_attn.o_proj.weight", hidden, config.queryWidth());
            put(p + "mlp.gate_proj.weight", config.intermediateSize(), hidden);
            put(p + "mlp.up_proj.weight", config.intermediateSize(), hidden);
            put(p + "mlp.down_proj.weight", hidden, config.intermediateSize());
        }
    }

    /** The shape of Llama 3.1 8B. */
    static ModelConfig llama8b() {
        return new ModelConfig(
                "llama",
                128_256,
                4096,
                32,
                32,
                8,
                128,
                14_336,
                1e-5f,
                500_000,
                new RopeScaling.Llama3(8, 1, 4, 8192),
                false,
                131_072,
                false,
                128_000,
                List.of(128_001));
    }

    /** Two narrow layers: the device has next to nothing to do, so that the host's part shows. */
    static ModelConfig tiny() {
        return new ModelConfig(
                "llama",
                1024,
                128,
                2,
                4,
                2,
                32,
                256,
                1e-5f,
                10_000,
                new RopeScaling.None(),
                false,
                4096,
                true,
                1,
                List.of(2));
    }

    private void fill(long chunk, long elements) {
        SplittableRandom random = new SplittableRandom(chunk);
        long end = Math.min(elements, (chunk + 1) * CHUNK_ELEMENTS);
        for (long i = chunk * CHUNK_ELEMENTS; i < end; i++) {
            float value = (float) (random.nextInt() * 0x1p-31) * RANGE;
            noise.setAtIndex(ValueLayout.JAVA_SHORT, i, WeightUpload.bfloat16(value));
        }
    }

    private void put(String name, int rows, int cols) {
        long bytes = 2L * rows * cols;
        offset = offset + bytes <= noise.byteSize() ? offset : 0;
        tensors.put(name, new Tensor(name, TensorType.BF16, rows, cols, noise.asSlice(offset, bytes)));
        offset = (offset + STAGGER_BYTES) % (CHUNK_ELEMENTS * 2);
    }

    /** Random bytes, as bf16 values of both signs. */
    MemorySegment noise() {
        return noise;
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
        return find(name).orElseThrow(() -> new IllegalArgumentException("the random model has no tensor " + name));
    }

    @Override
    public Set<String> tensorNames() {
        return tensors.keySet();
    }

    @Override
    public String fingerprint() {
        return "random " + config;
    }

    @Override
    public long weightBytes() {
        return tensors.values().stream().mapToLong(t -> t.data().byteSize()).sum();
    }

    @Override
    public void close() {
        arena.close();
    }
}
