package io.tandem.compute.cpu;

import io.tandem.compute.ForwardBatch;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import java.lang.foreign.Arena;
import java.util.List;

/**
 * The operations on the Vector API and several threads. Threads share work by output rows, heads and tokens, never along
 * a sum, so their number changes no result.
 */
final class VectorOps extends ScalarOps {
    /** Panels a thread claims at a time: enough to pay for the claim, few enough to balance. */
    private static final int PANELS_PER_ITEM = 2;

    /** Features a tile kernel takes at once. */
    private static final int PAIR = 2 * VectorUnit.WIDTH;

    private static final int ELEMENTS_PER_ITEM = 16 * 1024;

    private final Arena weights = Arena.ofShared();
    private final CpuThreads threads;
    private final ProductTask product;
    private final AttentionTask attention;
    private final SiluTask silu;
    private final NormTask norm = new NormTask();

    VectorOps(int threadCount) {
        threads = new CpuThreads(threadCount);
        product = new ProductTask(threadCount);
        attention = new AttentionTask(threadCount);
        silu = new SiluTask(threadCount);
    }

    @Override
    public String name() {
        return "cpu-vector";
    }

    @Override
    public String device() {
        return VectorUnit.WIDTH * 32 + "-bit vectors, " + threads.threads()
                + (threads.threads() == 1 ? " thread" : " threads");
    }

    @Override
    public void prepare(Matrix w) {
        if (w.packed() == null) {
            w.pack(new PackedMatrix(w, weights));
            product.reserve(w.cols);
        }
    }

    @Override
    public void warmUp(List<Matrix> samples, KvLayout layout, long untilNanos) {
        new KernelWarmUp(samples.stream().map(Matrix::packed).toList(), layout).run(untilNanos);
    }

    @Override
    public void matmul(Matrix w, float[] x, int rows, float[] out) {
        product.run(threads, w, x, rows, out, false);
    }

    @Override
    public void matmulAdd(Matrix w, float[] x, int rows, float[] out) {
        product.run(threads, w, x, rows, out, true);
    }

    @Override
    public void attention(float[] queries, int heads, ForwardBatch batch, KvMemory kv, int layer, float[] out) {
        attention.run(threads, queries, heads, batch, kv, layer, out);
    }

    @Override
    public void siluMul(float[] gate, float[] up, int n) {
        silu.gate = gate;
        silu.up = up;
        silu.n = n;
        threads.run(silu, (n + ELEMENTS_PER_ITEM - 1) / ELEMENTS_PER_ITEM);
    }

    @Override
    public void rmsNorm(float[] x, int rows, int width, float[] weight, float eps, float[] out) {
        norm.x = x;
        norm.width = width;
        norm.weight = weight;
        norm.eps = eps;
        norm.out = out;
        norm.rows = rows;
        threads.run(norm, (rows + NormTask.ROWS - 1) / NormTask.ROWS);
    }

    @Override
    public void close() {
        threads.close();
        weights.close();
    }

    /** One matrix product, cut by panels of output features. */
    private static final class ProductTask implements CpuThreads.Task {
        private final float[][] panels;
        private final float[][] sums;
        private PackedMatrix w;
        private float[] x;
        private int rows;
        private float[] out;
        private boolean add;

        ProductTask(int threads) {
            panels = new float[threads][0];
            sums = new float[threads][PackedKernels.SUMS];
        }

        /** Makes the scratch large enough, so that products allocate nothing. */
        void reserve(int cols) {
            int needed = Math.multiplyExact(cols, PackedMatrix.PANEL);
            for (int i = 0; i < panels.length; i++) {
                if (panels[i].length < needed) {
                    panels[i] = new float[needed];
                }
            }
        }

        void run(CpuThreads threads, Matrix matrix, float[] in, int rowCount, float[] to, boolean addTo) {
            w = matrix.packed();
            x = in;
            rows = rowCount;
            out = to;
            add = addTo;
            threads.run(this, (w.panels() + PANELS_PER_ITEM - 1) / PANELS_PER_ITEM);
        }

        @Override
        public void run(int item, int thread) {
            int end = Math.min((item + 1) * PANELS_PER_ITEM, w.panels());
            for (int panel = item * PANELS_PER_ITEM; panel < end; panel++) {
                if (rows == 1) {
                    PackedKernels.multiplyRow(w, panel, x, 0, sums[thread]);
                    put(panel, 0, 1, sums[thread]);
                } else {
                    multiplyRows(panel, panels[thread], sums[thread]);
                }
            }
        }

