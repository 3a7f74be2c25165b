// What every kernel shares: element types, vector access, warp reductions, dependent launch. No header of CUDA's is
// needed, so that NVRTC alone can compile this folder.
#pragma once

typedef unsigned short bf16;  // raw bits of a bfloat16
typedef unsigned char byte;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__
#define KERNEL(threads, blocksPerSm) extern "C" __global__ void __launch_bounds__(threads, blocksPerSm)
// A figure for kernels.properties: build_ptx.py reads it from the PTX, so the code is its only source.
#define PROPERTY(name, key, value) extern "C" __device__ const int property__##name##__##key = value

extern __shared__ __align__(128) byte dynamicShared[];

constexpr int WARP = 32;
constexpr int KV_BLOCK_TOKENS = 16;
constexpr int WORKSPACE_BYTES = 64 << 20;
constexpr int COUNTER_BYTES = 64 << 10;  // arrival counters at the start of the workspace; zero between kernels
constexpr float LOG2E = 1.4426950408889634f;

DEVICE float toFloat(bf16 v) { return __uint_as_float((u32)v << 16); }
DEVICE float lowFloat(u32 pair) { return __uint_as_float(pair << 16); }
DEVICE float highFloat(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

/** Two floats rounded to nearest even, low half first. */
DEVICE u32 packBf16(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

DEVICE bf16 toBf16(float v) { return (bf16)packBf16(v, 0.f); }

/** Eight bf16 values in one 16-byte register group. */
struct alignas(16) Vec8 {
    u32 pair[4];

    DEVICE float at(int i) const { return i & 1 ? highFloat(pair[i >> 1]) : lowFloat(pair[i >> 1]); }
};

DEVICE Vec8 load8(const bf16* p) { return *reinterpret_cast<const Vec8*>(p); }
DEVICE void store8(bf16* p, const Vec8& v) { *reinterpret_cast<Vec8*>(p) = v; }

DEVICE float warpSum(float v) {
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(~0u, v, offset);
    return v;
}

/** Of four neighbouring lanes' vectors of four, lane t gets the t-th of each. */
DEVICE void transposeQuad(Vec8& v, int lane) {
#pragma unroll
    for (int step = 1; step <= 2; step *= 2)
#pragma unroll
        for (int p = 0; p < 4; p++) {
            if (p & step) continue;
            bool upper = lane & step;
            u32 received = __shfl_xor_sync(~0u, upper ? v.pair[p] : v.pair[p + step], step);
            (upper ? v.pair[p] : v.pair[p + step]) = received;
        }
}

/** Sum over the block, for every thread; scratch holds one float a warp and may be reused after the next barrier. */
template <int THREADS>
DEVICE float blockSum(float v, float* scratch) {
    v = warpSum(v);
    if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = v;
    __syncthreads();
    v = (threadIdx.x & 31) < THREADS / WARP ? scratch[threadIdx.x & 31] : 0.f;
    return warpSum(v);
}

DEVICE float exp2Fast(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

DEVICE float reciprocalFast(float x) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

DEVICE float silu(float x) { return x * reciprocalFast(1.f + exp2Fast(-LOG2E * x)); }

/** GELU in its tanh form. tanh(y) = 1 - 2 / (1 + e^(2y)) keeps both ends exact. */
DEVICE float geluTanh(float x) {
    float y = 0.7978845608028654f * (x + 0.044715f * x * x * x);
    return x * (1.f - reciprocalFast(1.f + exp2Fast(2.f * LOG2E * y)));
}

/** Lets the next kernel of the stream begin; its own wait still holds it before data of ours. */
DEVICE void letSuccessorStart() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/**
 * Returns when all earlier kernels of the stream have finished and their writes are visible. Every block must call it:
 * a block that left early would let the kernel after next overtake the one before.
 */
DEVICE void waitForPredecessor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/**
 * True in every thread of the block that arrives last, to which all that the others wrote is visible; the counter is zero again then.
 * One thread fences for its block.
 */
DEVICE bool arrivesLast(int* arrivals, int expected) {
    __shared__ int before;
    __syncthreads();
    if (threadIdx.x == 0) {
        asm volatile("atom.acq_rel.gpu.global.add.s32 %0, [%1], 1;" : "=r"(before) : "l"(arrivals) : "memory");
        if (before == expected - 1) *arrivals = 0;
    }
    __syncthreads();
    return before == expected - 1;
}

DEVICE int liveRows(const int* count, int rows) {
    if (count == nullptr) return rows;
    int live = *count;
    return live < rows ? live : rows;
}

DEVICE int multiprocessors() {
    u32 n;
    asm("mov.u32 %0, %%nsmid;" : "=r"(n));
    return n;
}

DEVICE u32 sharedAddress(const void* p) { return (u32)__cvta_generic_to_shared(p); }

/** Copies 16 bytes to shared memory in the background; with bytes = 0 writes zeros and reads nothing. */
DEVICE void copyAsync16(u32 target, const void* source, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source), "r"(bytes) : "memory");
}

DEVICE void copyAsync16(u32 target, const void* source) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(target), "l"(source) : "memory");
}

