package io.tandem.transfer;

import java.lang.foreign.MemorySegment;

/** Where the blocks of a lease are to lie, by slot. */
public interface ReceiveTarget {

    int blocks();

    /**
     * Memory for blocks that come by the stream, each as long as a block; null when there is none now. Asked for once, on the
     * transport's thread, when the sender opens; valid until the listener's terminal call.
     */
    MemorySegment[] memory();

    /** Numbers of the blocks in this worker's pool, for the direct path. */
    int[] poolBlocks();

    /** Memory that is there already, for streams only. */
    static ReceiveTarget of(MemorySegment[] slots) {
        return new ReceiveTarget() {
            @Override
            public int blocks() {
                return slots.length;
            }

            @Override
            public MemorySegment[] memory() {
                return slots;
            }

            @Override
            public int[] poolBlocks() {
                return new int[0];
            }
        };
    }
}
