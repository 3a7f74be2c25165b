package io.tandem.compute.cpu;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Products with a {@link PackedMatrix}. One rule for every sum: {@code sum = fma(w[k], x[k], sum)} from 0 for k = 0, 1, 2,
 * ... in float32, one lane an output feature. The kernel for one row decodes weights as it goes; the kernels for many rows
 * decode a panel once; both decode by the same operations, so a row's result is the same bits in any batch.
 *
 * <p>Two rules keep the compiler from boxing vectors (20 times slower): no lane conversions, whose library code is too deep
 * to inline several times in one loop, and few operations a method. So an integer q becomes a float by putting its bits
 * into the mantissa of 1: {@code 1 + q/16}, with the scale and offset adapted.
 */
final class PackedKernels {
    private static final int LANES = PackedMatrix.LANES;
    private static final int PANEL = PackedMatrix.PANEL;
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
    private static final int ONE = 0x3f800000;
    private static final int NIBBLE = 0x780000;
    private static final int BYTE = 0x7f8000;
    /** 2^112: moves the exponent of a float16's bits, placed as a float32, to where it belongs. */
    private static final float HALF_BIAS = 5.192296858534828e33f;

    /** Floats of scratch for the sums of a tile: 8 rows of a panel. */
    static final int SUMS = 8 * PANEL;

    private PackedKernels() {}

    /** One activation row, from {@code x[at]}, against a panel; the 32 sums go to {@code sums[0]} on. */
    static void multiplyRow(PackedMatrix w, int panel, float[] x, int at, float[] sums) {
        long a = w.panelAddress(panel);
        long b = a + w.groupBytes;
        switch (w.form) {
            case NIBBLES -> rowNibbles(a, b, w.cols, x, at, sums);
            case BYTES -> rowBytes(a, b, w.cols, x, at, sums);
            case PAIRS -> rowPairs(a, b, w.cols, x, at, sums);
            case FLOATS -> rowFloats(a, b, w.cols, x, at, sums);
        }
    }

    /** Decodes a panel to float32, [cols][32]. */
    static void decode(PackedMatrix w, int panel, float[] out) {
        for (int g = 0; g < 2; g++) {
            long a = w.panelAddress(panel) + g * w.groupBytes;
            switch (w.form) {
                case NIBBLES -> decodeNibbles(a, w.cols, out, g * LANES);
                case BYTES -> decodeBytes(a, w.cols, out, g * LANES);
                case PAIRS -> decodePairs(a, w.cols, out, g * LANES);
                case FLOATS -> {
                    for (int k = 0; k < w.cols; k++) {
                        floats(a + 64L * k).intoArray(out, k * PANEL + g * LANES);
                    }
                }
            }
        }
    }

    private static IntVector words(long address) {
        return IntVector.fromMemorySegment(IntVector.SPECIES_512, Matrix.MEMORY, address, LE);
    }

    private static FloatVector floats(long address) {
        return FloatVector.fromMemorySegment(FloatVector.SPECIES_512, Matrix.MEMORY, address, LE);
    }

    private static IntVector ints(int value) {
        return IntVector.broadcast(IntVector.SPECIES_512, value);
    }

    private static FloatVector zero() {
        return FloatVector.zero(FloatVector.SPECIES_512);
    }

    /** Float16 in the upper half of each word, as float32; exact for all finite values. */
    private static FloatVector upperHalves(IntVector words) {
        return words.lanewise(VectorOperators.ASHR, 3)
                .and(0x8fffe000)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
    }

    /** Scale of {@code 1 + q/16}. */
    private static FloatVector nibbleScale(IntVector scales) {
        return upperHalves(scales.lanewise(VectorOperators.LSHL, 16)).mul(16f);
    }

    /** Offset that goes with it: m - 16 d. */
    private static FloatVector nibbleOffset(IntVector scales, FloatVector scale) {
        return upperHalves(scales).sub(scale);
    }

    /** {@code 1 + q/16} of the nibble in bits 0 to 3. */
    private static FloatVector nibble(IntVector words, IntVector mask, IntVector one) {
        return words.lanewise(VectorOperators.LSHL, 19).and(mask).or(one).reinterpretAsFloats();
    }

    private static void rowNibbles(long groupA, long groupB, int cols, float[] x, int at, float[] sums) {
        IntVector mask = ints(NIBBLE);
        IntVector one = ints(ONE);
        FloatVector sumA = zero();
        FloatVector sumB = sumA;
        long a = groupA;
        long b = groupB;
        int k = at;
        for (int block = 0; block < cols; block += 32) {
            IntVector scalesA = words(a);
            IntVector scalesB = words(b);
            FloatVector dA = nibbleScale(scalesA);
            FloatVector dB = nibbleScale(scalesB);
            FloatVector mA = nibbleOffset(scalesA, dA);
            FloatVector mB = nibbleOffset(scalesB, dB);
            for (int w = 1; w <= 4; w++) {
                IntVector qA = words(a + 64L * w);
                IntVector qB = words(b + 64L * w);
                for (int i = 0; i < 8; i++) {
                    FloatVector v = FloatVector.broadcast(FloatVector.SPECIES_512, x[k++]);
                    sumA = nibble(qA, mask, one).fma(dA, mA).fma(v, sumA);
                    sumB = nibble(qB, mask, one).fma(dB, mB).fma(v, sumB);
                    qA = qA.lanewise(VectorOperators.LSHR, 4);
                    qB = qB.lanewise(VectorOperators.LSHR, 4);
                }
            }
            a += 320;
            b += 320;
        }
        sumA.intoArray(sums, 0);
        sumB.intoArray(sums, LANES);
    }

