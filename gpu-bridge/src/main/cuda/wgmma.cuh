// The tensor cores of capability 9.0: one warpgroup (four warps) multiplies straight from shared memory.
// d (64 x N, fp32 in registers) += a (64 x 16) times b (16 x N), both bf16 with k contiguous in rows of 128 bytes whose
// 16-byte vectors are exchanged by the row's number (swizzle of 128 bytes). Warp w, lane (g, t) holds rows 16 w + g and + 8,
// columns 8 j + 2 t and + 1 in d[j].
#pragma once
#include "common.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/** Names a tile of rows of 128 bytes; its address is a multiple of 1024, plus 32 a k-step of 16. */
DEVICE u64 tileDescriptor(u32 address) {
    return (u64)((address & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}

/**
 * Names a tile whose rows (128 bytes, swizzled likewise) run along n, for b with n contiguous: k-step of 16 rows from
 * address on; panelBytes apart are the next 64 columns.
 */
DEVICE u64 columnTileDescriptor(u32 address, u32 panelBytes) {
    return (u64)((address & 0x3ffff) >> 4) | (u64)(panelBytes >> 4) << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}

/** Makes this thread's writes to shared memory visible to the tensor cores; a barrier must follow. */
DEVICE void fenceForTensorCores() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

DEVICE void warpgroupFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void warpgroupCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int PENDING>
DEVICE void warpgroupWait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/** Keeps the compiler from reading sums before the wait that precedes this. */
template <int TILES>
DEVICE void settled(float (&sums)[TILES][4]) {
#pragma unroll
    for (int j = 0; j < TILES; j++)
        asm volatile("" : "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])::"memory");
}

// Operand lists, which inline assembly wants written out: numbers and registers of N / 2 sums.
#define SUM_NUMBERS_8 "%0, %1, %2, %3"
#define SUM_NUMBERS_16 SUM_NUMBERS_8 ", %4, %5, %6, %7"
#define SUM_NUMBERS_32 SUM_NUMBERS_16 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define SUM_NUMBERS_64 SUM_NUMBERS_32 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SUM_NUMBERS_128 SUM_NUMBERS_64 \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SUM_NUMBERS_256 SUM_NUMBERS_128 \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
    ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95" \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define SUMS_8(d, j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define SUMS_16(d, j) SUMS_8(d, j), SUMS_8(d, j + 1)
#define SUMS_32(d, j) SUMS_16(d, j), SUMS_16(d, j + 2)
#define SUMS_64(d, j) SUMS_32(d, j), SUMS_32(d, j + 4)
#define SUMS_128(d, j) SUMS_64(d, j), SUMS_64(d, j + 8)
#define SUMS_256(d, j) SUMS_128(d, j), SUMS_128(d, j + 16)
#define WGMMA(N) "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" SUM_NUMBERS_##N "}, "

/** d += a b, both operands in shared memory with k contiguous. */
template <int N>
DEVICE void warpgroupMultiply(float (&d)[N / 8][4], u64 a, u64 b);

#define WARPGROUP_MULTIPLY(N, OPERANDS)                                                                               \
    template <>                                                                                                       \
    DEVICE void warpgroupMultiply<N>(float (&d)[N / 8][4], u64 a, u64 b) {                                            \
        asm volatile(WGMMA(N) OPERANDS ", 1, 1, 1, 0, 0;" : SUMS_##N(d, 0) : "l"(a), "l"(b));                         \
    }

WARPGROUP_MULTIPLY(8, "%4, %5")
WARPGROUP_MULTIPLY(16, "%8, %9")
WARPGROUP_MULTIPLY(32, "%16, %17")
WARPGROUP_MULTIPLY(64, "%32, %33")
WARPGROUP_MULTIPLY(128, "%64, %65")
WARPGROUP_MULTIPLY(256, "%128, %129")

/** d = or += a b with a in registers, as mma16816 holds it. COLUMNS: b lies with n contiguous (columnTileDescriptor). */
template <int N, bool COLUMNS, bool ADD = true>
DEVICE void warpgroupMultiplyRegisters(float (&d)[N / 8][4], const u32 (&a)[4], u64 b);

#define WARPGROUP_MULTIPLY_REGISTERS(N, COLUMNS, ADD, OPERANDS)                                                        \
    template <>                                                                                                       \
    DEVICE void warpgroupMultiplyRegisters<N, COLUMNS, ADD>(float (&d)[N / 8][4], const u32 (&a)[4], u64 b) {          \
        asm volatile(WGMMA(N) OPERANDS ";" : SUMS_##N(d, 0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));    \
    }

WARPGROUP_MULTIPLY_REGISTERS(64, true, true, "{%32, %33, %34, %35}, %36, 1, 1, 1, 1")
WARPGROUP_MULTIPLY_REGISTERS(128, true, true, "{%64, %65, %66, %67}, %68, 1, 1, 1, 1")
WARPGROUP_MULTIPLY_REGISTERS(128, false, true, "{%64, %65, %66, %67}, %68, 1, 1, 1, 0")
WARPGROUP_MULTIPLY_REGISTERS(128, false, false, "{%64, %65, %66, %67}, %68, 0, 1, 1, 0")

#endif