/** For what a pass reads once: the first to leave the L2, so that activations and code stay. */
DEVICE u64 readOnce() {
    u64 policy = 0x12f0000000000000ull;
    return policy;
}

/**
 * x, but in a way that the compiler cannot tell to be the same for all threads. ptxas 13.0 encodes a copy with a policy and an
 * address in the uniform registers wrongly (illegal instruction).
 */
DEVICE u32 threadsOwn(u32 x) {
    u32 r;
    asm volatile("{ .reg .b32 t; mov.u32 t, %%laneid; prmt.b32 %0, %1, t, 0x3210; }" : "=r"(r) : "r"(x));
    return r;
}

DEVICE void copyAsync16(u32 target, const void* source, int bytes, u64 policy) {
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;" ::"r"(target), "l"(source), "r"(bytes), "l"(policy)
                 : "memory");
}

/** Fetches a line of 128 bytes from memory into the L2, in the background. */
DEVICE void prefetchLine(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

DEVICE void storeShared4(u32 target, u32 value) { asm volatile("st.shared.u32 [%0], %1;" ::"r"(target), "r"(value) : "memory"); }

DEVICE void storeShared16(u32 target, const Vec8& v) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(target), "r"(v.pair[0]), "r"(v.pair[1]), "r"(v.pair[2]), "r"(v.pair[3])
                 : "memory");
}

DEVICE float4 loadShared16(u32 address) {
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address) : "memory");
    return v;
}

DEVICE void copyCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int PENDING>
DEVICE void copyWait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/** Four 8x8 matrices of bf16; lane l names row l % 8 of matrix l / 8. */
DEVICE void loadMatrix4(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

DEVICE void loadMatrix4Transposed(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

DEVICE void loadMatrix2(u32& r0, u32& r1, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r0), "=r"(r1)
                 : "r"(address)
                 : "memory");
}

/** d += a (16 x 16) times b (16 x 8), fp32 sums. Thread (g = lane / 4, t = lane % 4) holds d of rows g, g + 8, columns 2t, 2t + 1. */
DEVICE void mma16816(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/** Address of one token's keys (or values, with part = 1) of a KV head. */
DEVICE const byte* kvAddress(
    const byte* kvBase, int block, long blockBytes, long layerOffset, int part, int head, int G, int D, int slot) {
    return kvBase + (long)block * blockBytes + layerOffset
        + (((long)part * G + head) * KV_BLOCK_TOKENS + slot) * D * (long)sizeof(bf16);
}

#if __CUDA_ARCH__ >= 900
/** Every thread of the cluster arrives; what they wrote to shared memory is visible. */
DEVICE void clusterBarrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
#endif
