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

    private record Places(long embedding, long finalNorm, long head, Layer[] layers, long end) {}

    private static final long ALIGNMENT = 256;
    /** Matrices from {@link #LARGE} bytes on begin at one of the device's pages: prompts take 0.4 % longer where none does. */
    private static final long PAGE = 2L << 20;

    private static final long LARGE = 32L << 20;

    final long embedding;
    final long head;
    final long finalNorm;
    final Layer[] layers;

    /** Rotary frequencies as doubles. */
    final long frequencies;

    final long bytes;

    private final Checkpoint checkpoint;
    private final ModelConfig config;
    /** Null while only the size is asked. */
    private WeightUpload upload;

    private long cursor;

    DeviceWeights(CudaDriver driver, DeviceMemory memory, Checkpoint checkpoint, Stream stream, int threads) {
        this.checkpoint = checkpoint;
        config = checkpoint.config();
        RopeTable rope = new RopeTable(config);
        bytes = place(0).end() + ALIGNMENT + 8L * config.headDim() + PAGE;
        upload = new WeightUpload(driver);
        Places places = place(roundUp(memory.take("weights", bytes), PAGE));
        embedding = places.embedding();
        finalNorm = places.finalNorm();
        head = places.head();
        layers = places.layers();
        upload.run(threads);
        frequencies = roundUp(places.end(), ALIGNMENT);
        upload(driver, stream, rope);
    }

    /** Says where everything lies from this address on, and orders its upload. */
    private Places place(long start) {
        cursor = start;
        long table = put(RowOrder.AS_STORED, "model.embed_tokens.weight");
        long lastNorm = put(RowOrder.AS_STORED, "model.norm.weight");
        long top = config.tiedHead() ? table : put(RowOrder.AS_STORED, "lm_head.weight");
        Layer[] all = new Layer[config.layers()];
        for (int i = 0; i < all.length; i++) {
            all[i] = layer("model.layers." + i + ".");
        }
        return new Places(table, lastNorm, top, all, cursor);
    }

    private Layer layer(String p) {
        RowOrder order = config.ropeInterleaved() ? RowOrder.PAIRS_TO_HALVES : RowOrder.AS_STORED;
        String a = p + "self_attn.";
        boolean bias = config.traits().qkvBias();
        boolean norm = config.traits().headNorm();
        // Matrices first: vectors between them would cost a page each.
        long qkv = putQkv(order, a, ".weight");
        long output = put(RowOrder.AS_STORED, a + "o_proj.weight");
        long gateUp = put(RowOrder.AS_STORED, p + "mlp.gate_proj.weight", p + "mlp.up_proj.weight");
        long down = put(RowOrder.AS_STORED, p + "mlp.down_proj.weight");
        return new Layer(
                put(RowOrder.AS_STORED, p + "input_layernorm.weight"),
                qkv,
                bias ? putQkv(RowOrder.AS_STORED, a, ".bias") : 0,
                norm ? put(RowOrder.AS_STORED, a + "q_norm.weight") : 0,
                norm ? put(RowOrder.AS_STORED, a + "k_norm.weight") : 0,
                output,
                put(RowOrder.AS_STORED, p + "post_attention_layernorm.weight"),
                gateUp,
                down);
    }

    private long putQkv(RowOrder order, String attention, String what) {
        String q = attention + "q_proj" + what;
        String k = attention + "k_proj" + what;
        String v = attention + "v_proj" + what;
        long at = begin(q, k, v);
        append(order, q);
        append(order, k);
        append(RowOrder.AS_STORED, v);
        return at;
    }

    private long put(RowOrder order, String... names) {
        long at = begin(names);
        for (String name : names) {
            append(order, name);
        }
        return at;
    }

    private long begin(String... names) {
        long size = 0;
        for (String name : names) {
            size += WeightUpload.bytes(checkpoint.tensor(name));
        }
        cursor = roundUp(cursor, size >= LARGE ? PAGE : ALIGNMENT);
        return cursor;
    }

    private void append(RowOrder order, String name) {
        Tensor tensor = checkpoint.tensor(name);
        if (upload != null) {
            upload.add(tensor, cursor, order, config.headDim());
        }
        cursor += WeightUpload.bytes(tensor);
    }

    private static long roundUp(long value, long step) {
        return (value + step - 1) / step * step;
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
