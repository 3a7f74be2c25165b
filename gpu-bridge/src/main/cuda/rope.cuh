// Bias, per-head norm, rotary embedding and the write into KV blocks, in one pass over a token's q, k and v.
#pragma once
#include "common.cuh"

constexpr int ROPE_THREADS = 512;
constexpr int ROPE_WARPS = ROPE_THREADS / WARP;
constexpr int ROPE_HEADS = 3;  // of a warp at a time: 48 heads, as many models have, in one go
constexpr int ROPE_MAX_HALF = 128;
constexpr int ROPE_PAIRS = ROPE_MAX_HALF / 2 / WARP;  // groups of two (i, i + D/2) pairs a lane may own

PROPERTY(qkv_rope_write, threads, ROPE_THREADS);

/** Two neighbouring elements of each half of a head: x[0], x[1] at i, i + 1 and x[2], x[3] at i + D/2, i + 1 + D/2. */
struct HeadPart {
    float x[4];
};

DEVICE void addPair(HeadPart& part, int at, const bf16* source) {
    u32 pair = *reinterpret_cast<const u32*>(source);
    part.x[at] += lowFloat(pair);
    part.x[at + 1] += highFloat(pair);
}

DEVICE void rotate(HeadPart& part, const float* cosine, const float* sine, int i) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
        float low = part.x[e], high = part.x[2 + e];
        part.x[e] = low * cosine[i + e] - high * sine[i + e];
        part.x[2 + e] = high * cosine[i + e] + low * sine[i + e];
    }
}

/** Angles in double, reduced to one turn, so that far positions keep the accuracy of near ones. */
template <int THREADS>
DEVICE void fillAngles(float* cosine, float* sine, const double* frequencies, int position, int half, float magnitude) {
    for (int i = threadIdx.x; i < half; i += THREADS) {
        double turns = position * frequencies[i] * 0.31830988618379067154;
        float reduced = (float)(turns - 2.0 * rint(0.5 * turns));
        float s, c;
        sincospif(reduced, &s, &c);
        cosine[i] = c * magnitude;
        sine[i] = s * magnitude;
    }
}

/** What a warp needs to finish one head: its elements, loaded early, and where they go. */
struct HeadTask {
    HeadPart part[ROPE_PAIRS];
    int head;
};

DEVICE void loadHead(HeadTask& task, const bf16* source, const bf16* bias, int half) {
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int g = 0; g < ROPE_PAIRS; g++) {
        int i = (lane + g * WARP) * 2;
        task.part[g] = HeadPart{};
        if (i >= half) continue;
        addPair(task.part[g], 0, source + i);
        addPair(task.part[g], 2, source + half + i);
        if (bias != nullptr) {
            addPair(task.part[g], 0, bias + i);
            addPair(task.part[g], 2, bias + half + i);
        }
    }
}

/** Norm when there is one, rotation unless it is a value; write(i, pair) stores elements i and i + 1 of the head. */
template <class Write>
DEVICE void finishHead(
    HeadTask& task, const bf16* norm, bool rotated, const float* cosine, const float* sine, int half, float eps,
    const Write& write) {
    int lane = threadIdx.x & 31;
    float scale = 1.f;
    if (norm != nullptr) {
        float sum = 0;
#pragma unroll
        for (int g = 0; g < ROPE_PAIRS; g++)
#pragma unroll
            for (int e = 0; e < 4; e++) sum += task.part[g].x[e] * task.part[g].x[e];
        scale = rsqrtf(warpSum(sum) / (2 * half) + eps);
    }
#pragma unroll
    for (int g = 0; g < ROPE_PAIRS; g++) {
        int i = (lane + g * WARP) * 2;
        if (i >= half) continue;
        HeadPart& part = task.part[g];
        if (norm != nullptr) {
#pragma unroll
            for (int e = 0; e < 4; e++) part.x[e] *= scale * toFloat(norm[i + (e & 1) + (e & 2 ? half : 0)]);
        }
        if (rotated) rotate(part, cosine, sine, i);
        write(i, packBf16(part.x[0], part.x[1]));
        write(half + i, packBf16(part.x[2], part.x[3]));
    }
}

/**
 * One block a token, a warp takes ROPE_HEADS heads at a time. Moves (H + 2G) D 4 bytes a token; bound: memory, latency
 * for few rows. q goes to q; k and v to slot position % 16 of the sequence's block position / 16.
 */
KERNEL(ROPE_THREADS, 2)
qkv_rope_write(
    bf16* q, byte* kvBase, const bf16* qkv, const bf16* bias, const bf16* qNorm, const bf16* kNorm,
    const double* inverseFrequencies, const int* positions, const int* tokenSequence, const int* blockTables,
    const int* count, int H, int G, int D, int maxBlocks, long blockBytes, long layerOffset, float eps,
    float ropeMagnitude) {
    __shared__ float cosine[ROPE_MAX_HALF], sine[ROPE_MAX_HALF];
    letSuccessorStart();
    int token = blockIdx.x;
    bool live = token < liveRows(count, gridDim.x);
    int half = D / 2, warp = threadIdx.x >> 5, heads = H + 2 * G;
    int position = 0, block = 0;
    if (live) {  // what a pass is about, and the angles that follow from it, are there before its first kernel
        position = positions[token];
        block = blockTables[(long)tokenSequence[token] * maxBlocks + position / KV_BLOCK_TOKENS];
        fillAngles<ROPE_THREADS>(cosine, sine, inverseFrequencies, position, half, ropeMagnitude);
        __syncthreads();
    }
    waitForPredecessor();
    if (!live) return;
    for (int first = warp; first < heads; first += ROPE_HEADS * ROPE_WARPS) {
        HeadTask tasks[ROPE_HEADS];
#pragma unroll
        for (int t = 0; t < ROPE_HEADS; t++) {
            tasks[t].head = first + t * ROPE_WARPS;
            if (tasks[t].head < heads)
                loadHead(tasks[t], qkv + ((long)token * heads + tasks[t].head) * D, bias ? bias + tasks[t].head * D : nullptr, half);
        }
#pragma unroll
        for (int t = 0; t < ROPE_HEADS; t++) {
            int head = tasks[t].head;
            if (head >= heads) continue;
            bool isQuery = head < H, isValue = head >= H + G;
            bf16* target = isQuery ? q + ((long)token * H + head) * D
                                   : (bf16*)kvAddress(
                                       kvBase, block, blockBytes, layerOffset, isValue, head - H - (isValue ? G : 0), G, D,
                                       position % KV_BLOCK_TOKENS);
            finishHead(
                tasks[t], isQuery ? qNorm : isValue ? nullptr : kNorm, !isValue, cosine, sine, half, eps,
                [&](int i, u32 pair) { *reinterpret_cast<u32*>(target + i) = pair; });
        }
    }
}
