package io.tandem.compute.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * cuBLASLt, when the host has it: {@code c = a · wᵀ (+ c)} in bf16 with fp32 sums. Any major version serves: the calls used
 * here are the same from 11 on. One thread.
 */
final class CublasLt implements AutoCloseable {
    static final long WORKSPACE_BYTES = 64L << 20;

    private static final List<String> LIBRARIES =
            List.of("libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11", "libcublasLt.so");
    private static final List<String> FOLDERS =
            List.of("", "/usr/local/cuda/lib64/", "/usr/local/cuda/targets/x86_64-linux/lib/");
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final ValueLayout ADDRESS = ValueLayout.ADDRESS;

    private static final int COMPUTE_32F = 68;
    private static final int REAL_32F = 0;
    private static final int REAL_16BF = 14;
    private static final int MATMUL_TRANS_A = 3;
    private static final int OP_T = 1;
    private static final int PREFERENCE_WORKSPACE = 1;

    /** cublasLtMatmulHeuristicResult_t: an algorithm of 64 bytes, workspace, state, waves, four reserved ints. */
    private static final int RESULT_BYTES = 96;

    private static final int RESULT_STATE = 72;

    private final Arena arena = Arena.ofShared();
    private final String library;
    private final MethodHandle matmul;
    private final MethodHandle createDescriptor;
    private final MethodHandle setDescriptor;
    private final MethodHandle createLayout;
    private final MethodHandle heuristic;
    private final MethodHandle destroy;
    private final MemorySegment one;
    private final MemorySegment zero;
    private final MemorySegment preference;
    private final MemorySegment result;
    private final MemorySegment found;
    private final MemorySegment out;
    private final long handle;

    /** What the library made ready for one shape. */
    static final class Plan {
        private final long descriptor;
        private final long weightLayout;
        private final long inputLayout;
        private final long outputLayout;
        private final MemorySegment algorithm;

        private Plan(long descriptor, long weight, long input, long output, MemorySegment algorithm) {
            this.descriptor = descriptor;
            weightLayout = weight;
            inputLayout = input;
            outputLayout = output;
            this.algorithm = algorithm;
        }
    }

