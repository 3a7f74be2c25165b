package io.tandem.compute.cpu;

import io.tandem.weights.Tensor;
import io.tandem.weights.TensorType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * A weight matrix where it lies, in the mapped file: {@code rows} output features of {@code cols} inputs, still quantised.
 * Kernels read it by absolute address, which spares them a bounds check per load; the constructor checks the size once, and
 * the reference to the tensor's segment keeps the mapping alive.
 */
final class Matrix {
    /** All memory. Addresses come from live segments only. */
    static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    static final ValueLayout.OfShort F16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    final TensorType type;
    final int rows;
    final int cols;
    final long address;
    final long rowBytes;
    private final MemorySegment data;
    private PackedMatrix packed;

    Matrix(Tensor tensor) {
        type = tensor.type();
        rows = tensor.rows();
        cols = tensor.cols();
        rowBytes = tensor.rowBytes();
        data = tensor.data();
        address = data.address();
        if (!data.isNative() || data.byteSize() < rowBytes * rows) {
            throw new IllegalArgumentException("tensor '" + tensor.name() + "' has " + data.byteSize()
                    + " bytes of off-heap memory; its shape needs " + rowBytes * rows);
        }
    }

    /** The copy in vector order, if one was made. */
    PackedMatrix packed() {
        return packed;
    }

    void pack(PackedMatrix copy) {
        packed = copy;
    }

    long rowAddress(int row) {
        return address + row * rowBytes;
    }

    /** Dequantises one row, element by element: the definition that every kernel must agree with. */
    void readRow(int row, float[] out, int at) {
        long a = rowAddress(row);
        switch (type) {
            case F32 -> {
                for (int i = 0; i < cols; i++) {
                    out[at + i] = MEMORY.get(F32, a + 4L * i);
                }
            }
            case F16 -> {
                for (int i = 0; i < cols; i++) {
                    out[at + i] = half(a + 2L * i);
                }
            }
            case BF16 -> {
                for (int i = 0; i < cols; i++) {
                    out[at + i] = Float.intBitsToFloat(MEMORY.get(F16, a + 2L * i) << 16);
                }
            }
            case Q4_0, Q4_1 -> readNibbles(a, out, at);
            case Q8_0 -> {
                for (int i = 0; i < cols; i++) {
                    long block = a + i / 32 * 34L;
                    out[at + i] = MEMORY.get(ValueLayout.JAVA_BYTE, block + 2 + i % 32) * half(block);
                }
            }
        }
    }

    private void readNibbles(long a, float[] out, int at) {
        boolean min = type == TensorType.Q4_1;
        for (int b = 0; b < cols / 32; b++) {
            long block = a + (long) b * type.blockBytes();
            float d = half(block);
            float m = min ? half(block + 2) : -8 * d;
            long nibbles = block + (min ? 4 : 2);
            for (int i = 0; i < 16; i++) {
                int q = MEMORY.get(ValueLayout.JAVA_BYTE, nibbles + i);
                out[at + 32 * b + i] = Math.fma((float) (q & 15), d, m);
                out[at + 32 * b + 16 + i] = Math.fma((float) (q >> 4 & 15), d, m);
            }
        }
    }

    /** A float16 at an address. */
    static float half(long at) {
        return Float.float16ToFloat(MEMORY.get(F16, at));
    }
}
