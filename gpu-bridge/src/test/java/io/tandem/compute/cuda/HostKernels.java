package io.tandem.compute.cuda;

import io.tandem.kvcache.BlockSum;
import io.tandem.sampling.Sampler;
import io.tandem.sampling.SamplingParams;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** What KERNELS.md says each kernel does, element by element on host memory, with the roundings to bf16 where it has them. */
final class HostKernels {
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    private static final int BLOCK = 16;

    private HostKernels() {}

    static void run(String name, long[] p, int gridX, int gridY, int gridZ) {
        switch (name) {
            case "embed_gather" -> embedGather(p, gridX);
            case "gather_rows" -> gatherRows(p, gridX);
            case "rmsnorm" -> rmsNorm(p, gridX);
            case "qkv_rope_write" -> qkvRopeWrite(p, gridX);
            case "silu_mul" -> siluMul(p, gridY);
            case "attention_decode" -> attentionDecode(p, gridZ);
            case "attention_decode_rope" -> attentionDecodeRope(p, gridZ);
            case "attention_prefill" -> attentionPrefill(p);
            case "sample_max" -> sample(p, gridY, false);
            case "sample_draw" -> sample(p, gridY, true);
            case "penalty_reset" -> penaltyReset(p);
            case "block_sum" -> blockSum(p, gridY);
            default -> {
                if (!name.startsWith("gemm_")) {
                    throw new IllegalArgumentException("no kernel " + name);
                }
                gemm(p);
            }
        }
    }

    private static void blockSum(long[] p, int blocks) {
        for (int b = 0; b < blocks; b++) {
            long sum = BlockSum.of(ALL.asSlice(p[1] + number(p[2], b) * p[3], p[3]));
            ALL.set(ValueLayout.JAVA_LONG, p[0] + 8L * b, ALL.get(ValueLayout.JAVA_LONG, p[0] + 8L * b) + sum);
        }
    }

    private static float bf(long base, long index) {
        return Float.intBitsToFloat(ALL.get(ValueLayout.JAVA_SHORT, base + 2 * index) << 16);
    }

    private static void bf(long base, long index, float value) {
        ALL.set(ValueLayout.JAVA_SHORT, base + 2 * index, WeightUpload.bfloat16(value));
    }

    private static int number(long base, long index) {
        return ALL.get(ValueLayout.JAVA_INT, base + 4 * index);
    }

    private static void number(long base, long index, int value) {
        ALL.set(ValueLayout.JAVA_INT, base + 4 * index, value);
    }

    private static float real(long base, long index) {
        return ALL.get(ValueLayout.JAVA_FLOAT, base + 4 * index);
    }

    private static float real(long bits) {
        return Float.intBitsToFloat((int) bits);
    }

    private static int live(long count, int grid) {
        return count == 0 ? grid : Math.min(number(count, 0), grid);
    }

    private static void embedGather(long[] p, int grid) {
        int width = (int) p[5];
        for (int t = 0; t < live(p[4], grid); t++) {
            int id = number(p[2], t);
            id = id < 0 ? number(p[3], -1 - id) : id;
            for (int i = 0; i < width; i++) {
                bf(p[0], (long) t * width + i, id >= (int) p[6] ? 0 : bf(p[1], (long) id * width + i));
            }
        }
    }

    private static void gatherRows(long[] p, int grid) {
        int width = (int) p[4];
        for (int r = 0; r < live(p[3], grid); r++) {
            for (int i = 0; i < width; i++) {
                bf(p[0], (long) r * width + i, bf(p[1], (long) number(p[2], r) * width + i));
            }
        }
    }

    private static void rmsNorm(long[] p, int grid) {
        int width = (int) p[4];
        for (int r = 0; r < live(p[3], grid); r++) {
            double sum = 0;
            for (int i = 0; i < width; i++) {
                double v = bf(p[1], (long) r * width + i);
                sum += v * v;
            }
            double factor = 1 / Math.sqrt(sum / width + real(p[5]));
            for (int i = 0; i < width; i++) {
                bf(p[0], (long) r * width + i, (float) (bf(p[1], (long) r * width + i) * factor * bf(p[2], i)));
            }
        }
    }

