package io.tandem.compute.cpu;

import io.tandem.compute.ForwardBatch;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import java.lang.foreign.MemorySegment;

/**
 * The truth: every operation as plain loops on one thread, to be read beside the paper. Faster versions are tested against
 * it.
 */
class ScalarOps implements CpuOps {
    private float[] row = new float[0];
    private float[] scores = new float[0];

    @Override
    public String name() {
        return "cpu-scalar";
    }

    @Override
    public String device() {
        return "plain loops, 1 thread";
    }

    @Override
    public void prepare(Matrix w) {}

    @Override
    public void embed(Matrix table, int[] ids, int rows, float[] out) {
        for (int r = 0; r < rows; r++) {
            table.readRow(ids[r], out, r * table.cols);
        }
    }

    @Override
    public void rmsNorm(float[] x, int rows, int width, float[] weight, float eps, float[] out) {
        for (int r = 0; r < rows; r++) {
            int at = r * width;
            double squares = 0;
            for (int i = 0; i < width; i++) {
                squares += (double) x[at + i] * x[at + i];
            }
            float scale = (float) (1 / Math.sqrt(squares / width + eps));
            for (int i = 0; i < width; i++) {
                out[at + i] = x[at + i] * scale * weight[i];
            }
        }
    }

    @Override
    public void matmul(Matrix w, float[] x, int rows, float[] out) {
        product(w, x, rows, out, false);
    }

    @Override
    public void matmulAdd(Matrix w, float[] x, int rows, float[] out) {
        product(w, x, rows, out, true);
    }

    @Override
    public void addBias(float[] x, int rows, int width, float[] bias) {
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < width; i++) {
                x[r * width + i] += bias[i];
            }
        }
    }

    private void product(Matrix w, float[] x, int rows, float[] out, boolean add) {
        row = row.length < w.cols ? new float[w.cols] : row;
        for (int o = 0; o < w.rows; o++) {
            w.readRow(o, row, 0);
            for (int r = 0; r < rows; r++) {
                float sum = 0;
                for (int k = 0; k < w.cols; k++) {
                    sum += row[k] * x[r * w.cols + k];
                }
                int at = r * w.rows + o;
                out[at] = add ? out[at] + sum : sum;
            }
        }
    }

    @Override
    public void rope(float[] x, int rows, int heads, int headDim, float[] cos, float[] sin, boolean interleaved) {
        int half = headDim / 2;
        int step = interleaved ? 2 : 1;
        int partner = interleaved ? 1 : half;
        for (int r = 0; r < rows; r++) {
            for (int h = 0; h < heads; h++) {
                int at = (r * heads + h) * headDim;
                for (int i = 0; i < half; i++) {
                    float c = cos[r * half + i];
                    float s = sin[r * half + i];
                    float a = x[at + i * step];
                    float b = x[at + i * step + partner];
                    x[at + i * step] = a * c - b * s;
                    x[at + i * step + partner] = a * s + b * c;
                }
            }
        }
    }

    @Override
    public void storeKv(float[] keys, float[] values, ForwardBatch batch, KvMemory kv, int layer) {
        KvLayout layout = kv.layout();
        int width = layout.kvHeads() * layout.headDim();
        long tokenBytes = 4L * layout.headDim();
        for (int s = 0; s < batch.sequences; s++) {
            for (int i = 0; i < batch.tokenCount[s]; i++) {
                int token = batch.tokenStart[s] + i;
                int position = batch.contextStart[s] + i;
                long block = kv.address(batch.blockTables[s][position / layout.blockTokens()]);
                long inBlock = position % layout.blockTokens() * tokenBytes;
                for (int h = 0; h < layout.kvHeads(); h++) {
                    int from = token * width + h * layout.headDim();
                    copy(keys, from, block + layout.keyOffset(layer, h) + inBlock, layout.headDim());
                    copy(values, from, block + layout.valueOffset(layer, h) + inBlock, layout.headDim());
                }
            }
        }
    }

    private static void copy(float[] source, int from, long to, int count) {
        MemorySegment.copy(source, from, Matrix.MEMORY, Matrix.F32, to, count);
    }

    @Override
    public void attention(float[] queries, int heads, ForwardBatch batch, KvMemory kv, int layer, float[] out) {
        KvLayout layout = kv.layout();
        int dim = layout.headDim();
        int group = heads / layout.kvHeads();
        for (int s = 0; s < batch.sequences; s++) {
            for (int i = 0; i < batch.tokenCount[s]; i++) {
                int context = batch.contextStart[s] + i + 1;
                scores = scores.length < context ? new float[context * 2] : scores;
                for (int h = 0; h < heads; h++) {
                    int at = ((batch.tokenStart[s] + i) * heads + h) * dim;
                    attend(queries, at, context, batch.blockTables[s], kv, layer, h / group, out);
                }
            }
        }
    }

    private void attend(
            float[] q, int at, int context, int[] blockTable, KvMemory kv, int layer, int kvHead, float[] out) {
        KvLayout layout = kv.layout();
        int dim = layout.headDim();
        float scale = (float) (1 / Math.sqrt(dim));
        float max = Float.NEGATIVE_INFINITY;
        for (int t = 0; t < context; t++) {
            long key = place(blockTable, kv, t) + layout.keyOffset(layer, kvHead);
            float dot = 0;
            for (int d = 0; d < dim; d++) {
                dot += q[at + d] * Matrix.MEMORY.get(Matrix.F32, key + 4L * d);
            }
            scores[t] = dot * scale;
            max = Math.max(max, scores[t]);
        }
        float sum = 0;
        for (int t = 0; t < context; t++) {
            scores[t] = (float) Math.exp(scores[t] - max);
            sum += scores[t];
        }
        for (int d = 0; d < dim; d++) {
            float weighted = 0;
            for (int t = 0; t < context; t++) {
                long value = place(blockTable, kv, t) + layout.valueOffset(layer, kvHead);
                weighted += scores[t] * Matrix.MEMORY.get(Matrix.F32, value + 4L * d);
            }
            out[at + d] = weighted / sum;
        }
    }

    /** Address of token t's row within its block, before the offset of layer and head. */
    private static long place(int[] blockTable, KvMemory kv, int t) {
        int blockTokens = kv.layout().blockTokens();
        return kv.address(blockTable[t / blockTokens])
                + (long) (t % blockTokens) * kv.layout().headDim() * 4;
    }

    @Override
    public void siluMul(float[] gate, float[] up, int n) {
        for (int i = 0; i < n; i++) {
            gate[i] = (float) (gate[i] / (1 + Math.exp(-gate[i]))) * up[i];
        }
    }

    @Override
    public void close() {}
}
