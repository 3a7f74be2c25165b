package io.tandem.kvcache;

import java.lang.foreign.MemorySegment;

/** The memory of a worker's KV blocks: {@code blocks} extents of {@link KvLayout#blockBytes()}, numbered from 0. */
public interface KvMemory extends AutoCloseable {

    KvLayout layout();

    int blocks();

    /** The bytes of one block as the host sees them; valid until {@link #close()}. Off-heap, 64-byte aligned. */
    MemorySegment block(int blockId);

    /** Native address of one block's first byte. */
    default long address(int blockId) {
        return block(blockId).address();
    }

    @Override
    void close();
}
