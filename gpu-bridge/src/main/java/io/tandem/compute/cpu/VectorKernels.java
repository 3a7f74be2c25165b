package io.tandem.compute.cpu;

import io.tandem.weights.TensorType;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Kernels on the Vector API. The one rule of every sum along K: lane {@code l} of a single accumulator takes the products
 * of k = l, l + 16, l + 32, ... in this order by fused multiply-add, and the 16 lanes are then added as a fixed tree
 * ({@link #reduce}). The single-row kernel and the panel kernel both follow it, so a row's result is the same bits in any
 * batch. The number of lanes is 16 on every machine; narrower hardware splits a vector in two. {@code reduceLanes} is not
 * used on floats: its order is unspecified and differs between interpreter and compiler.
 */
final class VectorKernels {
    static final int LANES = 16;
    static final VectorSpecies<Float> F16 = FloatVector.SPECIES_512;
    private static final VectorSpecies<Integer> I16 = IntVector.SPECIES_512;
    private static final VectorSpecies<Byte> B16 = ByteVector.SPECIES_128;
    private static final VectorSpecies<Short> S16 = ShortVector.SPECIES_256;
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;
    private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LE);

    /** Accumulators a tile hands to {@link #reduce} at once, with room for the tree. */
    static final int SUMS = 16 * LANES;

    private VectorKernels() {}

    static int padded(int cols) {
        return (cols + LANES - 1) / LANES * LANES;
    }

    /** Adds the 16 lanes stored at {@code at}: halves, quarters, pairs. The only order in use. */
    static float reduce(float[] lanes, int at) {
        float a0 = lanes[at] + lanes[at + 8];
        float a1 = lanes[at + 1] + lanes[at + 9];
        float a2 = lanes[at + 2] + lanes[at + 10];
        float a3 = lanes[at + 3] + lanes[at + 11];
        float a4 = lanes[at + 4] + lanes[at + 12];
        float a5 = lanes[at + 5] + lanes[at + 13];
        float a6 = lanes[at + 6] + lanes[at + 14];
        float a7 = lanes[at + 7] + lanes[at + 15];
        return ((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7));
    }

    static boolean hasFusedKernel(Matrix w) {
        return w.type != TensorType.F32 && w.type != TensorType.F16 && w.cols % LANES == 0;
    }

    /** One activation row against weight rows {@code [first, end)}, dequantising on the way. */
    static void fused(Matrix w, int first, int end, float[] x, float[] out, boolean add, float[] sums) {
        int o = first;
        for (; o + 2 <= end; o += 2) {
            switch (w.type) {
                case Q4_1 -> fusedQ41(w, o, x, sums);
                case Q4_0 -> fusedQ40(w, o, x, sums);
                case Q8_0 -> fusedQ80(w, o, x, sums);
                default -> fusedBf16(w, o, x, sums);
            }
            put(out, o, reduce(sums, 0), add);
            put(out, o + 1, reduce(sums, LANES), add);
        }
        for (; o < end; o++) {
            put(out, o, dotRow(w, o, x, sums), add);
        }
    }

    private static void put(float[] out, int at, float value, boolean add) {
        out[at] = add ? out[at] + value : value;
    }

    // Two rows a kernel: with four, the compiler's node limit stops inlining and every vector is boxed (20 times
    // slower).

    private static void fusedQ41(Matrix w, int row, float[] x, float[] sums) {
        long p0 = w.rowAddress(row);
        long p1 = p0 + w.rowBytes;
        FloatVector a0 = FloatVector.zero(F16);
        FloatVector a1 = a0;
        for (int k = 0; k < w.cols; k += 32) {
            FloatVector x0 = FloatVector.fromArray(F16, x, k);
            FloatVector x1 = FloatVector.fromArray(F16, x, k + 16);
            IntVector q0 = bytes(p0 + 4);
            IntVector q1 = bytes(p1 + 4);
            int scales0 = Matrix.MEMORY.get(I32, p0);
            int scales1 = Matrix.MEMORY.get(I32, p1);
            FloatVector d0 = FloatVector.broadcast(F16, Float.float16ToFloat((short) scales0));
            FloatVector d1 = FloatVector.broadcast(F16, Float.float16ToFloat((short) scales1));
            FloatVector m0 = FloatVector.broadcast(F16, Float.float16ToFloat((short) (scales0 >> 16)));
            FloatVector m1 = FloatVector.broadcast(F16, Float.float16ToFloat((short) (scales1 >> 16)));
            a0 = low(q0).fma(d0, m0).fma(x0, a0);
            a1 = low(q1).fma(d1, m1).fma(x0, a1);
            a0 = high(q0).fma(d0, m0).fma(x1, a0);
            a1 = high(q1).fma(d1, m1).fma(x1, a1);
            p0 += 20;
            p1 += 20;
        }
        a0.intoArray(sums, 0);
        a1.intoArray(sums, LANES);
    }

    private static void fusedQ40(Matrix w, int row, float[] x, float[] sums) {
        long p0 = w.rowAddress(row);
        long p1 = p0 + w.rowBytes;
        FloatVector a0 = FloatVector.zero(F16);
        FloatVector a1 = a0;
        for (int k = 0; k < w.cols; k += 32) {
            FloatVector x0 = FloatVector.fromArray(F16, x, k);
            FloatVector x1 = FloatVector.fromArray(F16, x, k + 16);
            IntVector q0 = bytes(p0 + 2);
            IntVector q1 = bytes(p1 + 2);
            float s0 = Matrix.half(p0);
            float s1 = Matrix.half(p1);
            FloatVector d0 = FloatVector.broadcast(F16, s0);
            FloatVector d1 = FloatVector.broadcast(F16, s1);
            FloatVector m0 = FloatVector.broadcast(F16, -8 * s0);
            FloatVector m1 = FloatVector.broadcast(F16, -8 * s1);
            a0 = low(q0).fma(d0, m0).fma(x0, a0);
            a1 = low(q1).fma(d1, m1).fma(x0, a1);
            a0 = high(q0).fma(d0, m0).fma(x1, a0);
            a1 = high(q1).fma(d1, m1).fma(x1, a1);
            p0 += 18;
            p1 += 18;
        }
        a0.intoArray(sums, 0);
        a1.intoArray(sums, LANES);
    }

    private static void fusedQ80(Matrix w, int row, float[] x, float[] sums) {
        long p0 = w.rowAddress(row);
        long p1 = p0 + w.rowBytes;
        FloatVector a0 = FloatVector.zero(F16);
        FloatVector a1 = a0;
        for (int k = 0; k < w.cols; k += 32) {
            FloatVector x0 = FloatVector.fromArray(F16, x, k);
            FloatVector x1 = FloatVector.fromArray(F16, x, k + 16);
            FloatVector d0 = FloatVector.broadcast(F16, Matrix.half(p0));
            FloatVector d1 = FloatVector.broadcast(F16, Matrix.half(p1));
            a0 = signed(p0 + 2).mul(d0).fma(x0, a0);
            a1 = signed(p1 + 2).mul(d1).fma(x0, a1);
            a0 = signed(p0 + 18).mul(d0).fma(x1, a0);
            a1 = signed(p1 + 18).mul(d1).fma(x1, a1);
            p0 += 34;
            p1 += 34;
        }
        a0.intoArray(sums, 0);
        a1.intoArray(sums, LANES);
    }

    private static void fusedBf16(Matrix w, int row, float[] x, float[] sums) {
        long p0 = w.rowAddress(row);
        long p1 = p0 + w.rowBytes;
        FloatVector a0 = FloatVector.zero(F16);
        FloatVector a1 = a0;
        for (int k = 0; k < w.cols; k += LANES) {
            FloatVector x0 = FloatVector.fromArray(F16, x, k);
            a0 = bfloats(p0 + 2L * k).fma(x0, a0);
            a1 = bfloats(p1 + 2L * k).fma(x0, a1);
        }
        a0.intoArray(sums, 0);
        a1.intoArray(sums, LANES);
    }

    /** 16 bytes, zero-extended. */
    private static IntVector bytes(long address) {
        return (IntVector) ByteVector.fromMemorySegment(B16, Matrix.MEMORY, address, LE)
                .convertShape(VectorOperators.ZERO_EXTEND_B2I, I16, 0);
    }

    private static FloatVector low(IntVector q) {
        return (FloatVector) q.and(15).convert(VectorOperators.I2F, 0);
    }

    private static FloatVector high(IntVector q) {
        return (FloatVector) q.lanewise(VectorOperators.LSHR, 4).convert(VectorOperators.I2F, 0);
    }

    /** 16 signed bytes as floats. */
    private static FloatVector signed(long address) {
        IntVector wide = (IntVector)
                ByteVector.fromMemorySegment(B16, Matrix.MEMORY, address, LE).convertShape(VectorOperators.B2I, I16, 0);
        return (FloatVector) wide.convert(VectorOperators.I2F, 0);
    }

    /** 16 bfloat16 as floats. */
    private static FloatVector bfloats(long address) {
        IntVector bits = (IntVector) ShortVector.fromMemorySegment(S16, Matrix.MEMORY, address, LE)
                .convertShape(VectorOperators.ZERO_EXTEND_S2I, I16, 0);
        return bits.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
    }

    private static float dotRow(Matrix w, int row, float[] x, float[] sums) {
        FloatVector acc = FloatVector.zero(F16);
        long p = w.rowAddress(row);
        for (int k = 0; k < w.cols; k += LANES) {
            acc = weights(w.type, p, k).fma(FloatVector.fromArray(F16, x, k), acc);
        }
        acc.intoArray(sums, 0);
        return reduce(sums, 0);
    }

    /** Weights k .. k + 15 of the row at an address, for the types with a fused kernel. */
    private static FloatVector weights(TensorType type, long row, int k) {
        long block = row + k / 32 * (long) type.blockBytes();
        boolean upper = (k & 16) != 0;
        return switch (type) {
            case Q4_1 -> {
                FloatVector q = upper ? high(bytes(block + 4)) : low(bytes(block + 4));
                yield q.fma(
                        FloatVector.broadcast(F16, Matrix.half(block)),
                        FloatVector.broadcast(F16, Matrix.half(block + 2)));
            }
            case Q4_0 -> {
                FloatVector q = upper ? high(bytes(block + 2)) : low(bytes(block + 2));
                float d = Matrix.half(block);
                yield q.fma(FloatVector.broadcast(F16, d), FloatVector.broadcast(F16, -8 * d));
            }
            case Q8_0 -> signed(block + (upper ? 18 : 2)).mul(Matrix.half(block));
            case BF16 -> bfloats(row + 2L * k);
            default -> throw new IllegalArgumentException("no fused kernel for " + type);
        };
    }

    /** Dequantises up to four weight rows into a panel of float32, [4][padded cols], zero beyond the row's end. */
    static void loadPanel(Matrix w, int row, int height, float[] panel) {
        int stride = padded(w.cols);
        for (int i = 0; i < height; i++) {
            if (hasFusedKernel(w)) {
                loadRow(w, w.rowAddress(row + i), panel, i * stride);
            } else {
                w.readRow(row + i, panel, i * stride);
                Arrays.fill(panel, i * stride + w.cols, (i + 1) * stride, 0);
            }
        }
    }

    private static void loadRow(Matrix w, long p, float[] panel, int at) {
        switch (w.type) {
            case Q4_1 -> loadQ41(w.cols, p, panel, at);
            case Q8_0 -> loadQ80(w.cols, p, panel, at);
            default -> {
                for (int k = 0; k < w.cols; k += LANES) {
                    weights(w.type, p, k).intoArray(panel, at + k);
                }
            }
        }
    }

    private static void loadQ41(int cols, long row, float[] panel, int at) {
        long p = row;
        for (int k = 0; k < cols; k += 32) {
            IntVector q = bytes(p + 4);
            FloatVector d = FloatVector.broadcast(F16, Matrix.half(p));
            FloatVector m = FloatVector.broadcast(F16, Matrix.half(p + 2));
            low(q).fma(d, m).intoArray(panel, at + k);
            high(q).fma(d, m).intoArray(panel, at + k + 16);
            p += 20;
        }
    }

    private static void loadQ80(int cols, long row, float[] panel, int at) {
        long p = row;
        for (int k = 0; k < cols; k += 32) {
            float d = Matrix.half(p);
            signed(p + 2).mul(d).intoArray(panel, at + k);
            signed(p + 18).mul(d).intoArray(panel, at + k + 16);
            p += 34;
        }
    }

    /** A panel of up to four weight rows against all activation rows. */
    static void multiplyPanel(
            float[] panel, Matrix w, int row, int height, float[] x, int rows, float[] out, boolean add, float[] sums) {
        int cols = w.cols;
        int stride = padded(cols);
        boolean whole = cols == stride;
        int r = 0;
        if (height == 4 && whole) {
            for (; r + 4 <= rows; r += 4) {
                tile4x4(panel, stride, x, r * cols, cols, sums);
                for (int j = 0; j < 4; j++) {
                    int at = (r + j) * w.rows + row;
                    for (int i = 0; i < 4; i++) {
                        put(out, at + i, reduce(sums, (j * 4 + i) * LANES), add);
                    }
                }
            }
        }
        for (; r < rows; r++) {
            for (int i = 0; i < height; i++) {
                float sum = whole
                        ? dotWhole(panel, i * stride, x, r * cols, cols, sums)
                        : dotRagged(panel, i * stride, x, r * cols, cols, sums);
                put(out, r * w.rows + row + i, sum, add);
            }
        }
    }

    private static void tile4x4(float[] panel, int stride, float[] x, int at, int cols, float[] sums) {
        FloatVector s00 = FloatVector.zero(F16);
        FloatVector s01 = s00;
        FloatVector s02 = s00;
        FloatVector s03 = s00;
        FloatVector s10 = s00;
        FloatVector s11 = s00;
        FloatVector s12 = s00;
        FloatVector s13 = s00;
        FloatVector s20 = s00;
        FloatVector s21 = s00;
        FloatVector s22 = s00;
        FloatVector s23 = s00;
        FloatVector s30 = s00;
        FloatVector s31 = s00;
        FloatVector s32 = s00;
        FloatVector s33 = s00;
        int x1 = at + cols;
        int x2 = x1 + cols;
        int x3 = x2 + cols;
        int w1 = stride;
        int w2 = 2 * stride;
        int w3 = 3 * stride;
        for (int k = 0; k < cols; k += LANES) {
            FloatVector a = FloatVector.fromArray(F16, panel, k);
            FloatVector b = FloatVector.fromArray(F16, panel, w1 + k);
            FloatVector c = FloatVector.fromArray(F16, panel, w2 + k);
            FloatVector d = FloatVector.fromArray(F16, panel, w3 + k);
            FloatVector v = FloatVector.fromArray(F16, x, at + k);
            s00 = a.fma(v, s00);
            s01 = b.fma(v, s01);
            s02 = c.fma(v, s02);
            s03 = d.fma(v, s03);
            v = FloatVector.fromArray(F16, x, x1 + k);
            s10 = a.fma(v, s10);
            s11 = b.fma(v, s11);
            s12 = c.fma(v, s12);
            s13 = d.fma(v, s13);
            v = FloatVector.fromArray(F16, x, x2 + k);
            s20 = a.fma(v, s20);
            s21 = b.fma(v, s21);
            s22 = c.fma(v, s22);
            s23 = d.fma(v, s23);
            v = FloatVector.fromArray(F16, x, x3 + k);
            s30 = a.fma(v, s30);
            s31 = b.fma(v, s31);
            s32 = c.fma(v, s32);
            s33 = d.fma(v, s33);
        }
        s00.intoArray(sums, 0);
        s01.intoArray(sums, LANES);
        s02.intoArray(sums, 2 * LANES);
        s03.intoArray(sums, 3 * LANES);
        s10.intoArray(sums, 4 * LANES);
        s11.intoArray(sums, 5 * LANES);
        s12.intoArray(sums, 6 * LANES);
        s13.intoArray(sums, 7 * LANES);
        s20.intoArray(sums, 8 * LANES);
        s21.intoArray(sums, 9 * LANES);
        s22.intoArray(sums, 10 * LANES);
        s23.intoArray(sums, 11 * LANES);
        s30.intoArray(sums, 12 * LANES);
        s31.intoArray(sums, 13 * LANES);
        s32.intoArray(sums, 14 * LANES);
        s33.intoArray(sums, 15 * LANES);
    }

    private static float dotWhole(float[] w, int wAt, float[] x, int xAt, int cols, float[] sums) {
        FloatVector acc = FloatVector.zero(F16);
        for (int k = 0; k < cols; k += LANES) {
            acc = FloatVector.fromArray(F16, w, wAt + k).fma(FloatVector.fromArray(F16, x, xAt + k), acc);
        }
        acc.intoArray(sums, 0);
        return reduce(sums, 0);
    }

    /** For widths that are no multiple of the lanes: the last vector is masked. */
    private static float dotRagged(float[] w, int wAt, float[] x, int xAt, int cols, float[] sums) {
        FloatVector acc = FloatVector.zero(F16);
        for (int k = 0; k < cols; k += LANES) {
            VectorMask<Float> mask = F16.indexInRange(k, cols);
            acc = FloatVector.fromArray(F16, w, wAt + k).fma(FloatVector.fromArray(F16, x, xAt + k, mask), acc);
        }
        acc.intoArray(sums, 0);
        return reduce(sums, 0);
    }

    static void rmsNorm(float[] x, int at, int width, float[] weight, float eps, float[] out) {
        double squares = 0;
        for (int i = 0; i < width; i++) {
            squares += (double) x[at + i] * x[at + i];
        }
        float scale = (float) (1 / Math.sqrt(squares / width + eps));
        for (int i = 0; i < width; i++) {
            out[at + i] = x[at + i] * scale * weight[i];
        }
    }

    static void siluMul(float[] gate, float[] up, int from, int end) {
        for (int i = from; i < end; i += LANES) {
            FloatVector g = FloatVector.fromArray(F16, gate, i);
            FloatVector u = FloatVector.fromArray(F16, up, i);
            FloatVector sigmoid = exp(g.neg()).add(1f);
            g.div(sigmoid).mul(u).intoArray(gate, i);
        }
    }

    /**
     * e^x within 2 ulp: 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2]. Underflows to 0 below -87.3; the same bits
     * in every compilation, which the library's own exp does not promise.
     */
    static FloatVector exp(FloatVector x) {
        FloatVector clamped = x.max(-104f).min(88.3762626f);
        FloatVector shifted =
                clamped.fma(FloatVector.broadcast(F16, 1.44269504f), FloatVector.broadcast(F16, 12582912f));
        FloatVector n = shifted.sub(12582912f);
        FloatVector r = n.fma(FloatVector.broadcast(F16, -0.693359375f), clamped);
        r = n.fma(FloatVector.broadcast(F16, 2.12194440e-4f), r);
        FloatVector p = FloatVector.broadcast(F16, 1.3888889e-3f);
        p = p.fma(r, FloatVector.broadcast(F16, 8.3333333e-3f));
        p = p.fma(r, FloatVector.broadcast(F16, 4.1666666e-2f));
        p = p.fma(r, FloatVector.broadcast(F16, 1.6666667e-1f));
        p = p.fma(r, FloatVector.broadcast(F16, 0.5f));
        p = p.fma(r, FloatVector.broadcast(F16, 1f));
        p = p.fma(r, FloatVector.broadcast(F16, 1f));
        IntVector exponent = shifted.reinterpretAsInts()
                .sub(Float.floatToRawIntBits(12582912f))
                .add(127)
                .max(0)
                .lanewise(VectorOperators.LSHL, 23);
        return p.mul(exponent.reinterpretAsFloats());
    }
}
