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
    private static final VectorSpecies<Float> FLOATS = VectorUnit.FLOATS;
    private static final int LANES = VectorKernels.LANES;
    private static final int WIDTH = VectorUnit.WIDTH;
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
            for (int lane = 0; lane < LANES; lane += WIDTH) {
                FloatVector acc = FloatVector.zero(FLOATS);
                for (int d = lane; d < dim; d += LANES) {
                    acc = FloatVector.fromMemorySegment(FLOATS, Matrix.MEMORY, key + 4L * d, LE)
                            .fma(FloatVector.fromArray(FLOATS, q, at + d), acc);
                }
                acc.intoArray(sums, (t & 15) * LANES + lane);
            }
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
        for (int lane = 0; lane < LANES; lane += WIDTH) {
            FloatVector total = FloatVector.zero(FLOATS);
            for (int i = lane; i < end; i += LANES) {
                total = total.add(FloatVector.fromArray(FLOATS, scores, i));
            }
            total.intoArray(sums, lane);
        }
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
        for (; d + 4 * WIDTH <= dim; d += 4 * WIDTH) {
            weighFour(blockTable, kv, valueOffset + 4L * d, context, scores, inverse, out, at + d);
        }
        for (; d + WIDTH <= dim; d += WIDTH) {
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
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = a;
        FloatVector c = a;
        FloatVector d = a;
        for (int t = 0; t < context; t += blockTokens) {
            long value = kv.address(blockTable[t / blockTokens]) + offset;
            int end = Math.min(t + blockTokens, context);
            for (int i = t; i < end; i++) {
                FloatVector p = FloatVector.broadcast(FLOATS, scores[i]);
                a = FloatVector.fromMemorySegment(FLOATS, Matrix.MEMORY, value, LE)
                        .fma(p, a);
                b = FloatVector.fromMemorySegment(FLOATS, Matrix.MEMORY, value + 4L * WIDTH, LE)
                        .fma(p, b);
                c = FloatVector.fromMemorySegment(FLOATS, Matrix.MEMORY, value + 8L * WIDTH, LE)
                        .fma(p, c);
                d = FloatVector.fromMemorySegment(FLOATS, Matrix.MEMORY, value + 12L * WIDTH, LE)
                        .fma(p, d);
                value += tokenBytes;
            }
        }
        a.mul(inverse).intoArray(out, at);
        b.mul(inverse).intoArray(out, at + WIDTH);
        c.mul(inverse).intoArray(out, at + 2 * WIDTH);
        d.mul(inverse).intoArray(out, at + 3 * WIDTH);
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
        FloatVector a = FloatVector.zero(FLOATS);
        for (int i = 0; i < context; i++) {
            long value = kv.address(blockTable[i / blockTokens]) + offset + i % blockTokens * tokenBytes;
            a = FloatVector.fromMemorySegment(FLOATS, Matrix.MEMORY, value, LE)
                    .fma(FloatVector.broadcast(FLOATS, scores[i]), a);
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
