package io.tandem.compute.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Products with a {@link PackedMatrix}. One rule for every sum: {@code sum = fma(w[k], x[k], sum)} from 0 for k = 0, 1, 2,
 * ... in float32, one lane an output feature. The kernel for one row decodes weights as it goes; the kernels for many rows
 * decode a panel once; both decode by the same operations, so a row's result is the same bits in any batch.
 *
 * <p>Three rules keep the compiler from boxing vectors (20 times slower): no lane conversions, whose library code is too deep
 * to inline several times in one loop, few operations a method, and what returns a vector is in {@link PackedLanes}. So an integer q becomes a float by putting its bits
 * into the mantissa of 1: {@code 1 + q/16}, with the scale and offset adapted.
 *
 * <p>A panel is 32 features on every machine; a kernel takes two vectors of it, so narrower hardware makes more passes and
 * gets the same bits.
 */
final class PackedKernels {
    private static final VectorSpecies<Float> FLOATS = VectorUnit.FLOATS;
    private static final int WIDTH = VectorUnit.WIDTH;
    private static final int PANEL = PackedMatrix.PANEL;
    private static final int ONE = 0x3f800000;
    private static final int NIBBLE = 0x780000;
    private static final int BYTE = 0x7f8000;

    /** Floats of scratch for the sums of a tile: 8 rows of a panel. */
    static final int SUMS = 8 * PANEL;

    private PackedKernels() {}

    /** One activation row, from {@code x[at]}, against a panel; the 32 sums go to {@code sums[0]} on. */
    static void multiplyRow(PackedMatrix w, int panel, float[] x, int at, float[] sums) {
        for (int lane = 0; lane < PANEL; lane += 2 * WIDTH) {
            long a = w.laneAddress(panel, lane);
            long b = w.laneAddress(panel, lane + WIDTH);
            switch (w.form) {
                case NIBBLES -> rowNibbles(a, b, w.cols, x, at, sums, lane);
                case BYTES -> rowBytes(a, b, w.cols, x, at, sums, lane);
                case PAIRS -> rowPairs(a, b, w.cols, x, at, sums, lane);
                case FLOATS -> rowFloats(a, b, w.cols, x, at, sums, lane);
            }
        }
    }

    /** Decodes a panel to float32, [cols][32]. */
    static void decode(PackedMatrix w, int panel, float[] out) {
        for (int lane = 0; lane < PANEL; lane += WIDTH) {
            long a = w.laneAddress(panel, lane);
            switch (w.form) {
                case NIBBLES -> decodeNibbles(a, w.cols, out, lane);
                case BYTES -> decodeBytes(a, w.cols, out, lane);
                case PAIRS -> decodePairs(a, w.cols, out, lane);
                case FLOATS -> decodeFloats(a, w.cols, out, lane);
            }
        }
    }

    private static void decodeFloats(long group, int cols, float[] out, int to) {
        for (int k = 0; k < cols; k++) {
            PackedLanes.floats(group + 64L * k).intoArray(out, k * PANEL + to);
        }
    }

    private static void rowNibbles(long groupA, long groupB, int cols, float[] x, int at, float[] sums, int to) {
        IntVector mask = PackedLanes.ints(NIBBLE);
        IntVector one = PackedLanes.ints(ONE);
        FloatVector sumA = PackedLanes.zero();
        FloatVector sumB = sumA;
        long a = groupA;
        long b = groupB;
        int k = at;
        for (int block = 0; block < cols; block += 32) {
            IntVector scalesA = PackedLanes.words(a);
            IntVector scalesB = PackedLanes.words(b);
            FloatVector dA = PackedLanes.nibbleScale(scalesA);
            FloatVector dB = PackedLanes.nibbleScale(scalesB);
            FloatVector mA = PackedLanes.nibbleOffset(scalesA, dA);
            FloatVector mB = PackedLanes.nibbleOffset(scalesB, dB);
            for (int w = 1; w <= 4; w++) {
                IntVector qA = PackedLanes.words(a + 64L * w);
                IntVector qB = PackedLanes.words(b + 64L * w);
                for (int i = 0; i < 8; i++) {
                    FloatVector v = FloatVector.broadcast(FLOATS, x[k++]);
                    sumA = PackedLanes.nibble(qA, mask, one).fma(dA, mA).fma(v, sumA);
                    sumB = PackedLanes.nibble(qB, mask, one).fma(dB, mB).fma(v, sumB);
                    qA = qA.lanewise(VectorOperators.LSHR, 4);
                    qB = qB.lanewise(VectorOperators.LSHR, 4);
                }
            }
            a += 320;
            b += 320;
        }
        sumA.intoArray(sums, to);
        sumB.intoArray(sums, to + WIDTH);
    }

