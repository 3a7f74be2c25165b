package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CublasLt.Plan;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.util.Optional;

/** Matrix products: our skinny kernels for few rows, beyond them cuBLASLt where the host has it, else our tiled kernel. */
final class Products {
    /** c is float32. */
    static final int FLOAT_OUTPUT = 1;
    /** w holds gate rows, then up rows; c is silu(gate) times up. Few rows only. */
    static final int SILU_MUL = 2;

    /** Rows that the skinny kernels take at most; beyond the smaller number cuBLASLt is faster where the host has it. */
    private static final int SKINNY_ROWS = 128;

    private static final int SKINNY_ROWS_BEFORE_LT = 64;

    /** Rows beyond are rounded up to a multiple of this for cuBLASLt, so that plans can be kept. */
    static final int ROW_STEP = 64;

    private static final KernelName[] SKINNY = {
        KernelName.GEMM_SKINNY_8,
        KernelName.GEMM_SKINNY_16,
        KernelName.GEMM_SKINNY_32,
        KernelName.GEMM_SKINNY_64,
        KernelName.GEMM_SKINNY_128
    };

    /** The shape of a weight, with what cuBLASLt prepared for it by number of rows. */
    static final class Weight {
        final int n;
        final int k;
        private final boolean floatOutput;
        private final Plan[] plans;

        private Weight(int n, int k, boolean floatOutput, int maxRows) {
            this.n = n;
            this.k = k;
            this.floatOutput = floatOutput;
            plans = new Plan[(maxRows + ROW_STEP - 1) / ROW_STEP + 1];
        }
    }

    private final CudaDriver driver;
    private final Kernels kernels;
    private final Stream stream;
    private final Optional<CublasLt> lt;
    private final long workspace;
    private final long ltWorkspace;
    private final int[] skinnyBlocks = new int[SKINNY.length];
    private final int tileM;
    private final int tileN;

    Products(
            CudaDriver driver,
            Kernels kernels,
            Stream stream,
            Optional<CublasLt> lt,
            long workspace,
            DeviceMemory memory) {
        this.driver = driver;
        this.kernels = kernels;
        this.stream = stream;
        this.lt = lt;
        this.workspace = workspace;
        ltWorkspace = lt.isPresent() ? memory.take("workspace", CublasLt.WORKSPACE_BYTES) : 0;
        for (int i = 0; i < SKINNY.length; i++) {
            // Some of these kernels work in pairs of blocks.
            skinnyBlocks[i] = driver.facts().multiprocessors() * kernels.figure(SKINNY[i], "blocksPerSm") / 2 * 2;
        }
        tileM = kernels.figure(KernelName.GEMM_TILE, "tileM");
        tileN = kernels.figure(KernelName.GEMM_TILE, "tileN");
    }

    /** A weight of n rows of k inputs. */
    Weight weight(int n, int k, boolean floatOutput, int maxRows) {
        return new Weight(n, k, floatOutput, maxRows);
    }

    /** Rows a buffer needs for products of up to that many. */
    static int paddedRows(int rows) {
        return (rows + ROW_STEP - 1) / ROW_STEP * ROW_STEP;
    }

    /**
     * c[rows][n] = a[rows][k] · wᵀ (+ c).
     *
     * @param count device address of the live rows
     * @param accumulate whether c is added to
     * @param flags {@link #FLOAT_OUTPUT} when the weight says so, {@link #SILU_MUL}
     */
    void multiply(Weight w, long c, long a, long address, boolean accumulate, long count, int rows, int flags) {
        if (lt.isPresent() && !isSkinny(rows)) {
            Plan plan = plan(w, rows);
            lt.get().multiply(plan, c, a, address, accumulate, ltWorkspace, driver.handle(stream));
            return;
        }
        int skinny = skinny(rows);
        kernels.call(skinny < 0 ? KernelName.GEMM_TILE : SKINNY[skinny])
                .address(c)
                .address(a)
                .address(address)
                .address(0)
                .address(accumulate ? c : 0)
                .address(workspace)
                .address(count)
                .number(rows)
                .number(w.n)
                .number(w.k)
                .number(flags);
        if (skinny < 0) {
            kernels.on((w.n + tileN - 1) / tileN, (rows + tileM - 1) / tileM);
        } else {
            kernels.on(skinnyBlocks[skinny]);
        }
    }

    /** Whether a product of so many rows is one of ours for few rows, which can do {@link #SILU_MUL}. */
    boolean isSkinny(int rows) {
        return rows <= (lt.isPresent() ? SKINNY_ROWS_BEFORE_LT : SKINNY_ROWS);
    }

    private static int skinny(int rows) {
        for (int i = 0; i < SKINNY.length; i++) {
            if (rows <= 8 << i) {
                return i;
            }
        }
        return -1;
    }

    private Plan plan(Weight w, int rows) {
        int step = (rows + ROW_STEP - 1) / ROW_STEP;
        if (w.plans[step] == null) {
            w.plans[step] = lt.get().plan(step * ROW_STEP, w.n, w.k, w.floatOutput);
        }
        return w.plans[step];
    }
}
