package io.tandem.compute.cuda;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/** Pinned host memory in pieces of one block: made in slabs as it is first needed, up to a limit, and used again. Any thread. */
final class WindowPool implements AutoCloseable {
    private static final long SLAB_BYTES = 64L << 20;
    private static final long ALIGNMENT = 64;

    private final CudaDriver driver;
    private final long windowBytes;
    private final long stride;
    private final int windowsASlab;
    private final int maxWindows;
    private final List<MemorySegment> slabs = new ArrayList<>();
    private final ArrayDeque<MemorySegment> free = new ArrayDeque<>();
    private int made;

    WindowPool(CudaDriver driver, long windowBytes, long limitBytes) {
        this.driver = driver;
        this.windowBytes = windowBytes;
        stride = (windowBytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        maxWindows = Math.clamp(limitBytes / stride, 0, Integer.MAX_VALUE);
        windowsASlab = Math.clamp(SLAB_BYTES / stride, 1, Math.max(1, maxWindows));
    }

    /** A window, or null when all are in use. */
    synchronized MemorySegment borrow() {
        if (free.isEmpty() && made + windowsASlab <= maxWindows) {
            driver.makeCurrent();
            MemorySegment slab = driver.allocatePinned(stride * windowsASlab);
            slabs.add(slab);
            for (int i = 0; i < windowsASlab; i++) {
                free.add(slab.asSlice(i * stride, windowBytes));
            }
            made += windowsASlab;
        }
        return free.pollLast();
    }

    synchronized void giveBack(MemorySegment window) {
        free.addLast(window);
    }

    /** Windows in use. */
    synchronized int borrowed() {
        return made - free.size();
    }

    @Override
    public synchronized void close() {
        slabs.forEach(driver::freePinned);
        slabs.clear();
        free.clear();
        made = 0;
    }
}