        private void multiplyRows(int panel, float[] decoded, float[] tile) {
            int cols = w.cols;
            PackedKernels.decode(w, panel, decoded);
            int r = 0;
            for (; VectorUnit.MANY_REGISTERS && r + 8 <= rows; r += 8) {
                for (int lane = 0; lane < PackedMatrix.PANEL; lane += PAIR) {
                    PackedKernels.tile8(decoded, lane, cols, x, r * cols, tile);
                }
                put(panel, r, 8, tile);
            }
            for (; r + 4 <= rows; r += 4) {
                for (int lane = 0; lane < PackedMatrix.PANEL; lane += PAIR) {
                    PackedKernels.tile4(decoded, lane, cols, x, r * cols, tile);
                }
                put(panel, r, 4, tile);
            }
            for (; r < rows; r++) {
                for (int lane = 0; lane < PackedMatrix.PANEL; lane += PAIR) {
                    PackedKernels.tile1(decoded, lane, cols, x, r * cols, tile);
                }
                put(panel, r, 1, tile);
            }
        }

        private void put(int panel, int row, int count, float[] tile) {
            int first = panel * PackedMatrix.PANEL;
            int width = Math.min(PackedMatrix.PANEL, w.rows - first);
            for (int r = 0; r < count; r++) {
                int at = (row + r) * w.rows + first;
                int from = r * PackedMatrix.PANEL;
                if (add) {
                    for (int i = 0; i < width; i++) {
                        out[at + i] += tile[from + i];
                    }
                } else {
                    System.arraycopy(tile, from, out, at, width);
                }
            }
        }
    }

    /** Attention cut by (token, key/value head). */
    private static final class AttentionTask implements CpuThreads.Task {
        private final float[][] scores;
        private final float[][] sums;
        private int[] tokenSequence = new int[0];
        private float[] queries;
        private int heads;
        private ForwardBatch batch;
        private KvMemory kv;
        private int layer;
        private float[] out;

        AttentionTask(int threads) {
            scores = new float[threads][0];
            sums = new float[threads][VectorKernels.SUMS];
        }

        void run(CpuThreads threads, float[] q, int headCount, ForwardBatch b, KvMemory memory, int l, float[] to) {
            queries = q;
            heads = headCount;
            batch = b;
            kv = memory;
            layer = l;
            out = to;
            if (tokenSequence.length < b.maxTokens) {
                tokenSequence = new int[b.maxTokens];
            }
            for (int s = 0; s < b.sequences; s++) {
                for (int i = 0; i < b.tokenCount[s]; i++) {
                    tokenSequence[b.tokenStart[s] + i] = s;
                }
            }
            threads.run(this, b.tokens * memory.layout().kvHeads());
        }

        @Override
        public void run(int item, int thread) {
            int kvHeads = kv.layout().kvHeads();
            // Late tokens have the longest context: they go first, so that no thread is left alone with one.
            int token = batch.tokens - 1 - item / kvHeads;
            int kvHead = item % kvHeads;
            int context = batch.positions[token] + 1;
            int group = heads / kvHeads;
            int needed = VectorAttention.scoresNeeded(context, kv.layout().blockTokens());
            if (scores[thread].length < needed) {
                scores[thread] = new float[needed * 2];
            }
            for (int h = kvHead * group; h < (kvHead + 1) * group; h++) {
                VectorAttention.attend(
                        queries,
                        (token * heads + h) * kv.layout().headDim(),
                        context,
                        batch.blockTables[tokenSequence[token]],
                        kv,
                        layer,
                        kvHead,
                        out,
                        scores[thread],
                        sums[thread]);
            }
        }
    }

    private static final class SiluTask implements CpuThreads.Task {
        private float[] gate;
        private float[] up;
        private int n;
        private final float[][] scratch;

        SiluTask(int threads) {
            scratch = new float[threads][VectorKernels.SILU_CHUNK];
        }

        @Override
        public void run(int item, int thread) {
            int from = item * ELEMENTS_PER_ITEM;
            VectorKernels.siluMul(gate, up, from, Math.min(from + ELEMENTS_PER_ITEM, n), scratch[thread]);
        }
    }

    private static final class NormTask implements CpuThreads.Task {
        static final int ROWS = 16;
        private float[] x;
        private int width;
        private float[] weight;
        private float eps;
        private float[] out;
        private int rows;

        @Override
        public void run(int item, int thread) {
            for (int r = item * ROWS; r < Math.min(item * ROWS + ROWS, rows); r++) {
                VectorKernels.rmsNorm(x, r * width, width, weight, eps, out);
            }
        }
    }
}
