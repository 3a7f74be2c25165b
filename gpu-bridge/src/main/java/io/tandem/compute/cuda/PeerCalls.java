package io.tandem.compute.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/** The driver's calls that share memory between processes and devices: JCuda hides the bytes of their handles. */
final class PeerCalls {
    static final int HANDLE_BYTES = 64;
    static final int UUID_BYTES = 16;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final MemoryLayout HANDLE =
            MemoryLayout.structLayout(MemoryLayout.sequenceLayout(HANDLE_BYTES, ValueLayout.JAVA_BYTE));
    private static final int LAZY_ENABLE_PEER_ACCESS = 1;
    private static final int ALREADY_ENABLED = 704;

    private static final MethodHandle DEVICE = bind("cuDeviceGet", ValueLayout.ADDRESS, INT);
    private static final MethodHandle DEVICE_UUID = bind("cuDeviceGetUuid", ValueLayout.ADDRESS, INT);
    private static final MethodHandle CAN_ACCESS = bind("cuDeviceCanAccessPeer", ValueLayout.ADDRESS, INT, INT);
    private static final MethodHandle GET_HANDLE = bind("cuIpcGetMemHandle", ValueLayout.ADDRESS, LONG);
    private static final MethodHandle OPEN_HANDLE = bind("cuIpcOpenMemHandle_v2", ValueLayout.ADDRESS, HANDLE, INT);
    private static final MethodHandle CLOSE_HANDLE = bind("cuIpcCloseMemHandle", LONG);
    private static final MethodHandle ENABLE_PEER = bind("cuCtxEnablePeerAccess", LONG, INT);
    private static final MethodHandle COPY_PEER = bind("cuMemcpyPeerAsync", LONG, LONG, LONG, LONG, LONG, LONG);

    private PeerCalls() {}

    private static MethodHandle bind(String name, MemoryLayout... parameters) {
        SymbolLookup library = SymbolLookup.libraryLookup("libcuda.so.1", Arena.global());
        return Linker.nativeLinker().downcallHandle(library.findOrThrow(name), FunctionDescriptor.of(INT, parameters));
    }

    private static void check(String call, int result) {
        if (result != 0) {
            throw new CudaException(call, result, jcuda.driver.CUresult.stringFor(result));
        }
    }

    /** The number of a device that is the same in every process. */
    static byte[] uuid(int ordinal) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(UUID_BYTES);
            check("cuDeviceGetUuid", (int) DEVICE_UUID.invokeExact(bytes, device(arena, ordinal)));
            return bytes.toArray(ValueLayout.JAVA_BYTE);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    private static int device(Arena arena, int ordinal) throws Throwable {
        MemorySegment device = arena.allocate(INT);
        check("cuDeviceGet", (int) DEVICE.invokeExact(device, ordinal));
        return device.get(INT, 0);
    }

    static boolean canAccess(int ordinal, int peer) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment can = arena.allocate(INT);
            check("cuDeviceCanAccessPeer", (int)
                    CAN_ACCESS.invokeExact(can, device(arena, ordinal), device(arena, peer)));
            return can.get(INT, 0) != 0;
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static byte[] share(long address) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment handle = arena.allocate(HANDLE_BYTES);
            check("cuIpcGetMemHandle", (int) GET_HANDLE.invokeExact(handle, address));
            return handle.toArray(ValueLayout.JAVA_BYTE);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long open(byte[] handle) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(LONG);
            MemorySegment bytes = arena.allocate(HANDLE);
            MemorySegment.copy(handle, 0, bytes, ValueLayout.JAVA_BYTE, 0, HANDLE_BYTES);
            check("cuIpcOpenMemHandle", (int) OPEN_HANDLE.invokeExact(address, bytes, LAZY_ENABLE_PEER_ACCESS));
            return address.get(LONG, 0);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static void close(long address) {
        try {
            check("cuIpcCloseMemHandle", (int) CLOSE_HANDLE.invokeExact(address));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** Gives the current context access to another one. */
    static void enable(long context) {
        try {
            int result = (int) ENABLE_PEER.invokeExact(context, 0);
            if (result != ALREADY_ENABLED) {
                check("cuCtxEnablePeerAccess", result);
            }
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static void copy(long to, long toContext, long from, long fromContext, long bytes, long stream) {
        try {
            check("cuMemcpyPeerAsync", (int) COPY_PEER.invokeExact(to, toContext, from, fromContext, bytes, stream));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    private static RuntimeException unexpected(Throwable e) {
        return e instanceof RuntimeException r ? r : new IllegalStateException(e);
    }
}