    private static void decodeNibbles(long group, int cols, float[] out, int to) {
        IntVector mask = PackedLanes.ints(NIBBLE);
        IntVector one = PackedLanes.ints(ONE);
        long a = group;
        int at = to;
        for (int block = 0; block < cols; block += 32) {
            IntVector scales = PackedLanes.words(a);
            FloatVector d = PackedLanes.nibbleScale(scales);
            FloatVector m = PackedLanes.nibbleOffset(scales, d);
            for (int w = 1; w <= 4; w++) {
                IntVector q = PackedLanes.words(a + 64L * w);
                for (int i = 0; i < 8; i++) {
                    PackedLanes.nibble(q, mask, one).fma(d, m).intoArray(out, at);
                    q = q.lanewise(VectorOperators.LSHR, 4);
                    at += PANEL;
                }
            }
            a += 320;
        }
    }

    private static void rowBytes(long groupA, long groupB, int cols, float[] x, int at, float[] sums, int to) {
        IntVector mask = PackedLanes.ints(BYTE);
        IntVector one = PackedLanes.ints(ONE);
        FloatVector sumA = PackedLanes.zero();
        FloatVector sumB = sumA;
        long a = groupA;
        long b = groupB;
        int k = at;
        for (int block = 0; block < cols; block += 32) {
            FloatVector dA = PackedLanes.floats(a).mul(256f);
            FloatVector dB = PackedLanes.floats(b).mul(256f);
            FloatVector mA = dA.mul(-1.5f);
            FloatVector mB = dB.mul(-1.5f);
            for (int w = 1; w <= 8; w++) {
                IntVector qA = PackedLanes.words(a + 64L * w);
                IntVector qB = PackedLanes.words(b + 64L * w);
                for (int i = 0; i < 4; i++) {
                    FloatVector v = FloatVector.broadcast(FLOATS, x[k++]);
                    sumA = PackedLanes.lowByte(qA, mask, one).fma(dA, mA).fma(v, sumA);
                    sumB = PackedLanes.lowByte(qB, mask, one).fma(dB, mB).fma(v, sumB);
                    qA = qA.lanewise(VectorOperators.LSHR, 8);
                    qB = qB.lanewise(VectorOperators.LSHR, 8);
                }
            }
            a += 576;
            b += 576;
        }
        sumA.intoArray(sums, to);
        sumB.intoArray(sums, to + WIDTH);
    }

    private static void decodeBytes(long group, int cols, float[] out, int to) {
        IntVector mask = PackedLanes.ints(BYTE);
        IntVector one = PackedLanes.ints(ONE);
        long a = group;
        int at = to;
        for (int block = 0; block < cols; block += 32) {
            FloatVector d = PackedLanes.floats(a).mul(256f);
            FloatVector m = d.mul(-1.5f);
            for (int w = 1; w <= 8; w++) {
                IntVector q = PackedLanes.words(a + 64L * w);
                for (int i = 0; i < 4; i++) {
                    PackedLanes.lowByte(q, mask, one).fma(d, m).intoArray(out, at);
                    q = q.lanewise(VectorOperators.LSHR, 8);
                    at += PANEL;
                }
            }
            a += 576;
        }
    }

    private static void rowPairs(long groupA, long groupB, int cols, float[] x, int at, float[] sums, int to) {
        FloatVector sumA = PackedLanes.zero();
        FloatVector sumB = sumA;
        for (int k = 0; k < cols; k += 2) {
            IntVector qA = PackedLanes.words(groupA + 32L * k);
            IntVector qB = PackedLanes.words(groupB + 32L * k);
            FloatVector v = FloatVector.broadcast(FLOATS, x[at + k]);
            sumA = PackedLanes.first(qA).fma(v, sumA);
            sumB = PackedLanes.first(qB).fma(v, sumB);
            v = FloatVector.broadcast(FLOATS, x[at + k + 1]);
            sumA = PackedLanes.second(qA).fma(v, sumA);
            sumB = PackedLanes.second(qB).fma(v, sumB);
        }
        sumA.intoArray(sums, to);
        sumB.intoArray(sums, to + WIDTH);
    }

    private static void decodePairs(long group, int cols, float[] out, int to) {
        for (int k = 0; k < cols; k += 2) {
            IntVector q = PackedLanes.words(group + 32L * k);
            PackedLanes.first(q).intoArray(out, k * PANEL + to);
            PackedLanes.second(q).intoArray(out, (k + 1) * PANEL + to);
        }
    }

