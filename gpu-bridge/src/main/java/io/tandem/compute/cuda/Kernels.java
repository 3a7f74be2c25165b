package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Kernel;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;

/**
 * The loaded kernels and the way to call them: {@code call(k).address(a).number(n).on(x, y)}. One thread, one stream;
 * a call allocates nothing.
 */
final class Kernels implements AutoCloseable {
    static final int MAX_PARAMETERS = 24;

    private record Loaded(Kernel kernel, int threads, int sharedBytes) {}

    private final CudaDriver driver;
    private final Stream stream;
    private final KernelCatalog catalog;
    private final EnumMap<KernelName, Loaded> loaded = new EnumMap<>(KernelName.class);
    private final Arena arena = Arena.ofShared();
    private final MemorySegment values;
    private final long pointers;
    private final boolean mayOverlap;
    private boolean overlaps;
    private Loaded current;
    private int count;

    Kernels(CudaDriver driver, KernelCatalog catalog, Stream stream, boolean mayOverlap) {
        this.driver = driver;
        this.catalog = catalog;
        this.stream = stream;
        this.mayOverlap = mayOverlap && catalog.target().equals("sm_90a");
        List<KernelName> ids =
                Arrays.stream(KernelName.values()).filter(catalog::has).toList();
        String[] names = ids.stream().map(id -> id.kernel).toArray(String[]::new);
        int[] sharedBytes = ids.stream()
                .mapToInt(id -> catalog.number(id.kernel + ".sharedBytes", 0))
                .toArray();
        Kernel[] kernels = driver.load(catalog.ptx(), names, sharedBytes);
        for (int i = 0; i < kernels.length; i++) {
            loaded.put(ids.get(i), new Loaded(kernels[i], catalog.number(names[i] + ".threads"), sharedBytes[i]));
        }
        values = arena.allocate(8L * MAX_PARAMETERS, 16);
        MemorySegment array = arena.allocate(8L * MAX_PARAMETERS, 16);
        for (int i = 0; i < MAX_PARAMETERS; i++) {
            array.setAtIndex(ValueLayout.JAVA_LONG, i, values.address() + 8L * i);
        }
        pointers = array.address();
    }

    /** Whether the device has this kernel. */
    boolean has(KernelName id) {
        return loaded.containsKey(id);
    }

    /** A kernel for another stream than this one's. */
    Kernel kernel(KernelName id) {
        return loaded.get(id).kernel();
    }

    /** A figure of {@code kernels.properties}. */
    int figure(KernelName id, String what) {
        return catalog.number(id.kernel + "." + what);
    }

    int figure(String key) {
        return catalog.number(key);
    }

    /** The next launch follows a copy or the start of a stream: it waits for what is ahead of it. */
    void afterCopy() {
        overlaps = false;
    }

    Kernels call(KernelName id) {
        current = loaded.get(id);
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
                current.kernel(),
                gridX,
                gridY,
                gridZ,
                current.threads(),
                current.sharedBytes(),
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