    private static void decodeNibbles(long group, int cols, float[] out, int to) {
        IntVector mask = ints(NIBBLE);
        IntVector one = ints(ONE);
        long a = group;
        int at = to;
        for (int block = 0; block < cols; block += 32) {
            IntVector scales = words(a);
            FloatVector d = nibbleScale(scales);
            FloatVector m = nibbleOffset(scales, d);
            for (int w = 1; w <= 4; w++) {
                IntVector q = words(a + 64L * w);
                for (int i = 0; i < 8; i++) {
                    nibble(q, mask, one).fma(d, m).intoArray(out, at);
                    q = q.lanewise(VectorOperators.LSHR, 4);
                    at += PANEL;
                }
            }
            a += 320;
        }
    }

    /** {@code 1 + u/256} of the byte in bits 0 to 7; the scale is 256 d, the offset -384 d. */
    private static FloatVector lowByte(IntVector words, IntVector mask, IntVector one) {
        return words.lanewise(VectorOperators.LSHL, 15).and(mask).or(one).reinterpretAsFloats();
    }

    private static void rowBytes(long groupA, long groupB, int cols, float[] x, int at, float[] sums) {
        IntVector mask = ints(BYTE);
        IntVector one = ints(ONE);
        FloatVector sumA = zero();
        FloatVector sumB = sumA;
        long a = groupA;
        long b = groupB;
        int k = at;
        for (int block = 0; block < cols; block += 32) {
            FloatVector dA = floats(a).mul(256f);
            FloatVector dB = floats(b).mul(256f);
            FloatVector mA = dA.mul(-1.5f);
            FloatVector mB = dB.mul(-1.5f);
            for (int w = 1; w <= 8; w++) {
                IntVector qA = words(a + 64L * w);
                IntVector qB = words(b + 64L * w);
                for (int i = 0; i < 4; i++) {
                    FloatVector v = FloatVector.broadcast(FloatVector.SPECIES_512, x[k++]);
                    sumA = lowByte(qA, mask, one).fma(dA, mA).fma(v, sumA);
                    sumB = lowByte(qB, mask, one).fma(dB, mB).fma(v, sumB);
                    qA = qA.lanewise(VectorOperators.LSHR, 8);
                    qB = qB.lanewise(VectorOperators.LSHR, 8);
                }
            }
            a += 576;
            b += 576;
        }
        sumA.intoArray(sums, 0);
        sumB.intoArray(sums, LANES);
    }

    private static void decodeBytes(long group, int cols, float[] out, int to) {
        IntVector mask = ints(BYTE);
        IntVector one = ints(ONE);
        long a = group;
        int at = to;
        for (int block = 0; block < cols; block += 32) {
            FloatVector d = floats(a).mul(256f);
            FloatVector m = d.mul(-1.5f);
            for (int w = 1; w <= 8; w++) {
                IntVector q = words(a + 64L * w);
                for (int i = 0; i < 4; i++) {
                    lowByte(q, mask, one).fma(d, m).intoArray(out, at);
                    q = q.lanewise(VectorOperators.LSHR, 8);
                    at += PANEL;
                }
            }
            a += 576;
        }
    }

    private static FloatVector first(IntVector pairs) {
        return pairs.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
    }

    private static FloatVector second(IntVector pairs) {
        return pairs.and(0xffff0000).reinterpretAsFloats();
    }

