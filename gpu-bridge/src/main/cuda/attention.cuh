// What decode and prefill attention share: paged tiles in shared memory and one step of online softmax over tensor-core
// fragments. A tile row is one token's DP elements (D padded to 64, 128 or 256), its 16-byte vectors swizzled.
#pragma once
#include "common.cuh"

constexpr float MASKED = -1e30f;  // finite, so that differences of two masked scores are no NaN

struct PagedKv {
    const byte* base;
    const int* table;  // the sequence's blocks
    long blockBytes, layerOffset;
    int head, G, D;

    DEVICE const byte* row(int part, int token) const {
        return kvAddress(
            base, table[token / KV_BLOCK_TOKENS], blockBytes, layerOffset, part, head, G, D,
            token % KV_BLOCK_TOKENS);
    }
};

template <int DP>
DEVICE u32 tileAddress(u32 base, int row, int vector) {
    return base + row * (DP * 2) + ((vector ^ (row & 7)) << 4);
}

/** Loads TOKENS rows of keys or values from token on; rows at or beyond end, and elements beyond D, become zeros. */
template <int DP, int TOKENS, int THREADS>
DEVICE void loadKvTile(u32 target, const PagedKv& kv, int part, int token, int end, int thread) {
    constexpr int VECTORS = DP / 8;
#pragma unroll
    for (int i = 0; i < TOKENS * VECTORS / THREADS; i++) {
        int index = thread + i * THREADS, r = index / VECTORS, v = index % VECTORS;
        bool exists = token + r < end && v * 8 < kv.D;
        copyAsync16(
            tileAddress<DP>(target, r, v), exists ? kv.row(part, token + r) + v * 16 : kv.base, exists ? 16 : 0);
    }
}

/** The same by one warp for the 16 tokens of one KV block, of which the first live count. */
template <int DP>
DEVICE void loadKvBlock(u32 target, const PagedKv& kv, int block, int part, int live, int lane, u64 policy) {
    constexpr int VECTORS = DP / 8;
    const byte* source = kvAddress(kv.base, block, kv.blockBytes, kv.layerOffset, part, kv.head, kv.G, kv.D, 0);
#pragma unroll
    for (int i = 0; i < KV_BLOCK_TOKENS * VECTORS / WARP; i++) {
        int index = lane + i * WARP, r = index / VECTORS, v = index % VECTORS;
        bool exists = r < live && v * 8 < kv.D;
        copyAsync16(tileAddress<DP>(target, r, v), exists ? source + r * kv.D * 2 + v * 16 : kv.base, exists ? 16 : 0, policy);
    }
}

/** One warp's sixteen query rows: thread (g, t) keeps rows g and g + 8. Scores are in units of log 2. */
template <int DP>
struct SoftmaxRows {
    float out[DP / 8][4];
    float max[2], sum[2];  // sum: this thread's columns only

    DEVICE void clear() {
#pragma unroll
        for (int j = 0; j < DP / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) out[j][e] = 0.f;
        max[0] = max[1] = MASKED;
        sum[0] = sum[1] = 0.f;
    }

    /** Turns scaled scores into weights against the new maximum and rescales what was summed so far. */
    template <int TILES>
    DEVICE void absorb(float (&scores)[TILES][4]) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float top = max[h];
#pragma unroll
            for (int j = 0; j < TILES; j++) top = fmaxf(top, fmaxf(scores[j][2 * h], scores[j][2 * h + 1]));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
            float rescale = exp2Fast(max[h] - top);
            max[h] = top;
            sum[h] *= rescale;
#pragma unroll
            for (int j = 0; j < DP / 8; j++) {
                out[j][2 * h] *= rescale;
                out[j][2 * h + 1] *= rescale;
            }
#pragma unroll
            for (int j = 0; j < TILES; j++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    scores[j][e] = scores[j][e] > MASKED ? exp2Fast(scores[j][e] - top) : 0.f;
                    sum[h] += scores[j][e];
                }
        }
    }

    /** out += weights (16 rows x 16 tokens) times the values of those tokens. */
    DEVICE void addValues(const float (&first)[4], const float (&second)[4], u32 tile, int token) {
        int lane = threadIdx.x & 31;
        u32 weights[4] = {
            packBf16(first[0], first[1]), packBf16(first[2], first[3]), packBf16(second[0], second[1]),
            packBf16(second[2], second[3])};
#pragma unroll
        for (int j = 0; j < DP / 16; j++) {
            u32 v[4];
            loadMatrix4Transposed(v, tileAddress<DP>(tile, token + (lane & 15), j * 2 + (lane >> 4)));
            mma16816(out[2 * j], weights, v[0], v[1]);
            mma16816(out[2 * j + 1], weights, v[2], v[3]);
        }
    }

    /** Completes the sums over the row's four threads. */
    DEVICE void finish() {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            sum[h] += __shfl_xor_sync(~0u, sum[h], 1);
            sum[h] += __shfl_xor_sync(~0u, sum[h], 2);
        }
    }
};

/** scores += q (16 rows) times the keys of sixteen tokens, one k-step of 16 elements. */
template <int DP>
DEVICE void scoreStep(float (&first)[4], float (&second)[4], const u32 (&q)[4], u32 tile, int token, int step) {
    int lane = threadIdx.x & 31;
    u32 k[4];
    loadMatrix4(k, tileAddress<DP>(tile, token + (lane & 7) + (lane >> 4) * 8, step * 2 + ((lane >> 3) & 1)));
    mma16816(first, q, k[0], k[1]);
    mma16816(second, q, k[2], k[3]);
}