    private CublasLt(SymbolLookup symbols, String library) {
        this.library = library;
        matmul = bind(
                symbols,
                "cublasLtMatmul",
                LONG,
                LONG,
                ADDRESS,
                LONG,
                LONG,
                LONG,
                LONG,
                ADDRESS,
                LONG,
                LONG,
                LONG,
                LONG,
                ADDRESS,
                LONG,
                LONG,
                LONG);
        createDescriptor = bind(symbols, "cublasLtMatmulDescCreate", ADDRESS, INT, INT);
        setDescriptor = bind(symbols, "cublasLtMatmulDescSetAttribute", LONG, INT, ADDRESS, LONG);
        createLayout = bind(symbols, "cublasLtMatrixLayoutCreate", ADDRESS, INT, LONG, LONG, LONG);
        heuristic = bind(
                symbols,
                "cublasLtMatmulAlgoGetHeuristic",
                LONG,
                LONG,
                LONG,
                LONG,
                LONG,
                LONG,
                LONG,
                INT,
                ADDRESS,
                ADDRESS);
        destroy = bind(symbols, "cublasLtDestroy", LONG);
        out = arena.allocate(8, 8);
        one = arena.allocate(4, 16);
        one.set(ValueLayout.JAVA_FLOAT, 0, 1f);
        zero = arena.allocate(4, 16);
        result = arena.allocate(RESULT_BYTES, 8);
        found = arena.allocate(4, 4);
        MethodHandle create = bind(symbols, "cublasLtCreate", ADDRESS);
        MethodHandle createPreference = bind(symbols, "cublasLtMatmulPreferenceCreate", ADDRESS);
        MethodHandle setPreference = bind(symbols, "cublasLtMatmulPreferenceSetAttribute", LONG, INT, ADDRESS, LONG);
        try {
            check("cublasLtCreate", (int) create.invokeExact(out));
            handle = out.get(LONG, 0);
            check("cublasLtMatmulPreferenceCreate", (int) createPreference.invokeExact(out));
            long made = out.get(LONG, 0);
            preference = MemorySegment.ofAddress(made);
            MemorySegment bytes = arena.allocate(8, 8);
            bytes.set(LONG, 0, WORKSPACE_BYTES);
            check("workspace preference", (int) setPreference.invokeExact(made, PREFERENCE_WORKSPACE, bytes, 8L));
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /**
     * Loads the library; the device must be current on this thread.
     *
     * @param where "auto" looks at the usual places, else the library's path
     * @throws IllegalStateException when a path is given and leads to none
     */
    static Optional<CublasLt> load(String where) {
        for (String candidate : candidates(where)) {
            if (candidate.startsWith("/") && !Files.exists(Path.of(candidate))) {
                continue;
            }
            try {
                SymbolLookup symbols = candidate.startsWith("/")
                        ? SymbolLookup.libraryLookup(Path.of(candidate), Arena.global())
                        : SymbolLookup.libraryLookup(candidate, Arena.global());
                return Optional.of(new CublasLt(symbols, candidate));
            } catch (IllegalArgumentException notThere) {
                // The next one may be.
            }
        }
        if (!where.equals("auto")) {
            throw new IllegalStateException("tandem.compute.cuda.cublas-lt names " + where
                    + ", which is no cuBLASLt that can be loaded; auto and off do without");
        }
        return Optional.empty();
    }

    private static List<String> candidates(String where) {
        if (!where.equals("auto")) {
            return List.of(where);
        }
        List<String> all = new ArrayList<>();
        for (String folder : FOLDERS) {
            for (String name : LIBRARIES) {
                all.add(folder + name);
            }
        }
        return all;
    }

    private static MethodHandle bind(SymbolLookup symbols, String name, MemoryLayout... parameters) {
        return Linker.nativeLinker()
                .downcallHandle(
                        symbols.find(name).orElseThrow(() -> new IllegalArgumentException("cuBLASLt has no " + name)),
                        FunctionDescriptor.of(INT, parameters));
    }

    private static void check(String call, int status) {
        if (status != 0) {
            throw new CudaException(call, status, "cuBLASLt status");
        }
    }

    private static RuntimeException unexpected(Throwable e) {
        return e instanceof RuntimeException r ? r : new IllegalStateException(e);
    }

    String library() {
        return library;
    }

    /**
     * Prepares c[m][n] = a[m][k] · w[n][k]ᵀ, row-major. To the library, whose matrices lie column by column, that is cᵀ = w ·
     * aᵀ.
     */
    Plan plan(int m, int n, int k, boolean floatOutput) {
        try {
            check("cublasLtMatmulDescCreate", (int) createDescriptor.invokeExact(out, COMPUTE_32F, REAL_32F));
            long descriptor = out.get(LONG, 0);
            MemorySegment transposed = arena.allocate(4, 4);
            transposed.set(INT, 0, OP_T);
            check("transposition", (int) setDescriptor.invokeExact(descriptor, MATMUL_TRANS_A, transposed, 4L));
            long weight = layout(REAL_16BF, k, n);
            long input = layout(REAL_16BF, k, m);
            long output = layout(floatOutput ? REAL_32F : REAL_16BF, n, m);
            check("cublasLtMatmulAlgoGetHeuristic", (int) heuristic.invokeExact(
                    handle, descriptor, weight, input, output, output, preference.address(), 1, result, found));
            if (found.get(INT, 0) < 1 || result.get(INT, RESULT_STATE) != 0) {
                throw new CudaException("cuBLASLt for " + m + "x" + n + "x" + k, -1, "no algorithm");
            }
            MemorySegment algorithm = arena.allocate(RESULT_BYTES, 8).copyFrom(result);
            return new Plan(descriptor, weight, input, output, algorithm);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    private long layout(int type, long rows, long columns) throws Throwable {
        check("cublasLtMatrixLayoutCreate", (int) createLayout.invokeExact(out, type, rows, columns, rows));
        return out.get(LONG, 0);
    }

    /** @param accumulate whether c is added to */
    void multiply(Plan p, long c, long a, long w, boolean accumulate, long workspace, long stream) {
        // A conditional in the call itself would have no exact type.
        MemorySegment beta = accumulate ? one : zero;
        try {
            int status = (int) matmul.invokeExact(
                    handle,
                    p.descriptor,
                    one,
                    w,
                    p.weightLayout,
                    a,
                    p.inputLayout,
                    beta,
                    c,
                    p.outputLayout,
                    c,
                    p.outputLayout,
                    p.algorithm,
                    workspace,
                    WORKSPACE_BYTES,
                    stream);
            if (status != 0) {
                check("cublasLtMatmul", status);
            }
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** Frees the library's handle; its descriptors are small and go with the process. */
    @Override
    public void close() {
        try {
            check("cublasLtDestroy", (int) destroy.invokeExact(handle));
        } catch (Throwable e) {
            throw unexpected(e);
        }
        arena.close();
    }
}
