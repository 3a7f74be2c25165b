package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.compute.cuda.WeightUpload.RowOrder;
import io.tandem.model.ModelConfig;
import io.tandem.model.RopeTable;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A model's weights on the device, bf16, with q, k and v of a layer in one matrix and gate and up in another. All of it
 * lives in one allocation.
 */
final class DeviceWeights {
    /** Device addresses of one layer; 0 = the family has none. */
    record Layer(
            long attentionNorm,
            long qkv,
            long qkvBias,
            long queryNorm,
            long keyNorm,
            long output,
            long mlpNorm,
            long gateUp,
            long down) {}

    private static final long ALIGNMENT = 256;

    final long embedding;
    final long head;
    final long finalNorm;
    final Layer[] layers;

    /** Rotary frequencies as doubles. */
    final long frequencies;

    final long bytes;

    private long cursor;
    private final WeightUpload upload;
    private final Checkpoint checkpoint;
    private final ModelConfig config;

    DeviceWeights(CudaDriver driver, DeviceMemory memory, Checkpoint checkpoint, Stream stream, int threads) {
        this.checkpoint = checkpoint;
        config = checkpoint.config();
        upload = new WeightUpload(driver);
        RopeTable rope = new RopeTable(config);
        bytes = size(checkpoint) + 8L * config.headDim() + ALIGNMENT;
        cursor = memory.take("weights", bytes);
        embedding = put(RowOrder.AS_STORED, "model.embed_tokens.weight");
        finalNorm = put(RowOrder.AS_STORED, "model.norm.weight");
        head = config.tiedHead() ? embedding : put(RowOrder.AS_STORED, "lm_head.weight");
        layers = new Layer[config.layers()];
        for (int i = 0; i < layers.length; i++) {
            layers[i] = layer("model.layers." + i + ".");
        }
        upload.run(threads);
        frequencies = cursor;
        upload(driver, stream, rope);
    }

    private Layer layer(String p) {
        RowOrder order = config.ropeInterleaved() ? RowOrder.PAIRS_TO_HALVES : RowOrder.AS_STORED;
        String a = p + "self_attn.";
        boolean bias = config.traits().qkvBias();
        boolean norm = config.traits().headNorm();
        return new Layer(
                put(RowOrder.AS_STORED, p + "input_layernorm.weight"),
                putQkv(order, a, ".weight"),
                bias ? putQkv(RowOrder.AS_STORED, a, ".bias") : 0,
                norm ? put(RowOrder.AS_STORED, a + "q_norm.weight") : 0,
                norm ? put(RowOrder.AS_STORED, a + "k_norm.weight") : 0,
                put(RowOrder.AS_STORED, a + "o_proj.weight"),
                put(RowOrder.AS_STORED, p + "post_attention_layernorm.weight"),
                put(RowOrder.AS_STORED, p + "mlp.gate_proj.weight", p + "mlp.up_proj.weight"),
                put(RowOrder.AS_STORED, p + "mlp.down_proj.weight"));
    }

    private long putQkv(RowOrder order, String attention, String what) {
        long at = cursor;
        append(order, attention + "q_proj" + what);
        append(order, attention + "k_proj" + what);
        append(RowOrder.AS_STORED, attention + "v_proj" + what);
        align();
        return at;
    }

    private long put(RowOrder order, String... names) {
        long at = cursor;
        for (String name : names) {
            append(order, name);
        }
        align();
        return at;
    }

    private void append(RowOrder order, String name) {
        cursor += upload.add(checkpoint.tensor(name), cursor, order, config.headDim());
    }

    private void align() {
        cursor = (cursor + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    /** An upper bound: every tensor rounded up by itself. */
    private static long size(Checkpoint checkpoint) {
        long sum = 0;
        for (String name : checkpoint.tensorNames()) {
            Tensor tensor = checkpoint.tensor(name);
            sum += (WeightUpload.bytes(tensor) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        return sum;
    }

    private void upload(CudaDriver driver, Stream stream, RopeTable rope) {
        int half = config.headDim() / 2;
        MemorySegment pinned = driver.allocatePinned(8L * half);
        for (int i = 0; i < half; i++) {
            pinned.setAtIndex(ValueLayout.JAVA_DOUBLE, i, rope.frequency(i));
        }
        driver.copyToDevice(frequencies, pinned.address(), 8L * half, stream);
        driver.synchronize(stream);
        driver.freePinned(pinned);
    }
}
