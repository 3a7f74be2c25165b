package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Kernel;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The loaded kernels and the way to call them: {@code call(k).address(a).number(n).on(x, y)}. One thread, one stream;
 * a call allocates nothing.
 */
final class Kernels implements AutoCloseable {
    private static final int MAX_PARAMETERS = 24;

    /** A kernel of the catalog, by its index among the loaded ones. */
    enum Id {
        EMBED_GATHER,
        GATHER_ROWS,
        RMSNORM,
        QKV_ROPE_WRITE,
        SILU_MUL,
        ATTENTION_DECODE,
        ATTENTION_PREFILL,
        GEMM_SKINNY_8,
        GEMM_SKINNY_16,
        GEMM_SKINNY_32,
        GEMM_SKINNY_64,
        GEMM_SKINNY_128,
        GEMM_TILE,
        SAMPLE_MAX,
        SAMPLE_DRAW,
        PENALTY_RESET,
        READ_PROBE;

        final String kernel = name().toLowerCase(java.util.Locale.ROOT);
    }

    private static final Id[] IDS = Id.values();

    private final CudaDriver driver;
    private final Stream stream;
    private final KernelCatalog catalog;
    private final Kernel[] loaded;
    private final int[] threads = new int[IDS.length];
    private final int[] sharedBytes = new int[IDS.length];
    private final Arena arena = Arena.ofShared();
    private final MemorySegment values;
    private final long pointers;
    private final boolean mayOverlap;
    private boolean overlaps;
    private int current;
    private int count;

    Kernels(CudaDriver driver, KernelCatalog catalog, Stream stream, boolean mayOverlap) {
        this.driver = driver;
        this.catalog = catalog;
        this.stream = stream;
        this.mayOverlap = mayOverlap && catalog.target().equals("sm_90a");
        String[] names = new String[IDS.length];
        for (Id id : IDS) {
            names[id.ordinal()] = id.kernel;
            threads[id.ordinal()] = catalog.number(id.kernel + ".threads");
            sharedBytes[id.ordinal()] = catalog.number(id.kernel + ".sharedBytes", 0);
        }
        loaded = driver.load(catalog.ptx(), names, sharedBytes);
        values = arena.allocate(8L * MAX_PARAMETERS, 16);
        MemorySegment array = arena.allocate(8L * MAX_PARAMETERS, 16);
        for (int i = 0; i < MAX_PARAMETERS; i++) {
            array.setAtIndex(ValueLayout.JAVA_LONG, i, values.address() + 8L * i);
        }
        pointers = array.address();
    }

    /** A figure of {@code kernels.properties}. */
    int figure(Id id, String what) {
        return catalog.number(id.kernel + "." + what);
    }

    int figure(String key) {
        return catalog.number(key);
    }

    /** The next launch follows a copy or the start of a stream: it waits for what is ahead of it. */
    void afterCopy() {
        overlaps = false;
    }

    Kernels call(Id id) {
        current = id.ordinal();
        count = 0;
        return this;
    }

    Kernels address(long device) {
        values.setAtIndex(ValueLayout.JAVA_LONG, count++, device);
        return this;
    }

    Kernels number(int value) {
        values.setAtIndex(ValueLayout.JAVA_LONG, count++, value);
        return this;
    }

    Kernels wide(long value) {
        values.setAtIndex(ValueLayout.JAVA_LONG, count++, value);
        return this;
    }

    Kernels real(float value) {
        values.setAtIndex(ValueLayout.JAVA_LONG, count++, Float.floatToRawIntBits(value));
        return this;
    }

    void on(int gridX) {
        on(gridX, 1, 1);
    }

    void on(int gridX, int gridY) {
        on(gridX, gridY, 1);
    }

    void on(int gridX, int gridY, int gridZ) {
        driver.launch(
                loaded[current],
                gridX,
                gridY,
                gridZ,
                threads[current],
                sharedBytes[current],
                stream,
                pointers,
                overlaps && mayOverlap);
        overlaps = true;
    }

    @Override
    public void close() {
        arena.close();
    }
}
