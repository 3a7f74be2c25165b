package io.tandem.compute.cpu;

import io.tandem.compute.ForwardBatch;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import java.util.List;

/**
 * The operations a transformer's forward pass is made of, over rows of float32 activations (row-major, one row a token).
 * Every result of a row depends on that row alone: no implementation may let the number of rows, their grouping or the
 * number of threads change the order of a sum.
 */
interface CpuOps extends AutoCloseable {

    String name();

    /** What it runs on, for people. */
    String device();

    /** Takes a weight matrix in, once, before its first product: an implementation may keep a copy in its own order. */
    void prepare(Matrix w);

    /** Gets kernels compiled, with {@code samples} as weights, until System.nanoTime() is {@code untilNanos} at the latest. */
    default void warmUp(List<Matrix> samples, KvLayout layout, long untilNanos) {}

    /** out[r] = row ids[r] of the table; shape [rows][cols]. */
    void embed(Matrix table, int[] ids, int rows, float[] out);

    /** out[r] = x[r] / rms(x[r]) * weight; shapes [rows][width]; {@code out} may be {@code x}. */
    void rmsNorm(float[] x, int rows, int width, float[] weight, float eps, float[] out);

    /** out[r][o] = sum over k of w[o][k] * x[r][k]; x is [rows][w.cols], out [rows][w.rows]. */
    void matmul(Matrix w, float[] x, int rows, float[] out);

    /** The same, added to what is in {@code out}. */
    void matmulAdd(Matrix w, float[] x, int rows, float[] out);

    /** x[r] += bias; shape [rows][width]. */
    void addBias(float[] x, int rows, int width, float[] bias);

    /**
     * Rotates the heads of each row in place.
     *
     * @param x shape [rows][heads * headDim]
     * @param cos shape [rows][headDim / 2], likewise {@code sin}
     */
    void rope(float[] x, int rows, int heads, int headDim, float[] cos, float[] sin, boolean interleaved);

    /** Writes keys and values, [tokens][kvHeads * headDim], of each token of the batch to its place in the blocks. */
    void storeKv(float[] keys, float[] values, ForwardBatch batch, KvMemory kv, int layer);

    /**
     * Causal attention of each token over all tokens before it and itself, through the block tables.
     *
     * @param queries shape [tokens][heads * headDim]
     * @param out likewise
     */
    void attention(float[] queries, int heads, ForwardBatch batch, KvMemory kv, int layer, float[] out);

    /** gate[i] = gate[i] * sigmoid(gate[i]) * up[i] for i below n; arrays may be padded beyond n. */
    void siluMul(float[] gate, float[] up, int n);

    @Override
    void close();
}
