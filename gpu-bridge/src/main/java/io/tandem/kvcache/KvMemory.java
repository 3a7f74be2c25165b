package io.tandem.kvcache;

import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.function.Consumer;

/** The memory of a worker's KV blocks: {@code blocks} extents of {@link KvLayout#blockBytes()}, numbered from 0. */
public interface KvMemory extends AutoCloseable {

    KvLayout layout();

    int blocks();

    /**
     * The bytes of one block, where the host computes with them; valid until {@link #close()}. Off-heap, 64-byte aligned.
     *
     * @throws UnsupportedOperationException when the blocks lie in a device's memory
     */
    MemorySegment block(int blockId);

    /** Native address of one block's first byte, on the host or on the device. */
    default long address(int blockId) {
        return block(blockId).address();
    }

    // A block travels through a window: host memory as long as a block. Where the host sees the block, the window is
    // the
    // block; else it is pinned memory that must be filled from the block, or the block from it. Any thread.

    /** True when blocks and windows are different memory. */
    default boolean hasWindows() {
        return false;
    }

    /** A window for one block; null when all of them are in use now. */
    default MemorySegment borrowWindow(int blockId) {
        return block(blockId);
    }

    /** Ends the use of a window. */
    default void returnWindow(MemorySegment window) {}

    /** Fills a window from its block. {@code done} runs soon, on any thread, with null or with what went wrong. */
    default void fillWindow(int blockId, MemorySegment window, Consumer<RuntimeException> done) {
        done.accept(null);
    }

    /**
     * Groups of layers in which a block can leave while its pass runs, one after the other; 1 = only whole, after the pass.
     */
    default int layerGroups() {
        return 1;
    }

    /** Where a group begins in a block; the group after the last one begins at its end. */
    default long groupOffset(int group) {
        return group * layout().blockBytes();
    }

    /** Passes begun so far: the number of the latest one. */
    default long passes() {
        return 0;
    }

    /**
     * Fills a group's part of windows as soon as a pass has computed it; {@code done} as in {@link #fillWindow}.
     *
     * @param pass its number, no older than the one before the latest, in which the sequence had more than one token
     */
    default void fillGroup(
            long pass, int group, int[] blockIds, MemorySegment[] windows, Consumer<RuntimeException> done) {
        throw new UnsupportedOperationException("blocks leave whole");
    }

    /** Fills blocks from their windows, all of a transfer at once. {@code done} as in {@link #fillWindow}. */
    default void fillBlocks(int[] blockIds, MemorySegment[] windows, Consumer<RuntimeException> done) {
        done.accept(null);
    }

    /** The way to and from the blocks of other workers on this host past the host's memory; empty where there is none. */
    default Optional<PeerBlocks> peers() {
        return Optional.empty();
    }

    /** Another process may have the blocks open still, or a transfer that did not end: {@link #close()} must not free them. */
    default void keep() {}

    @Override
    void close();
}
