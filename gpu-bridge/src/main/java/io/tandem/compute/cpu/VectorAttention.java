package io.tandem.compute.cpu;

import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Attention of one query over its paged context, in two passes: all scores, then the weighted values. Every sum runs along
 * the context from position 0, so the chunk a token came in, and its batch, change nothing.
 */
final class VectorAttention {
    private static final VectorSpecies<Float> F16 = VectorKernels.F16;
    private static final int LANES = VectorKernels.LANES;
    private static final ByteOrder LE = ByteOrder.LITTLE_ENDIAN;

    private VectorAttention() {}

    /** Length of the score scratch for a context: whole blocks and whole vectors. */
    static int scoresNeeded(int context, int blockTokens) {
        int unit = Math.max(blockTokens, LANES);
        return (context + unit - 1) / unit * unit;
    }

    static void attend(
            float[] q,
            int at,
            int context,
            int[] blockTable,
            KvMemory kv,
            int layer,
            int kvHead,
            float[] out,
            float[] scores,
            float[] sums) {
        KvLayout layout = kv.layout();
        int dim = layout.headDim();
        int blockTokens = layout.blockTokens();
        float scale = (float) (1 / Math.sqrt(dim));
        long keyOffset = layout.keyOffset(layer, kvHead);
        float max = Float.NEGATIVE_INFINITY;
        for (int t = 0; t < context; t += blockTokens) {
            int count = Math.min(blockTokens, context - t);
            long keys = kv.address(blockTable[t / blockTokens]) + keyOffset;
            if (dim % LANES == 0) {
                dots(q, at, dim, keys, count, scores, t, sums);
            } else {
                dotsRagged(q, at, dim, keys, count, scores, t);
            }
            for (int i = t; i < t + count; i++) {
                scores[i] *= scale;
                max = Math.max(max, scores[i]);
            }
        }
        float sum = softmax(scores, context, max, sums);
        weigh(blockTable, kv, layout.valueOffset(layer, kvHead), context, scores, sum, out, at);
    }

    private static void dots(float[] q, int at, int dim, long keys, int count, float[] scores, int to, float[] sums) {
        for (int t = 0; t < count; t++) {
            long key = keys + 4L * dim * t;
            FloatVector acc = FloatVector.zero(F16);
            for (int d = 0; d < dim; d += LANES) {
                acc = FloatVector.fromMemorySegment(F16, Matrix.MEMORY, key + 4L * d, LE)
                        .fma(FloatVector.fromArray(F16, q, at + d), acc);
            }
            acc.intoArray(sums, (t & 15) * LANES);
            scores[to + t] = VectorKernels.reduce(sums, (t & 15) * LANES);
        }
    }

    private static void dotsRagged(float[] q, int at, int dim, long keys, int count, float[] scores, int to) {
        for (int t = 0; t < count; t++) {
            float dot = 0;
            for (int d = 0; d < dim; d++) {
                dot = Math.fma(q[at + d], Matrix.MEMORY.get(Matrix.F32, keys + 4L * (dim * t + d)), dot);
            }
            scores[to + t] = dot;
        }
    }

    /** Replaces scores by their exponentials relative to the largest, and answers their sum. */
    private static float softmax(float[] scores, int context, float max, float[] sums) {
        int end = (context + LANES - 1) / LANES * LANES;
        for (int i = context; i < end; i++) {
            scores[i] = Float.NEGATIVE_INFINITY;
        }
        VectorKernels.exp(scores, end, max);
        FloatVector total = FloatVector.zero(F16);
        for (int i = 0; i < end; i += LANES) {
            total = total.add(FloatVector.fromArray(F16, scores, i));
        }
        total.intoArray(sums, 0);
        return VectorKernels.reduce(sums, 0);
    }

    private static void weigh(
            int[] blockTable,
            KvMemory kv,
            long valueOffset,
            int context,
            float[] scores,
            float sum,
            float[] out,
            int at) {
        int dim = kv.layout().headDim();
        float inverse = 1 / sum;
        int d = 0;
        for (; d + 4 * LANES <= dim; d += 4 * LANES) {
            weighFour(blockTable, kv, valueOffset + 4L * d, context, scores, inverse, out, at + d);
        }
        for (; d + LANES <= dim; d += LANES) {
            weighOne(blockTable, kv, valueOffset + 4L * d, context, scores, inverse, out, at + d);
        }
        for (; d < dim; d++) {
            weighScalar(blockTable, kv, valueOffset + 4L * d, context, scores, inverse, out, at + d);
        }
    }

    private static void weighFour(
            int[] blockTable,
            KvMemory kv,
            long offset,
            int context,
            float[] scores,
            float inverse,
            float[] out,
            int at) {
        int blockTokens = kv.layout().blockTokens();
        long tokenBytes = 4L * kv.layout().headDim();
        FloatVector a = FloatVector.zero(F16);
        FloatVector b = a;
        FloatVector c = a;
        FloatVector d = a;
        for (int t = 0; t < context; t += blockTokens) {
            long value = kv.address(blockTable[t / blockTokens]) + offset;
            int end = Math.min(t + blockTokens, context);
            for (int i = t; i < end; i++) {
                FloatVector p = FloatVector.broadcast(F16, scores[i]);
                a = FloatVector.fromMemorySegment(F16, Matrix.MEMORY, value, LE).fma(p, a);
                b = FloatVector.fromMemorySegment(F16, Matrix.MEMORY, value + 64, LE)
                        .fma(p, b);
                c = FloatVector.fromMemorySegment(F16, Matrix.MEMORY, value + 128, LE)
                        .fma(p, c);
                d = FloatVector.fromMemorySegment(F16, Matrix.MEMORY, value + 192, LE)
                        .fma(p, d);
                value += tokenBytes;
            }
        }
        a.mul(inverse).intoArray(out, at);
        b.mul(inverse).intoArray(out, at + LANES);
        c.mul(inverse).intoArray(out, at + 2 * LANES);
        d.mul(inverse).intoArray(out, at + 3 * LANES);
    }

    private static void weighOne(
            int[] blockTable,
            KvMemory kv,
            long offset,
            int context,
            float[] scores,
            float inverse,
            float[] out,
            int at) {
        int blockTokens = kv.layout().blockTokens();
        long tokenBytes = 4L * kv.layout().headDim();
        FloatVector a = FloatVector.zero(F16);
        for (int i = 0; i < context; i++) {
            long value = kv.address(blockTable[i / blockTokens]) + offset + i % blockTokens * tokenBytes;
            a = FloatVector.fromMemorySegment(F16, Matrix.MEMORY, value, LE)
                    .fma(FloatVector.broadcast(F16, scores[i]), a);
        }
        a.mul(inverse).intoArray(out, at);
    }

    private static void weighScalar(
            int[] blockTable,
            KvMemory kv,
            long offset,
            int context,
            float[] scores,
            float inverse,
            float[] out,
            int at) {
        int blockTokens = kv.layout().blockTokens();
        long tokenBytes = 4L * kv.layout().headDim();
        float weighted = 0;
        for (int i = 0; i < context; i++) {
            long value = kv.address(blockTable[i / blockTokens]) + offset + i % blockTokens * tokenBytes;
            weighted = Math.fma(scores[i], Matrix.MEMORY.get(Matrix.F32, value), weighted);
        }
        out[at] = weighted * inverse;
    }
}
