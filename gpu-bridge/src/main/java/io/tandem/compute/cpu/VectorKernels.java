package io.tandem.compute.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Elementwise kernels on the Vector API, and the one order of adding lanes. {@code reduceLanes} is not used on floats: its
 * order is unspecified and differs between interpreter and compiler. A sum has 16 lanes on every machine; narrower hardware
 * fills them by several vectors, so the bits are the same.
 */
final class VectorKernels {
    static final int LANES = 16;
    private static final VectorSpecies<Float> FLOATS = VectorUnit.FLOATS;

    /** Floats of scratch for lanes on their way to {@link #reduce}. */
    static final int SUMS = 16 * LANES;

    private VectorKernels() {}

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

    /** Elements of {@link #siluMul}'s scratch. */
    static final int SILU_CHUNK = 1024;

    static void siluMul(float[] gate, float[] up, int from, int end, float[] scratch) {
        for (int at = from; at < end; at += SILU_CHUNK) {
            int count = Math.min(SILU_CHUNK, end - at);
            for (int i = 0; i < count; i++) {
                scratch[i] = -gate[at + i];
            }
            exp(scratch, (count + LANES - 1) / LANES * LANES, 0);
            for (int i = 0; i < count; i++) {
                gate[at + i] = gate[at + i] / (scratch[i] + 1) * up[at + i];
            }
        }
    }

    /**
     * x[i] = e^(x[i] - shift) for i below end, a multiple of {@link #LANES}, within 2 ulp: 2^n times a polynomial of degree
     * 6 on [-ln2/2, ln2/2]. Underflows to 0 below -87.3; the same bits in every compilation, which the library's own exp
     * does not promise. Takes an array, not a vector: the method is too large to be inlined everywhere, and a vector passed
     * to a call is an object.
     */
    static void exp(float[] x, int end, float shift) {
        for (int i = 0; i < end; i += VectorUnit.WIDTH) {
            FloatVector clamped =
                    FloatVector.fromArray(FLOATS, x, i).sub(shift).max(-104f).min(88.3762626f);
            FloatVector shifted =
                    clamped.fma(FloatVector.broadcast(FLOATS, 1.44269504f), FloatVector.broadcast(FLOATS, 12582912f));
            FloatVector n = shifted.sub(12582912f);
            FloatVector r = n.fma(FloatVector.broadcast(FLOATS, -0.693359375f), clamped);
            r = n.fma(FloatVector.broadcast(FLOATS, 2.12194440e-4f), r);
            FloatVector p = FloatVector.broadcast(FLOATS, 1.3888889e-3f);
            p = p.fma(r, FloatVector.broadcast(FLOATS, 8.3333333e-3f));
            p = p.fma(r, FloatVector.broadcast(FLOATS, 4.1666666e-2f));
            p = p.fma(r, FloatVector.broadcast(FLOATS, 1.6666667e-1f));
            p = p.fma(r, FloatVector.broadcast(FLOATS, 0.5f));
            p = p.fma(r, FloatVector.broadcast(FLOATS, 1f));
            p = p.fma(r, FloatVector.broadcast(FLOATS, 1f));
            IntVector exponent = shifted.reinterpretAsInts()
                    .sub(Float.floatToRawIntBits(12582912f) - 127)
                    .max(0)
                    .lanewise(VectorOperators.LSHL, 23);
            p.mul(exponent.reinterpretAsFloats()).intoArray(x, i);
        }
    }
}