    private static void rowFloats(long groupA, long groupB, int cols, float[] x, int at, float[] sums, int to) {
        FloatVector sumA = PackedLanes.zero();
        FloatVector sumB = sumA;
        for (int k = 0; k < cols; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[at + k]);
            sumA = PackedLanes.floats(groupA + 64L * k).fma(v, sumA);
            sumB = PackedLanes.floats(groupB + 64L * k).fma(v, sumB);
        }
        sumA.intoArray(sums, to);
        sumB.intoArray(sums, to + WIDTH);
    }

    /** One row against the two vectors of a decoded panel from {@code lane} on. */
    static void tile1(float[] panel, int lane, int cols, float[] x, int at, float[] sums) {
        FloatVector sumA = PackedLanes.zero();
        FloatVector sumB = sumA;
        for (int k = 0; k < cols; k++) {
            FloatVector v = FloatVector.broadcast(FLOATS, x[at + k]);
            sumA = FloatVector.fromArray(FLOATS, panel, k * PANEL + lane).fma(v, sumA);
            sumB = FloatVector.fromArray(FLOATS, panel, k * PANEL + lane + WIDTH)
                    .fma(v, sumB);
        }
        sumA.intoArray(sums, lane);
        sumB.intoArray(sums, lane + WIDTH);
    }

    /** Four rows against the two vectors from {@code lane} on; sums[row * 32 + feature]. */
    static void tile4(float[] panel, int lane, int cols, float[] x, int at, float[] sums) {
        FloatVector a0 = PackedLanes.zero();
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
            FloatVector a = FloatVector.fromArray(FLOATS, panel, k * PANEL + lane);
            FloatVector b = FloatVector.fromArray(FLOATS, panel, k * PANEL + lane + WIDTH);
            FloatVector v = FloatVector.broadcast(FLOATS, x[at + k]);
            a0 = a.fma(v, a0);
            b0 = b.fma(v, b0);
            v = FloatVector.broadcast(FLOATS, x[x1 + k]);
            a1 = a.fma(v, a1);
            b1 = b.fma(v, b1);
            v = FloatVector.broadcast(FLOATS, x[x2 + k]);
            a2 = a.fma(v, a2);
            b2 = b.fma(v, b2);
            v = FloatVector.broadcast(FLOATS, x[x3 + k]);
            a3 = a.fma(v, a3);
            b3 = b.fma(v, b3);
        }
        a0.intoArray(sums, lane);
        b0.intoArray(sums, lane + WIDTH);
        a1.intoArray(sums, PANEL + lane);
        b1.intoArray(sums, PANEL + lane + WIDTH);
        a2.intoArray(sums, 2 * PANEL + lane);
        b2.intoArray(sums, 2 * PANEL + lane + WIDTH);
        a3.intoArray(sums, 3 * PANEL + lane);
        b3.intoArray(sums, 3 * PANEL + lane + WIDTH);
    }

    /** Eight rows against the two vectors from {@code lane} on; sums[row * 32 + feature]. */
    static void tile8(float[] panel, int lane, int cols, float[] x, int at, float[] sums) {
        FloatVector a0 = PackedLanes.zero();
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
            FloatVector a = FloatVector.fromArray(FLOATS, panel, k * PANEL + lane);
            FloatVector b = FloatVector.fromArray(FLOATS, panel, k * PANEL + lane + WIDTH);
            FloatVector v = FloatVector.broadcast(FLOATS, x[at + k]);
            a0 = a.fma(v, a0);
            b0 = b.fma(v, b0);
            v = FloatVector.broadcast(FLOATS, x[at + cols + k]);
            a1 = a.fma(v, a1);
            b1 = b.fma(v, b1);
            v = FloatVector.broadcast(FLOATS, x[at + 2 * cols + k]);
            a2 = a.fma(v, a2);
            b2 = b.fma(v, b2);
            v = FloatVector.broadcast(FLOATS, x[at + 3 * cols + k]);
            a3 = a.fma(v, a3);
            b3 = b.fma(v, b3);
            v = FloatVector.broadcast(FLOATS, x[at + 4 * cols + k]);
            a4 = a.fma(v, a4);
            b4 = b.fma(v, b4);
            v = FloatVector.broadcast(FLOATS, x[at + 5 * cols + k]);
            a5 = a.fma(v, a5);
            b5 = b.fma(v, b5);
            v = FloatVector.broadcast(FLOATS, x[at + 6 * cols + k]);
            a6 = a.fma(v, a6);
            b6 = b.fma(v, b6);
            v = FloatVector.broadcast(FLOATS, x[at + 7 * cols + k]);
            a7 = a.fma(v, a7);
            b7 = b.fma(v, b7);
        }
        a0.intoArray(sums, lane);
        b0.intoArray(sums, lane + WIDTH);
        a1.intoArray(sums, PANEL + lane);
        b1.intoArray(sums, PANEL + lane + WIDTH);
        a2.intoArray(sums, 2 * PANEL + lane);
        b2.intoArray(sums, 2 * PANEL + lane + WIDTH);
        a3.intoArray(sums, 3 * PANEL + lane);
        b3.intoArray(sums, 3 * PANEL + lane + WIDTH);
        a4.intoArray(sums, 4 * PANEL + lane);
        b4.intoArray(sums, 4 * PANEL + lane + WIDTH);
        a5.intoArray(sums, 5 * PANEL + lane);
        b5.intoArray(sums, 5 * PANEL + lane + WIDTH);
        a6.intoArray(sums, 6 * PANEL + lane);
        b6.intoArray(sums, 6 * PANEL + lane + WIDTH);
        a7.intoArray(sums, 7 * PANEL + lane);
        b7.intoArray(sums, 7 * PANEL + lane + WIDTH);
    }
}
