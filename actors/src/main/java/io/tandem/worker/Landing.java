package io.tandem.worker;

import io.tandem.kvcache.KvMemory;
import io.tandem.transfer.ReceiveTarget;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Where the blocks of a work in a device's memory land: in windows when they come by the stream, which are borrowed when it
 * begins, all at once; in the blocks themselves when they come from device to device.
 */
final class Landing implements ReceiveTarget {
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

    /** The windows that were borrowed, which are the caller's from now on. */
    MemorySegment[] takeWindows() {
        MemorySegment[] taken = windows;
        windows = NONE;
        return taken;
    }
}