    private static void rowPairs(long groupA, long groupB, int cols, float[] x, int at, float[] sums) {
        FloatVector sumA = zero();
        FloatVector sumB = sumA;
        for (int k = 0; k < cols; k += 2) {
            IntVector qA = words(groupA + 32L * k);
            IntVector qB = words(groupB + 32L * k);
            FloatVector v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + k]);
            sumA = first(qA).fma(v, sumA);
            sumB = first(qB).fma(v, sumB);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + k + 1]);
            sumA = second(qA).fma(v, sumA);
            sumB = second(qB).fma(v, sumB);
        }
        sumA.intoArray(sums, 0);
        sumB.intoArray(sums, LANES);
    }

    private static void decodePairs(long group, int cols, float[] out, int to) {
        for (int k = 0; k < cols; k += 2) {
            IntVector q = words(group + 32L * k);
            first(q).intoArray(out, k * PANEL + to);
            second(q).intoArray(out, (k + 1) * PANEL + to);
        }
    }

    private static void rowFloats(long groupA, long groupB, int cols, float[] x, int at, float[] sums) {
        FloatVector sumA = zero();
        FloatVector sumB = sumA;
        for (int k = 0; k < cols; k++) {
            FloatVector v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + k]);
            sumA = floats(groupA + 64L * k).fma(v, sumA);
            sumB = floats(groupB + 64L * k).fma(v, sumB);
        }
        sumA.intoArray(sums, 0);
        sumB.intoArray(sums, LANES);
    }

    /** One row against a decoded panel. */
    static void tile1(float[] panel, int cols, float[] x, int at, float[] sums) {
        FloatVector sumA = zero();
        FloatVector sumB = sumA;
        for (int k = 0; k < cols; k++) {
            FloatVector v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + k]);
            sumA = FloatVector.fromArray(FloatVector.SPECIES_512, panel, k * PANEL)
                    .fma(v, sumA);
            sumB = FloatVector.fromArray(FloatVector.SPECIES_512, panel, k * PANEL + LANES)
                    .fma(v, sumB);
        }
        sumA.intoArray(sums, 0);
        sumB.intoArray(sums, LANES);
    }

    /** Four rows against a decoded panel; sums[row * 32 + feature]. */
    static void tile4(float[] panel, int cols, float[] x, int at, float[] sums) {
        FloatVector a0 = zero();
        FloatVector b0 = a0;
        FloatVector a1 = a0;
        FloatVector b1 = a0;
        FloatVector a2 = a0;
        FloatVector b2 = a0;
        FloatVector a3 = a0;
        FloatVector b3 = a0;
        int x1 = at + cols;
        int x2 = x1 + cols;
        int x3 = x2 + cols;
        for (int k = 0; k < cols; k++) {
            FloatVector a = FloatVector.fromArray(FloatVector.SPECIES_512, panel, k * PANEL);
            FloatVector b = FloatVector.fromArray(FloatVector.SPECIES_512, panel, k * PANEL + LANES);
            FloatVector v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + k]);
            a0 = a.fma(v, a0);
            b0 = b.fma(v, b0);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[x1 + k]);
            a1 = a.fma(v, a1);
            b1 = b.fma(v, b1);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[x2 + k]);
            a2 = a.fma(v, a2);
            b2 = b.fma(v, b2);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[x3 + k]);
            a3 = a.fma(v, a3);
            b3 = b.fma(v, b3);
        }
        a0.intoArray(sums, 0);
        b0.intoArray(sums, LANES);
        a1.intoArray(sums, PANEL);
        b1.intoArray(sums, PANEL + LANES);
        a2.intoArray(sums, 2 * PANEL);
        b2.intoArray(sums, 2 * PANEL + LANES);
        a3.intoArray(sums, 3 * PANEL);
        b3.intoArray(sums, 3 * PANEL + LANES);
    }

    /** Eight rows against a decoded panel; sums[row * 32 + feature]. */
    static void tile8(float[] panel, int cols, float[] x, int at, float[] sums) {
        FloatVector a0 = zero();
        FloatVector b0 = a0;
        FloatVector a1 = a0;
        FloatVector b1 = a0;
        FloatVector a2 = a0;
        FloatVector b2 = a0;
        FloatVector a3 = a0;
        FloatVector b3 = a0;
        FloatVector a4 = a0;
        FloatVector b4 = a0;
        FloatVector a5 = a0;
        FloatVector b5 = a0;
        FloatVector a6 = a0;
        FloatVector b6 = a0;
        FloatVector a7 = a0;
        FloatVector b7 = a0;
        for (int k = 0; k < cols; k++) {
            FloatVector a = FloatVector.fromArray(FloatVector.SPECIES_512, panel, k * PANEL);
            FloatVector b = FloatVector.fromArray(FloatVector.SPECIES_512, panel, k * PANEL + LANES);
            FloatVector v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + k]);
            a0 = a.fma(v, a0);
            b0 = b.fma(v, b0);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + cols + k]);
            a1 = a.fma(v, a1);
            b1 = b.fma(v, b1);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + 2 * cols + k]);
            a2 = a.fma(v, a2);
            b2 = b.fma(v, b2);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + 3 * cols + k]);
            a3 = a.fma(v, a3);
            b3 = b.fma(v, b3);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + 4 * cols + k]);
            a4 = a.fma(v, a4);
            b4 = b.fma(v, b4);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + 5 * cols + k]);
            a5 = a.fma(v, a5);
            b5 = b.fma(v, b5);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + 6 * cols + k]);
            a6 = a.fma(v, a6);
            b6 = b.fma(v, b6);
            v = FloatVector.broadcast(FloatVector.SPECIES_512, x[at + 7 * cols + k]);
            a7 = a.fma(v, a7);
            b7 = b.fma(v, b7);
        }
        store(a0, b0, sums, 0);
        store(a1, b1, sums, 1);
        store(a2, b2, sums, 2);
        store(a3, b3, sums, 3);
        store(a4, b4, sums, 4);
        store(a5, b5, sums, 5);
        store(a6, b6, sums, 6);
        store(a7, b7, sums, 7);
    }

    private static void store(FloatVector a, FloatVector b, float[] sums, int row) {
        a.intoArray(sums, row * PANEL);
        b.intoArray(sums, row * PANEL + LANES);
    }
}
