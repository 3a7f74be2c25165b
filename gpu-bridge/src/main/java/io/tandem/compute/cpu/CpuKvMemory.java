package io.tandem.compute.cpu;

import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * KV blocks in host memory. The pages come zeroed from the operating system and are touched only when a block is first
 * used: {@code calloc} of a large area is lazy, whereas an arena would write zeros to all of it at start.
 */
final class CpuKvMemory implements KvMemory {
    private static final long ALIGNMENT = 64;
    private static final Linker LINKER = Linker.nativeLinker();
    private static final MethodHandle CALLOC = LINKER.downcallHandle(
            LINKER.defaultLookup().findOrThrow("calloc"),
            FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG));
    private static final MethodHandle FREE = LINKER.downcallHandle(
            LINKER.defaultLookup().findOrThrow("free"), FunctionDescriptor.ofVoid(ValueLayout.ADDRESS));

    private final KvLayout layout;
    private final int blocks;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment memory;
    private final long stride;
    private final long base;
    private volatile boolean kept;

    CpuKvMemory(KvLayout layout, int blocks) {
        this.layout = layout;
        this.blocks = blocks;
        stride = (layout.blockBytes() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        long bytes = Math.multiplyExact(stride, (long) blocks);
        MemorySegment raw = allocate(bytes + ALIGNMENT).reinterpret(bytes + ALIGNMENT, arena, CpuKvMemory::free);
        long skip = -raw.address() & (ALIGNMENT - 1);
        memory = raw.asSlice(skip, bytes);
        base = memory.address();
    }

    private static MemorySegment allocate(long bytes) {
        try {
            MemorySegment raw = (MemorySegment) CALLOC.invokeExact(bytes, 1L);
            if (raw.equals(MemorySegment.NULL)) {
                throw new IllegalStateException(
                        "no " + bytes + " bytes for KV blocks: lower tandem.engine.kv-memory-bytes or kv-blocks");
            }
            return raw;
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static void free(MemorySegment segment) {
        try {
            FREE.invokeExact(segment);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public KvLayout layout() {
        return layout;
    }

    @Override
    public int blocks() {
        return blocks;
    }

    @Override
    public MemorySegment block(int blockId) {
        return memory.asSlice(blockId * stride, layout.blockBytes());
    }

    @Override
    public long address(int blockId) {
        if (blockId < 0 || blockId >= blocks) {
            throw new IndexOutOfBoundsException("KV block " + blockId + " of " + blocks);
        }
        return base + blockId * stride;
    }

    @Override
    public void keep() {
        kept = true;
    }

    @Override
    public void close() {
        if (!kept) {
            arena.close();
        }
    }
}
