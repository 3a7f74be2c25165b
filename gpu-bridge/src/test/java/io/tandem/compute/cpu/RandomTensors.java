package io.tandem.compute.cpu;

import io.tandem.weights.Tensor;
import io.tandem.weights.TensorType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;

/** Tensors and activations from a seed. */
final class RandomTensors {
    private RandomTensors() {}

    /** A tensor of any type with weights of about unit size and finite scales. */
    static Tensor tensor(Arena arena, String name, TensorType type, int rows, int cols, long seed) {
        long bytes = Math.multiplyExact(type.rowBytes(cols), (long) rows);
        MemorySegment data = arena.allocate(bytes, 64);
        Random random = new Random(seed);
        for (long at = 0; at < bytes; at += type.blockBytes()) {
            fill(data, at, type, random);
        }
        return new Tensor(name, type, rows, cols, data);
    }

    private static void fill(MemorySegment data, long at, TensorType type, Random random) {
        float weight = (float) random.nextGaussian() / 4;
        switch (type) {
            case F32 -> data.set(ValueLayout.JAVA_FLOAT_UNALIGNED, at, weight);
            case F16 -> half(data, at, weight);
            case BF16 ->
                data.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) (Float.floatToRawIntBits(weight) >>> 16));
            case Q4_0, Q4_1, Q8_0 -> {
                for (int i = 0; i < type.blockBytes(); i++) {
                    data.set(ValueLayout.JAVA_BYTE, at + i, (byte) random.nextInt());
                }
                half(data, at, weight / (type == TensorType.Q8_0 ? 64 : 4));
                if (type == TensorType.Q4_1) {
                    half(data, at + 2, -2 * weight);
                }
            }
        }
    }

    private static void half(MemorySegment data, long at, float value) {
        data.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, Float.floatToFloat16(value));
    }

    static float[] floats(int count, long seed) {
        Random random = new Random(seed);
        float[] out = new float[count];
        for (int i = 0; i < count; i++) {
            out[i] = (float) random.nextGaussian();
        }
        return out;
    }
}
