package io.tandem.compute.cpu;

import io.tandem.weights.TensorType;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * A weight matrix rearranged for the vector unit, at the same precision. Sixteen output features form a group, one a lane;
 * along a group run its inputs in order, as 32-bit words of one feature each:
 *
 * <ul>
 *   <li>{@link Form#NIBBLES} (Q4_0, Q4_1): per 32 inputs 16 words of scale (float16 d low, float16 m high), then 4 times 16
 *       words of 8 inputs, the first in the lowest bits;
 *   <li>{@link Form#BYTES} (Q8_0): per 32 inputs 16 float32 scales, then 8 times 16 words of 4 inputs, each plus 128;
 *   <li>{@link Form#PAIRS} (BF16): per 2 inputs 16 words, the first in the low half;
 *   <li>{@link Form#FLOATS} (F32, F16, BF16 of odd width): per input 16 float32.
 * </ul>
 *
 * So one load feeds 16 sums and nothing is added across lanes. Features are padded with zeros to {@link #PANEL}. The copy
 * costs the matrix's size once more, off-heap; the mapped pages it came from are clean and the system may drop them.
 */
final class PackedMatrix {
    static final int LANES = 16;
    /** Output features of a unit of work: two groups. */
    static final int PANEL = 2 * LANES;

    private static final int BLOCK = 32;
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
    private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LE);
    private static final ValueLayout.OfShort I16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LE);

    /** How a word holds its inputs. */
    enum Form {
        NIBBLES,
        BYTES,
        PAIRS,
        FLOATS
    }

    final Form form;
    final int rows;
    final int cols;
    /** Bytes of a group of 16 features. */
    final long groupBytes;

    private final long address;

    PackedMatrix(Matrix source, Arena arena) {
        rows = source.rows;
        cols = source.cols;
        form = switch (source.type) {
            case Q4_0, Q4_1 -> Form.NIBBLES;
            case Q8_0 -> Form.BYTES;
            case BF16 -> cols % 2 == 0 ? Form.PAIRS : Form.FLOATS;
            case F16, F32 -> Form.FLOATS;
        };
        groupBytes = switch (form) {
            case NIBBLES -> (long) cols / BLOCK * 320;
            case BYTES -> (long) cols / BLOCK * 576;
            case PAIRS -> cols * 2L * LANES;
            case FLOATS -> cols * 4L * LANES;
        };
        long bytes = Math.multiplyExact((long) panels(), 2 * groupBytes);
        // Zeroed by the arena: the padding's scales and weights are 0.
        address = arena.allocate(bytes, 64).address();
        float[] row = form == Form.FLOATS ? new float[cols] : null;
        for (int o = 0; o < rows; o++) {
            long to = address + o / LANES * groupBytes + 4L * (o % LANES);
            long from = source.rowAddress(o);
            switch (form) {
                case NIBBLES -> packNibbles(source.type, from, to);
                case BYTES -> packBytes(from, to);
                case PAIRS -> {
                    for (int k = 0; k < cols; k += 2) {
                        Matrix.MEMORY.set(I32, to + 32L * k, Matrix.MEMORY.get(I32, from + 2L * k));
                    }
                }
                case FLOATS -> {
                    source.readRow(o, row, 0);
                    for (int k = 0; k < cols; k++) {
                        Matrix.MEMORY.set(Matrix.F32, to + 64L * k, row[k]);
                    }
                }
            }
        }
    }

    /** Number of {@link #PANEL}s. */
    int panels() {
        return (rows + PANEL - 1) / PANEL;
    }

    /** Address of a panel's feature {@code lane}: where a vector of it and the features after it begins. */
    long laneAddress(int panel, int lane) {
        return address + (2L * panel + lane / LANES) * groupBytes + 4L * (lane % LANES);
    }

    private void packNibbles(TensorType type, long row, long to) {
        boolean min = type == TensorType.Q4_1;
        for (int b = 0; b < cols / BLOCK; b++) {
            long block = row + (long) b * type.blockBytes();
            long out = to + 320L * b;
            short d = Matrix.MEMORY.get(I16, block);
            // -8 d is exact in float16: a shift of the exponent.
            short m = min ? Matrix.MEMORY.get(I16, block + 2) : Float.floatToFloat16(-8 * Float.float16ToFloat(d));
            Matrix.MEMORY.set(I32, out, (d & 0xffff) | m << 16);
            long low = Matrix.MEMORY.get(ValueLayout.JAVA_LONG_UNALIGNED, block + (min ? 4 : 2));
            long high = Matrix.MEMORY.get(ValueLayout.JAVA_LONG_UNALIGNED, block + (min ? 12 : 10));
            Matrix.MEMORY.set(I32, out + 64, nibbles(low, 0));
            Matrix.MEMORY.set(I32, out + 128, nibbles(high, 0));
            Matrix.MEMORY.set(I32, out + 192, nibbles(low, 4));
            Matrix.MEMORY.set(I32, out + 256, nibbles(high, 4));
        }
    }

    /** The low (shift 0) or high (shift 4) nibbles of 8 bytes, one after the other. */
    private static int nibbles(long bytes, int shift) {
        int word = 0;
        for (int i = 0; i < 8; i++) {
            word |= (int) (bytes >>> (8 * i + shift) & 15) << 4 * i;
        }
        return word;
    }

    private void packBytes(long row, long to) {
        for (int b = 0; b < cols / BLOCK; b++) {
            long block = row + 34L * b;
            long out = to + 576L * b;
            Matrix.MEMORY.set(Matrix.F32, out, Matrix.half(block));
            for (int w = 0; w < 8; w++) {
                // Adding 128 to a signed byte flips its top bit.
                int word = Matrix.MEMORY.get(I32, block + 2 + 4L * w) ^ 0x80808080;
                Matrix.MEMORY.set(I32, out + 64 + 64L * w, word);
            }
        }
    }
}