    private static void qkvRopeWrite(long[] p, int grid) {
        int heads = (int) p[11];
        int groups = (int) p[12];
        int dim = (int) p[13];
        int width = (heads + 2 * groups) * dim;
        for (int t = 0; t < live(p[10], grid); t++) {
            int position = number(p[7], t);
            long table = p[9] + 4 * number(p[8], t) * p[14];
            long block = p[1] + number(table, position / BLOCK) * p[15] + p[16];
            for (int h = 0; h < heads + 2 * groups; h++) {
                double[] x = new double[dim];
                for (int i = 0; i < dim; i++) {
                    x[i] = bf(p[2], (long) t * width + h * dim + i) + (p[3] == 0 ? 0 : bf(p[3], h * dim + i));
                }
                if (h < heads + groups) {
                    normalise(x, h < heads ? p[4] : p[5], real(p[17]));
                    rotate(x, p[6], position);
                }
                for (int i = 0; i < dim; i++) {
                    if (h < heads) {
                        bf(p[0], ((long) t * heads + h) * dim + i, (float) x[i]);
                    } else {
                        bf(block, ((long) (h - heads) * BLOCK + position % BLOCK) * dim + i, (float) x[i]);
                    }
                }
            }
        }
    }

    private static void normalise(double[] x, long weight, float eps) {
        if (weight == 0) {
            return;
        }
        double sum = 0;
        for (double v : x) {
            sum += v * v;
        }
        double factor = 1 / Math.sqrt(sum / x.length + eps);
        for (int i = 0; i < x.length; i++) {
            x[i] *= factor * bf(weight, i);
        }
    }

    private static void rotate(double[] x, long frequencies, int position) {
        int half = x.length / 2;
        for (int i = 0; i < half; i++) {
            double angle = position * ALL.get(ValueLayout.JAVA_DOUBLE, frequencies + 8L * i);
            double a = x[i];
            double b = x[i + half];
            x[i] = a * Math.cos(angle) - b * Math.sin(angle);
            x[i + half] = b * Math.cos(angle) + a * Math.sin(angle);
        }
    }

    private static void siluMul(long[] p, int rows) {
        int width = (int) p[3];
        for (int r = 0; r < live(p[2], rows); r++) {
            for (int i = 0; i < width; i++) {
                float gate = bf(p[1], (long) r * 2 * width + i);
                float up = bf(p[1], (long) r * 2 * width + width + i);
                bf(p[0], (long) r * width + i, (float) (gate / (1 + Math.exp(-gate)) * up));
            }
        }
    }

    private static void attentionDecode(long[] p, int sequences) {
        for (int s = 0; s < live(p[6], sequences); s++) {
            attend(p[0], p[1], s, p[2], p[3] + 4 * s * p[10], number(p[4], s), p, 7);
        }
    }

    private static void attentionDecodeRope(long[] p, int sequences) {
        try (Arena arena = Arena.ofConfined()) {
            long q = arena.allocate(2L * sequences * p[11] * p[13], 16).address();
            long positions = arena.allocate(4L * sequences, 4).address();
            long owners = arena.allocate(4L * sequences, 4).address();
            for (int s = 0; s < live(p[10], sequences); s++) {
                number(positions, s, number(p[8], s) - 1);
                number(owners, s, s);
            }
            qkvRopeWrite(
                    new long[] {
                        q, p[1], p[2], p[3], p[4], p[5], p[6], positions, owners, p[7], p[10], p[11], p[12], p[13],
                        p[14], p[15], p[16], p[18], p[19]
                    },
                    sequences);
            attentionDecode(
                    new long[] {p[0], q, p[1], p[7], p[8], p[9], p[10], p[11], p[12], p[13], p[14], p[15], p[16], p[17]
                    },
                    sequences);
        }
    }

    private static void attentionPrefill(long[] p) {
        for (int s = 0; s < live(p[6], (int) p[7]); s++) {
            int from = number(p[4], s);
            for (int row = from; row < number(p[4], s + 1); row++) {
                attend(p[0], p[1], row, p[2], p[3] + 4 * s * p[11], number(p[5], s) + row - from + 1, p, 8);
            }
        }
    }

    /** One query row over a context; the parameters from {@code at} on are H, G, D, maxBlocks, blockBytes, offset, scale. */
    private static void attend(long out, long q, int row, long kv, long table, int context, long[] p, int at) {
        int heads = (int) p[at];
        int groups = (int) p[at + 1];
        int dim = (int) p[at + 2];
        for (int h = 0; h < heads; h++) {
            int g = h / (heads / groups);
            double[] scores = new double[context];
            double max = Double.NEGATIVE_INFINITY;
            for (int c = 0; c < context; c++) {
                long keys = kv + number(table, c / BLOCK) * p[at + 4] + p[at + 5];
                double sum = 0;
                for (int i = 0; i < dim; i++) {
                    sum += (double) bf(q, ((long) row * heads + h) * dim + i)
                            * bf(keys, ((long) g * BLOCK + c % BLOCK) * dim + i);
                }
                scores[c] = sum * real(p[at + 6]);
                max = Math.max(max, scores[c]);
            }
            double total = 0;
            double[] value = new double[dim];
            for (int c = 0; c < context; c++) {
                double w = Math.exp(scores[c] - max);
                total += w;
                long values = kv + number(table, c / BLOCK) * p[at + 4] + p[at + 5];
                for (int i = 0; i < dim; i++) {
                    value[i] += w * bf(values, ((long) (groups + g) * BLOCK + c % BLOCK) * dim + i);
                }
            }
            for (int i = 0; i < dim; i++) {
                bf(out, ((long) row * heads + h) * dim + i, (float) (value[i] / total));
            }
        }
    }

