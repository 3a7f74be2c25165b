// Bias, per-head norm, rotary embedding and the write into KV blocks, in one pass over a token's q, k and v.
#pragma once
#include "common.cuh"

constexpr int ROPE_THREADS = 256;
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
DEVICE void fillAngles(float* cosine, float* sine, const double* frequencies, int position, int half, float magnitude) {
    for (int i = threadIdx.x; i < half; i += ROPE_THREADS) {
        double turns = position * frequencies[i] * 0.31830988618379067154;
        float reduced = (float)(turns - 2.0 * rint(0.5 * turns));
        float s, c;
        sincospif(reduced, &s, &c);
        cosine[i] = c * magnitude;
        sine[i] = s * magnitude;
    }
}

/**
 * One block a token, one warp a head at a time. Moves (H + 2G) D 4 bytes a token; bound: memory, latency for few rows.
 * q goes to q; k and v to slot position % 16 of the sequence's block position / 16.
 */
KERNEL(ROPE_THREADS, 1)
qkv_rope_write(
    bf16* q, byte* kvBase, const bf16* qkv, const bf16* bias, const bf16* qNorm, const bf16* kNorm,
    const double* inverseFrequencies, const int* positions, const int* tokenSequence, const int* blockTables,
    const int* count, int H, int G, int D, int maxBlocks, long blockBytes, long layerOffset, float eps,
    float ropeMagnitude) {
    __shared__ float cosine[ROPE_MAX_HALF], sine[ROPE_MAX_HALF];
    letSuccessorStart();
    waitForPredecessor();
    int token = blockIdx.x;
    if (token >= liveRows(count, gridDim.x)) return;
    int half = D / 2, lane = threadIdx.x & 31;
    int position = positions[token];
    int block = blockTables[(long)tokenSequence[token] * maxBlocks + position / KV_BLOCK_TOKENS];
    fillAngles(cosine, sine, inverseFrequencies, position, half, ropeMagnitude);
    __syncthreads();
    for (int head = threadIdx.x >> 5; head < H + 2 * G; head += ROPE_THREADS / WARP) {
        const bf16* source = qkv + ((long)token * (H + 2 * G) + head) * D;
        bool isQuery = head < H, isValue = head >= H + G;
        const bf16* norm = isQuery ? qNorm : isValue ? nullptr : kNorm;
        bf16* target = q + ((long)token * H + head) * D;
        if (!isQuery)
            target = (bf16*)kvAddress(
                kvBase, block, blockBytes, layerOffset, isValue, head - H - (isValue ? G : 0), G, D,
                position % KV_BLOCK_TOKENS);
        HeadPart part[ROPE_PAIRS];
        float sum = 0;
#pragma unroll
        for (int g = 0; g < ROPE_PAIRS; g++) {
            int i = (lane + g * WARP) * 2;
            part[g] = HeadPart{};
            if (i >= half) continue;
            addPair(part[g], 0, source + i);
            addPair(part[g], 2, source + half + i);
            if (bias != nullptr) {
                addPair(part[g], 0, bias + head * D + i);
                addPair(part[g], 2, bias + head * D + half + i);
            }
#pragma unroll
            for (int e = 0; e < 4; e++) sum += part[g].x[e] * part[g].x[e];
        }
        float scale = norm != nullptr ? rsqrtf(warpSum(sum) / D + eps) : 1.f;
#pragma unroll
        for (int g = 0; g < ROPE_PAIRS; g++) {
            int i = (lane + g * WARP) * 2;
            if (i >= half) continue;
            if (norm != nullptr) {
#pragma unroll
                for (int e = 0; e < 4; e++) part[g].x[e] *= scale * toFloat(norm[i + (e & 1) + (e & 2 ? half : 0)]);
            }
            if (!isValue) rotate(part[g], cosine, sine, i);
            *reinterpret_cast<u32*>(target + i) = packBf16(part[g].x[0], part[g].x[1]);
            *reinterpret_cast<u32*>(target + half + i) = packBf16(part[g].x[2], part[g].x[3]);
        }
    }
}
