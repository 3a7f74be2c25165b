package io.tandem.worker;

import io.tandem.kvcache.KvMemory;
import io.tandem.transfer.TransferStats;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The windows through which blocks in a device's memory travel; see {@link KvMemory}. A work borrows them one by one to send
 * and all at once to receive ({@link Landing}), and gives each back when neither the transport nor a copy touches it. Where the host sees the
 * blocks themselves, none of this is used.
 */
final class TransferWindows {
    private final KvMemory kv;
    private final WorkBook.Watcher watcher;

    TransferWindows(KvMemory kv, WorkBook.Watcher watcher) {
        this.kv = kv;
        this.watcher = watcher;
    }

    /** True when blocks travel through windows. */
    boolean areNeeded() {
        return kv.hasWindows();
    }

    /** Where the blocks of a work that are to come land. */
    Landing landing(int[] blockIds, int first) {
        return new Landing(kv, Arrays.copyOfRange(blockIds, first, blockIds.length));
    }

    /** Starts to fill a window with a block; false when none is free. {@link WorkEvent.WindowFilled} says when it is. */
    boolean fill(Work work, int slot, int blockId) {
        MemorySegment window = kv.borrowWindow(blockId);
        if (window == null) {
            return false;
        }
        if (work.windows.length == 0) {
            work.windows = new MemorySegment[work.totalBlocks - work.cachedBlocks];
        }
        work.windows[slot] = window;
        work.copying++;
        long key = work.key;
        kv.fillWindow(
                blockId, window, failure -> watcher.tellSelf(new WorkEvent.WindowFilled(key, slot, text(failure))));
        return true;
    }

    /** Into how many pieces a block is cut at most. */
    int piecesABlock() {
        return kv.layerGroups();
    }

    /**
     * Starts to fill windows with blocks of the pass under way, a group of layers after the other; answers for how many blocks
     * there were windows. {@link WorkEvent.GroupFilled} says when a group is there.
     */
    int fillByGroups(Work work, int firstBlock, int endBlock) {
        int slot = firstBlock - work.cachedBlocks;
        if (work.windows.length == 0) {
            work.windows = new MemorySegment[work.totalBlocks - work.cachedBlocks];
        }
        int count = 0;
        while (firstBlock + count < endBlock) {
            MemorySegment window = kv.borrowWindow(work.blockIds[firstBlock + count]);
            if (window == null) {
                break;
            }
            work.windows[slot + count++] = window;
        }
        if (count > 0) {
            int[] ids = Arrays.copyOfRange(work.blockIds, firstBlock, firstBlock + count);
            MemorySegment[] targets = Arrays.copyOfRange(work.windows, slot, slot + count);
            for (int g = 0; g < kv.layerGroups(); g++) {
                fillGroup(work, g, slot, ids, targets);
            }
        }
        return count;
    }

    private void fillGroup(Work work, int group, int slot, int[] ids, MemorySegment[] targets) {
        work.copying++;
        long key = work.key;
        int slots = ids.length;
        kv.fillGroup(
                work.passUnderWay,
                group,
                ids,
                targets,
                failure -> watcher.tellSelf(new WorkEvent.GroupFilled(key, slot, slots, group, text(failure))));
    }

    /** Starts to fill the blocks of a work with what has arrived. {@link WorkEvent.BlocksFilled} says when they are. */
    void store(Work work, TransferStats stats) {
        work.copying++;
        long key = work.key;
        work.windows = work.landing.takeWindows();
        int[] targets = Arrays.copyOfRange(work.blockIds, work.cachedBlocks, work.blockIds.length);
        kv.fillBlocks(
                targets,
                work.windows,
                failure -> watcher.tellSelf(new WorkEvent.BlocksFilled(key, stats, text(failure))));
    }

    private static String text(RuntimeException failure) {
        return failure == null ? "" : failure.toString();
    }

    void giveBack(Work work, int slot) {
        if (slot < work.windows.length && work.windows[slot] != null) {
            kv.returnWindow(work.windows[slot]);
            work.windows[slot] = null;
        }
    }

    void giveBackAll(Work work) {
        if (work.landing != null && work.windows.length == 0) {
            work.windows = work.landing.takeWindows();
        }
        for (int slot = 0; slot < work.windows.length; slot++) {
            giveBack(work, slot);
        }
    }
}