    private static void gemm(long[] p) {
        int n = (int) p[8];
        int k = (int) p[9];
        int flags = (int) p[10];
        for (int m = 0; m < live(p[6], (int) p[7]); m++) {
            double[] c = new double[n];
            for (int j = 0; j < n; j++) {
                double sum = (p[3] == 0 ? 0 : bf(p[3], j)) + (p[4] == 0 ? 0 : bf(p[4], (long) m * n + j));
                for (int i = 0; i < k; i++) {
                    sum += (double) bf(p[1], (long) m * k + i) * bf(p[2], (long) j * k + i);
                }
                c[j] = sum;
            }
            for (int j = 0; j < ((flags & 2) != 0 ? n / 2 : n); j++) {
                if ((flags & 2) != 0) {
                    bf(p[0], (long) m * n / 2 + j, (float) (c[j] / (1 + Math.exp(-c[j])) * c[n / 2 + j]));
                } else if ((flags & 1) != 0) {
                    ALL.set(ValueLayout.JAVA_FLOAT, p[0] + 4 * ((long) m * n + j), (float) c[j]);
                } else {
                    bf(p[0], (long) m * n + j, (float) c[j]);
                }
            }
        }
    }

    private static void sample(long[] p, int rows, boolean draw) {
        int vocabulary = (int) p[9];
        Sampler sampler = new Sampler(vocabulary);
        for (int r = 0; r < live(p[8], rows); r++) {
            long row = p[3] + 64L * r;
            float temperature = real(row, 4);
            if (draw && temperature == 0) {
                continue;
            }
            float[] logits = new float[vocabulary];
            for (int v = 0; v < vocabulary; v++) {
                logits[v] = real(p[2], (long) r * vocabulary + v);
            }
            int slot = number(row, 3);
            int flags = number(row, 11);
            float[] raw = logits.clone();
            adjust(logits, row, flags, p[4] + 4L * slot * vocabulary, p[5] + 4L * slot * vocabulary);
            SamplingParams params = new SamplingParams(
                    draw ? temperature : 0,
                    number(row, 5),
                    real(row, 6),
                    real(row, 7),
                    1,
                    0,
                    0,
                    new int[0],
                    new float[0],
                    ALL.get(ValueLayout.JAVA_LONG, row),
                    0);
            int chosen = sampler.choose(params, logits, new int[0], 0, number(row, 2));
            sampler.report(params, raw, chosen);
            if ((flags & 1) != 0 && (draw || temperature == 0)) {
                long at = (long) slot * vocabulary + chosen;
                number(p[4], at, (number(p[4], at) & 0x7fffffff) + 1 | 0x80000000);
            }
            number(p[0], r, chosen);
            ALL.set(ValueLayout.JAVA_FLOAT, p[1] + 4L * r, (flags & 4) != 0 ? sampler.logprob() : Float.NaN);
            number(p[6], slot, chosen);
        }
    }

    private static void adjust(float[] logits, long row, int flags, long state, long biases) {
        for (int v = 0; v < logits.length; v++) {
            int seen = (flags & 1) != 0 ? number(state, v) : 0;
            if (seen < 0) {
                logits[v] = logits[v] > 0 ? logits[v] / real(row, 8) : logits[v] * real(row, 8);
            }
            int count = seen & 0x7fffffff;
            if (count > 0) {
                logits[v] -= real(row, 9) + real(row, 10) * count;
            }
            logits[v] += (flags & 2) != 0 ? real(biases, v) : 0;
        }
    }

    private static void penaltyReset(long[] p) {
        int vocabulary = (int) p[5];
        long state = p[0] + 4 * p[2] * vocabulary;
        for (int v = 0; v < vocabulary; v++) {
            number(state, v, 0);
        }
        for (int i = 0; i < (int) p[4]; i++) {
            int token = number(p[1], i);
            int count = (number(state, token) & 0x7fffffff) + (i >= (int) p[3] ? 1 : 0);
            number(state, token, count | 0x80000000);
        }
    }
}
