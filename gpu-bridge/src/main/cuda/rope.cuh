// Bias, per-head norm, rotary embedding and the write into KV blocks, in one pass over a token's q, k and v.
#pragma once
#include "common.cuh"

constexpr int ROPE_THREADS = 384;  // 48 heads of 128, as many models have, in one go
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

/** Eight neighbouring elements of each half of a head: what one thread does of it. */
struct HeadSlice {
    float low[8], high[8];

    DEVICE void unpack(const Vec8& lows, const Vec8& highs) {
#pragma unroll
        for (int e = 0; e < 8; e++) {
            low[e] = lows.at(e);
            high[e] = highs.at(e);
        }
    }

    DEVICE void addBias(const bf16* bias, int half) {
        Vec8 lows = load8(bias), highs = load8(bias + half);
#pragma unroll
        for (int e = 0; e < 8; e++) {
            low[e] += lows.at(e);
            high[e] += highs.at(e);
        }
    }

    /** Norm over the head, whose slices the next lanes hold. */
    DEVICE void scaleBy(const bf16* norm, int half, int slices, float eps) {
        float sum = 0;
#pragma unroll
        for (int e = 0; e < 8; e++) sum += low[e] * low[e] + high[e] * high[e];
        for (int offset = slices / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        float scale = rsqrtf(sum / (2 * half) + eps);
        if (norm == nullptr) return;
        Vec8 lows = load8(norm), highs = load8(norm + half);
#pragma unroll
        for (int e = 0; e < 8; e++) {
            low[e] *= scale * lows.at(e);
            high[e] *= scale * highs.at(e);
        }
    }

    DEVICE void rotate(const float* cosine, const float* sine) {
#pragma unroll
        for (int e = 0; e < 8; e++) {
            float x = low[e], y = high[e];
            low[e] = x * cosine[e] - y * sine[e];
            high[e] = y * cosine[e] + x * sine[e];
        }
    }

    DEVICE void store(bf16* target, int half) const {
        Vec8 lows, highs;
#pragma unroll
        for (int p = 0; p < 4; p++) {
            lows.pair[p] = packBf16(low[2 * p], low[2 * p + 1]);
            highs.pair[p] = packBf16(high[2 * p], high[2 * p + 1]);
        }
        store8(target, lows);
        store8(target + half, highs);
    }
};

/** A token's new place and what its heads are made of. */
struct RopeToken {
    bf16 *q, *keys, *values;  // keys and values: of KV head 0
    const bf16 *qkv, *bias, *qNorm, *kNorm;
    int H, G, D;
    float eps;

    DEVICE int heads() const { return H + 2 * G; }
    DEVICE const bf16* norm(int head) const { return head < H ? qNorm : head < H + G ? kNorm : nullptr; }
    DEVICE bool rotated(int head) const { return head < H + G; }

    DEVICE bf16* target(int head) const {
        if (head < H) return q + head * D;
        return head < H + G ? keys + (head - H) * KV_BLOCK_TOKENS * D : values + (head - H - G) * KV_BLOCK_TOKENS * D;
    }
};

/** Heads whose halves are a power of two of vectors: a thread takes a vector of each half. */
template <class FillAngles>
DEVICE void ropeSlices(const RopeToken& token, const float* cosine, const float* sine, const FillAngles& fillAngles) {
    int half = token.D / 2, slices = half / 8, all = token.heads() * slices;
    bool normed = token.qNorm != nullptr || token.kNorm != nullptr;
    for (int first = 0; first < all; first += ROPE_THREADS) {
        int index = min(first + (int)threadIdx.x, all - 1), head = index / slices, i = (index - head * slices) * 8;
        const bf16* source = token.qkv + head * token.D + i;
        Vec8 lows = load8(source), highs = load8(source + half);
        if (first == 0) fillAngles();  // while the loads are under way
        HeadSlice slice;
        slice.unpack(lows, highs);
        if (token.bias != nullptr) slice.addBias(token.bias + head * token.D + i, half);
        if (normed) {
            const bf16* norm = token.norm(head);
            slice.scaleBy(norm == nullptr ? norm : norm + i, half, slices, token.eps);
        }
        if (token.rotated(head)) slice.rotate(cosine + i, sine + i);
        if (first + (int)threadIdx.x < all) slice.store(token.target(head) + i, half);
    }
}

/** Any even width: a warp takes a head, a lane pairs of neighbours. */
DEVICE void ropeHeads(const RopeToken& token, const float* cosine, const float* sine) {
    int half = token.D / 2;
    for (int head = threadIdx.x >> 5; head < token.heads(); head += ROPE_THREADS / WARP) {
        HeadTask task;
        loadHead(task, token.qkv + head * token.D, token.bias ? token.bias + head * token.D : nullptr, half);
        bf16* target = token.target(head);
        finishHead(
            task, token.norm(head), token.rotated(head), cosine, sine, half, token.eps,
            [&](int i, u32 pair) { *reinterpret_cast<u32*>(target + i) = pair; });
    }
}

/**
 * One block a token. Moves (H + 2G) D 4 bytes a token; bound: memory, latency for few rows. q goes to q; k and v to slot
 * position % 16 of the sequence's block position / 16.
 */
KERNEL(ROPE_THREADS, 3)
qkv_rope_write(
    bf16* q, byte* kvBase, const bf16* qkv, const bf16* bias, const bf16* qNorm, const bf16* kNorm,
    const double* inverseFrequencies, const int* positions, const int* tokenSequence, const int* blockTables,
    const int* count, int H, int G, int D, int maxBlocks, long blockBytes, long layerOffset, float eps,
    float ropeMagnitude) {
    __shared__ __align__(16) float cosine[ROPE_MAX_HALF], sine[ROPE_MAX_HALF];
    letSuccessorStart();
    int index = blockIdx.x;
    bool live = index < liveRows(count, gridDim.x);
    int position = 0, block = 0;
    if (live) {  // what a pass is about is there before its first kernel
        position = positions[index];
        block = blockTables[(long)tokenSequence[index] * maxBlocks + position / KV_BLOCK_TOKENS];
    }
    waitForPredecessor();
    if (!live) return;
    auto angles = [&] {
        fillAngles<ROPE_THREADS>(cosine, sine, inverseFrequencies, position, D / 2, ropeMagnitude);
        __syncthreads();
    };
    auto place = [&](int part) {
        return (bf16*)kvAddress(kvBase, block, blockBytes, layerOffset, part, 0, G, D, position % KV_BLOCK_TOKENS);
    };
    RopeToken token{
        q + (long)index * H * D, place(0), place(1), qkv + (long)index * (H + 2 * G) * D, bias, qNorm, kNorm, H, G, D, eps};
    int slices = D / 16;
    if (D % 16 == 0 && (slices & (slices - 1)) == 0) {
        ropeSlices(token, cosine, sine, angles);
    } else {
        angles();
        ropeHeads(token, cosine, sine);
    }
}
