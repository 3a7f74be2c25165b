package io.tandem.compute.cpu;

import io.tandem.kvcache.KvLayout;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * Gets the vector kernels compiled before a whole model runs through them. Not compiled, a vector operation costs a
 * microsecond and more, so a forward pass would keep all cores busy for seconds, away from the very compiler it waits for.
 * Here one thread runs each kernel on a few rows and then leaves the core to the compiler for as long again, until rounds get
 * no faster.
 */
final class KernelWarmUp {
    /** A round of compiled kernels takes this much less than the first one of others. */
    private static final int COMPILED_FACTOR = 50;

    /** Rounds without a better one before all is taken for compiled; the second figure when nothing was to be gained. */
    private static final int SAME_ROUNDS = 30;

    private static final int SAME_ROUNDS_MAX = 300;

    /** Short calls: a loop that runs long before its method is compiled is compiled by itself, badly and once more. */
    private static final int INPUTS = 32;

    private static final int CONTEXT = 20;
    private static final int ROWS = 8;

    private final List<PackedMatrix> matrices;
    private final KvLayout layout;
    private final int width;
    private final float[] x;
    private final float[] decoded;
    private final float[] sums = new float[Math.max(PackedKernels.SUMS, VectorKernels.SUMS)];
    private final float[] scratch = new float[VectorKernels.SILU_CHUNK];

    /**
     * @param matrices weights of the model, only read: one of each form it has
     * @param layout of the KV blocks attention will read
     */
    KernelWarmUp(List<PackedMatrix> matrices, KvLayout layout) {
        this.matrices = matrices.stream().map(m -> m.firstInputs(INPUTS)).toList();
        this.layout = layout;
        width = Math.max(INPUTS, layout.headDim());
        x = new float[ROWS * width + VectorKernels.LANES];
        decoded = new float[Math.max(INPUTS * PackedMatrix.PANEL, width)];
    }

    /** Returns when the kernels are compiled, or at the first kernel's end after {@code untilNanos} of System.nanoTime(). */
    void run(long untilNanos) {
        int[] table = new int[layout.blocksFor(CONTEXT)];
        try (CpuKvMemory kv = new CpuKvMemory(layout, 1)) {
            long first = 0;
            long best = Long.MAX_VALUE / COMPILED_FACTOR;
            int same = 0;
            while (!(same >= SAME_ROUNDS && best * COMPILED_FACTOR < first) && same < SAME_ROUNDS_MAX) {
                long took = round(kv, table, untilNanos);
                if (System.nanoTime() >= untilNanos) {
                    return;
                }
                first = first == 0 ? took : first;
                same = took < best - best / 10 ? 0 : same + 1;
                best = Math.min(best, took);
                LockSupport.parkNanos(this, Math.min(took, untilNanos - System.nanoTime()));
            }
        }
    }

    private long round(CpuKvMemory kv, int[] table, long untilNanos) {
        long start = System.nanoTime();
        for (PackedMatrix matrix : matrices) {
            for (int kernel = 0; kernel < PRODUCTS && System.nanoTime() < untilNanos; kernel++) {
                product(kernel, matrix);
            }
        }
        for (int kernel = 0; kernel < OTHERS && System.nanoTime() < untilNanos; kernel++) {
            other(kernel, kv, table);
        }
        return System.nanoTime() - start;
    }

    private static final int PRODUCTS = 5;

    private void product(int kernel, PackedMatrix matrix) {
        switch (kernel) {
            case 0 -> PackedKernels.multiplyRow(matrix, 0, x, 0, sums);
            case 1 -> PackedKernels.decode(matrix, 0, decoded);
            case 2 -> {
                if (VectorUnit.MANY_REGISTERS) {
                    PackedKernels.tile8(decoded, 0, matrix.cols, x, 0, sums);
                }
            }
            case 3 -> PackedKernels.tile4(decoded, 0, matrix.cols, x, 0, sums);
            default -> PackedKernels.tile1(decoded, 0, matrix.cols, x, 0, sums);
        }
    }

    private static final int OTHERS = 3;

    private void other(int kernel, CpuKvMemory kv, int[] table) {
        switch (kernel) {
            case 0 -> VectorKernels.rmsNorm(x, 0, width, decoded, 1, x);
            case 1 -> VectorKernels.siluMul(x, x, 0, width, scratch);
            default -> VectorAttention.attend(x, 0, CONTEXT, table, kv, 0, 0, x, decoded, sums);
        }
    }
}
