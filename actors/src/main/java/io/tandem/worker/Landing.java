package io.tandem.worker;

import io.tandem.kvcache.KvMemory;
import io.tandem.transfer.ReceiveTarget;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * Where blocks that come on one lease land: in windows when they come by the stream, which are borrowed all at once when it begins and
 * are the blocks themselves where the host sees those; in the blocks when they come from device to device.
 */
public final class Landing implements ReceiveTarget {
    private static final MemorySegment[] NONE = {};

    private final KvMemory kv;
    private final int[] blockIds;
    private volatile MemorySegment[] windows = NONE;

    Landing(KvMemory kv, int[] blockIds) {
        this.kv = kv;
        this.blockIds = blockIds;
    }

    @Override
    public int blocks() {
        return blockIds.length;
    }

    @Override
    public int[] poolBlocks() {
        return blockIds.clone();
    }

    @Override
    public MemorySegment[] memory() {
        if (windows.length == blockIds.length) {
            return windows;
        }
        MemorySegment[] borrowed = new MemorySegment[blockIds.length];
        for (int i = 0; i < borrowed.length; i++) {
            borrowed[i] = kv.borrowWindow(blockIds[i]);
            if (borrowed[i] == null) {
                Arrays.stream(borrowed, 0, i).forEach(kv::returnWindow);
                return null;
            }
        }
        windows = borrowed;
        return borrowed;
    }

    /** Starts to fill the first blocks with what has arrived in their windows; {@code done} as in {@link KvMemory#fillBlocks}. */
    void store(int count, Consumer<RuntimeException> done) {
        kv.fillBlocks(Arrays.copyOf(blockIds, count), Arrays.copyOf(windows, count), done);
    }

    /** Gives the windows back that were borrowed; nothing writes to them or reads them any more. */
    void giveBack() {
        MemorySegment[] taken = windows;
        windows = NONE;
        for (MemorySegment window : taken) {
            kv.returnWindow(window);
        }
    }
}
