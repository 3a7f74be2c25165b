package io.tandem.compute.cpu;

import io.tandem.weights.TensorType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;

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
        pack(source);
    }

    private PackedMatrix(PackedMatrix whole, int inputs) {
        form = whole.form;
        rows = whole.rows;
        cols = inputs;
        groupBytes = whole.groupBytes;
        address = whole.address;
    }

    /** The same weights as if they ended after some inputs, a multiple of 32. */
    PackedMatrix firstInputs(int inputs) {
        return new PackedMatrix(this, Math.min(inputs, cols));
    }

    /** Group by group through arrays, which are fast before the compiler has seen them, as all this is at a start. */
    private void pack(Matrix source) {
        int[] group = new int[(int) (groupBytes / 4)];
        short[] row = new short[(int) (source.rowBytes / 2)];
        float[] values = form == Form.FLOATS ? new float[cols] : null;
        for (int o = 0; o < rows; o++) {
            int lane = o % LANES;
            if (form == Form.FLOATS) {
                source.readRow(o, values, 0);
                for (int k = 0; k < cols; k++) {
                    group[k * LANES + lane] = Float.floatToRawIntBits(values[k]);
                }
            } else {
                MemorySegment.copy(Matrix.MEMORY, I16, source.rowAddress(o), row, 0, row.length);
                switch (form) {
                    case NIBBLES -> packNibbles(row, source.type == TensorType.Q4_1, group, lane);
                    case BYTES -> packBytes(row, group, lane);
                    default -> packPairs(row, group, lane);
                }
            }
            if (lane == LANES - 1 || o == rows - 1) {
                MemorySegment.copy(group, 0, Matrix.MEMORY, I32, address + o / LANES * groupBytes, group.length);
                Arrays.fill(group, 0);
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

    /** Blocks of d, m with a minimum, and 16 bytes: inputs 0 to 15 in the low nibbles, 16 to 31 in the high ones. */
    private void packNibbles(short[] row, boolean min, int[] group, int lane) {
        int from = 0;
        for (int to = lane; to < group.length; to += 5 * LANES) {
            int d = row[from++];
            // -8 d is exact in float16: a shift of the exponent.
            int m = min ? row[from++] : Float.floatToFloat16(-8 * Float.float16ToFloat((short) d));
            long low = fourShorts(row, from);
            long high = fourShorts(row, from + 4);
            group[to] = d & 0xffff | m << 16;
            group[to + LANES] = lowNibbles(low);
            group[to + 2 * LANES] = lowNibbles(high);
            group[to + 3 * LANES] = lowNibbles(low >>> 4);
            group[to + 4 * LANES] = lowNibbles(high >>> 4);
            from += 8;
        }
    }

    private static long fourShorts(short[] row, int at) {
        int low = row[at] & 0xffff | row[at + 1] << 16;
        int high = row[at + 2] & 0xffff | row[at + 3] << 16;
        return low & 0xffffffffL | (long) high << 32;
    }

    /** The low nibbles of 8 bytes, one after the other. */
    private static int lowNibbles(long bytes) {
        long x = bytes & 0x0f0f0f0f0f0f0f0fL;
        x = (x | x >>> 4) & 0x00ff00ff00ff00ffL;
        x = (x | x >>> 8) & 0x0000ffff0000ffffL;
        return (int) (x | x >>> 16);
    }

    private static void packBytes(short[] row, int[] group, int lane) {
        int from = 0;
        for (int to = lane; to < group.length; to += 9 * LANES) {
            group[to] = Float.floatToRawIntBits(Float.float16ToFloat(row[from++]));
            for (int w = 1; w <= 8; w++) {
                // Adding 128 to a signed byte flips its top bit.
                group[to + w * LANES] = (row[from] & 0xffff | row[from + 1] << 16) ^ 0x80808080;
                from += 2;
            }
        }
    }

    private static void packPairs(short[] row, int[] group, int lane) {
        for (int k = 0; k < row.length; k += 2) {
            group[k / 2 * LANES + lane] = row[k] & 0xffff | row[k + 1] << 16;
        }
    }
}
