package io.tandem.compute.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;

/**
 * The driver's calls that a step makes, bound directly: JCuda wraps every address in an object and has no launch with
 * attributes. Loaded only where {@link NativeDriver} found a device.
 */
final class DriverCalls {
    private static final String LIBRARY = "libcuda.so.1";
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;

    private static final MethodHandle COPY_TO_DEVICE = bind("cuMemcpyHtoDAsync_v2", LONG, LONG, LONG, LONG);
    private static final MethodHandle COPY_TO_HOST = bind("cuMemcpyDtoHAsync_v2", LONG, LONG, LONG, LONG);
    private static final MethodHandle COPY_ON_DEVICE = bind("cuMemcpyDtoDAsync_v2", LONG, LONG, LONG, LONG);
    private static final MethodHandle COPY_2D = bind("cuMemcpy2DAsync_v2", ValueLayout.ADDRESS, LONG);
    private static final MethodHandle FILL = bind("cuMemsetD8Async", LONG, ValueLayout.JAVA_BYTE, LONG, LONG);
    private static final MethodHandle FREE = bind("cuMemFree_v2", LONG);
    private static final MethodHandle LAUNCH = bind("cuLaunchKernelEx", ValueLayout.ADDRESS, LONG, LONG, LONG);

    /** CUDA_MEMCPY2D: source x, y, memory type, host, device, array, pitch; the same of the destination; width, height. */
    private static final int COPY_2D_BYTES = 128;

    private static final int SOURCE_TYPE = 16;
    private static final int SOURCE_HOST = 24;
    private static final int SOURCE_PITCH = 48;
    private static final int TARGET_TYPE = 72;
    private static final int TARGET_DEVICE = 88;
    private static final int TARGET_PITCH = 104;
    private static final int WIDTH = 112;
    private static final int HEIGHT = 120;
    private static final int HOST_MEMORY = 1;
    private static final int DEVICE_MEMORY = 2;

    /** CUlaunchConfig: grid, block, shared bytes; stream, attributes, count. One attribute of 72 bytes follows it. */
    private static final int CONFIG_BYTES = 56;

    private static final int CONFIG_SHARED = 24;
    private static final int CONFIG_STREAM = 32;
    private static final int CONFIG_ATTRIBUTES = 40;
    private static final int CONFIG_COUNT = 48;
    private static final int ATTRIBUTE_BYTES = 72;
    private static final int PROGRAMMATIC_STREAM_SERIALIZATION = 6;

    private static final int MAP_BF16 = 9;
    private static final int MAP_NOT_INTERLEAVED = 0;
    private static final int MAP_SWIZZLE_128 = 3;
    private static final int MAP_PROMOTE_256 = 3;
    private static final int MAP_ZEROS_OUTSIDE = 0;

    private final MemorySegment copy2d;
    private final MemorySegment config;

    /** Scratch memory of one thread; lives as long as the arena. */
    DriverCalls(Arena arena) {
        copy2d = arena.allocate(COPY_2D_BYTES, 8);
        config = arena.allocate(CONFIG_BYTES + ATTRIBUTE_BYTES, 8);
        config.set(LONG, CONFIG_ATTRIBUTES, config.address() + CONFIG_BYTES);
        config.set(INT, CONFIG_BYTES, PROGRAMMATIC_STREAM_SERIALIZATION);
        config.set(INT, CONFIG_BYTES + 8, 1);
    }

    private static MethodHandle bind(String name, MemoryLayout... parameters) {
        SymbolLookup library = SymbolLookup.libraryLookup(LIBRARY, Arena.global());
        return Linker.nativeLinker()
                .downcallHandle(library.findOrThrow(name), FunctionDescriptor.of(ValueLayout.JAVA_INT, parameters));
    }

    static int copyToDevice(long device, long host, long bytes, long stream) {
        try {
            return (int) COPY_TO_DEVICE.invokeExact(device, host, bytes, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int copyToHost(long host, long device, long bytes, long stream) {
        try {
            return (int) COPY_TO_HOST.invokeExact(host, device, bytes, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int copyOnDevice(long to, long from, long bytes, long stream) {
        try {
            return (int) COPY_ON_DEVICE.invokeExact(to, from, bytes, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int fill(long device, byte value, long bytes, long stream) {
        try {
            return (int) FILL.invokeExact(device, value, bytes, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int free(long device) {
        try {
            return (int) FREE.invokeExact(device);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int copyRowsToDevice(long device, long deviceStride, long host, long rowBytes, int rows, long stream) {
        copy2d.set(INT, SOURCE_TYPE, HOST_MEMORY);
        copy2d.set(LONG, SOURCE_HOST, host);
        copy2d.set(LONG, SOURCE_PITCH, rowBytes);
        copy2d.set(INT, TARGET_TYPE, DEVICE_MEMORY);
        copy2d.set(LONG, TARGET_DEVICE, device);
        copy2d.set(LONG, TARGET_PITCH, deviceStride);
        copy2d.set(LONG, WIDTH, rowBytes);
        copy2d.set(LONG, HEIGHT, rows);
        try {
            return (int) COPY_2D.invokeExact(copy2d, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int launch(
            long function,
            int gridX,
            int gridY,
            int gridZ,
            int threads,
            int sharedBytes,
            long stream,
            long parameters,
            boolean overlaps) {
        config.set(INT, 0, gridX);
        config.set(INT, 4, gridY);
        config.set(INT, 8, gridZ);
        config.set(INT, 12, threads);
        config.set(INT, 16, 1);
        config.set(INT, 20, 1);
        config.set(INT, CONFIG_SHARED, sharedBytes);
        config.set(LONG, CONFIG_STREAM, stream);
        config.set(INT, CONFIG_COUNT, overlaps ? 1 : 0);
        try {
            return (int) LAUNCH.invokeExact(config, function, parameters, 0L);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** Bound when first used: only kernels for capability 9.0 need it. */
    private static final class MatrixCalls {
        private static final MethodHandle ENCODE = bind(
                "cuTensorMapEncodeTiled",
                ValueLayout.ADDRESS,
                INT,
                INT,
                LONG,
                ValueLayout.ADDRESS,
                ValueLayout.ADDRESS,
                ValueLayout.ADDRESS,
                ValueLayout.ADDRESS,
                INT,
                INT,
                INT,
                INT);
    }

    /** CUtensorMap of a matrix of bf16: rows of boxes are swizzled over 128 bytes, what lies outside reads as zeros. */
    static int describeMatrix(MemorySegment map, long matrix, long[] sizes, long[] strides, int[] box) {
        int[] steps = new int[sizes.length];
        Arrays.fill(steps, 1);
        try (Arena arena = Arena.ofConfined()) {
            return (int) MatrixCalls.ENCODE.invokeExact(
                    map,
                    MAP_BF16,
                    sizes.length,
                    matrix,
                    arena.allocateFrom(LONG, sizes),
                    arena.allocateFrom(LONG, strides),
                    arena.allocateFrom(INT, box),
                    arena.allocateFrom(INT, steps),
                    MAP_NOT_INTERLEAVED,
                    MAP_SWIZZLE_128,
                    MAP_PROMOTE_256,
                    MAP_ZEROS_OUTSIDE);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    private static RuntimeException unexpected(Throwable e) {
        return e instanceof RuntimeException r ? r : new IllegalStateException(e);
    }
}
