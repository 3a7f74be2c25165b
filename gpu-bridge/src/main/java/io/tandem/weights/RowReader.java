package io.tandem.weights;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Reads stored weights as float32, element by element: the definition that every kernel must agree with. */
public final class RowReader {
    private static final ValueLayout.OfShort I16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private RowReader() {}

    /** Dequantises one row of a tensor into {@code out[at..]}. */
    public static void read(Tensor tensor, int row, float[] out, int at) {
        MemorySegment data = tensor.data();
        long a = row * tensor.rowBytes();
        int cols = tensor.cols();
        switch (tensor.type()) {
            case F32 -> {
                for (int i = 0; i < cols; i++) {
                    out[at + i] = data.get(F32, a + 4L * i);
                }
            }
            case F16 -> {
                for (int i = 0; i < cols; i++) {
                    out[at + i] = half(data, a + 2L * i);
                }
            }
            case BF16 -> {
                for (int i = 0; i < cols; i++) {
                    out[at + i] = Float.intBitsToFloat(data.get(I16, a + 2L * i) << 16);
                }
            }
            case Q4_0, Q4_1 -> readNibbles(tensor, a, out, at);
            case Q8_0 -> {
                for (int i = 0; i < cols; i++) {
                    long block = a + i / 32 * 34L;
                    out[at + i] = data.get(ValueLayout.JAVA_BYTE, block + 2 + i % 32) * half(data, block);
                }
            }
        }
    }

    private static void readNibbles(Tensor tensor, long a, float[] out, int at) {
        MemorySegment data = tensor.data();
        boolean min = tensor.type() == TensorType.Q4_1;
        for (int b = 0; b < tensor.cols() / 32; b++) {
            long block = a + (long) b * tensor.type().blockBytes();
            float d = half(data, block);
            float m = min ? half(data, block + 2) : -8 * d;
            long nibbles = block + (min ? 4 : 2);
            for (int i = 0; i < 16; i++) {
                int q = data.get(ValueLayout.JAVA_BYTE, nibbles + i);
                out[at + 32 * b + i] = Math.fma((float) (q & 15), d, m);
                out[at + 32 * b + 16 + i] = Math.fma((float) (q >> 4 & 15), d, m);
            }
        }
    }

    private static float half(MemorySegment data, long at) {
        return Float.float16ToFloat(data.get(I16, at));
    }
}
