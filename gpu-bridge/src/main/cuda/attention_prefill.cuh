// Causal attention of many new tokens over paged KV (prefix and new tokens alike): flash attention on the tensor cores.
//
// A block takes 128 query rows of one head, eight warps of 16 rows; keys and values come in double-buffered tiles. The
// heaviest tiles (latest queries) start first, and heads that share a KV head run side by side to share the L2.
#pragma once
#include "prefill_task.cuh"

constexpr int PREFILL_SHARED_BYTES = 96 << 10;

template <int DP>
struct PrefillShape {
    static constexpr int TOKENS = DP <= 128 ? 64 : 16;  // of a KV tile
    static constexpr int QUERY_BYTES = PREFILL_ROWS * DP * 2;
    static constexpr int TILE_BYTES = TOKENS * DP * 2;
    static_assert(QUERY_BYTES + 4 * TILE_BYTES <= PREFILL_SHARED_BYTES, "fits");
};

template <int DP>
DEVICE void loadPrefillTile(u32 ring, int tile, const PagedKv& kv, int end) {
    typedef PrefillShape<DP> Shape;
    u32 target = ring + (tile & 1) * 2 * Shape::TILE_BYTES;
    loadKvTile<DP, Shape::TOKENS, PREFILL_THREADS>(target, kv, 0, tile * Shape::TOKENS, end, threadIdx.x);
    loadKvTile<DP, Shape::TOKENS, PREFILL_THREADS>(
        target + Shape::TILE_BYTES, kv, 1, tile * Shape::TOKENS, end, threadIdx.x);
}

/** Scores of one warp's 16 rows against a tile, scaled and masked causally. */
template <int DP, int TOKENS>
DEVICE void scoreTile(float (&scores)[TOKENS / 8][4], u32 queries, u32 keys, int firstToken, int firstPosition, float scale) {
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int step = 0; step < DP / 16; step++) {
        u32 q[4];
        loadMatrix4(q, tileAddress<DP>(queries, lane & 15, step * 2 + (lane >> 4)));
#pragma unroll
        for (int j = 0; j < TOKENS / 16; j++) scoreStep<DP>(scores[2 * j], scores[2 * j + 1], q, keys, j * 16, step);
    }
    bool whole = firstToken + TOKENS - 1 <= firstPosition;
#pragma unroll
    for (int j = 0; j < TOKENS / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int token = firstToken + j * 8 + (lane & 3) * 2 + (e & 1);
            int position = firstPosition + (lane >> 2) + (e >> 1) * 8;
            scores[j][e] = whole || token <= position ? scores[j][e] * scale : MASKED;
        }
}

template <int DP>
DEVICE void prefillTask(const PrefillTask& task, const PagedKv& kv, bf16* out, const bf16* q, int H, byte* shared) {
    typedef PrefillShape<DP> Shape;
    constexpr int TOKENS = Shape::TOKENS, VECTORS = DP / 8;
    u32 queries = sharedAddress(shared), ring = queries + Shape::QUERY_BYTES;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    for (int i = threadIdx.x; i < PREFILL_ROWS * VECTORS; i += PREFILL_THREADS) {
        int r = i / VECTORS, v = i % VECTORS;
        bool exists = r < task.rows && v * 8 < kv.D;
        copyAsync16(
            tileAddress<DP>(queries, r, v),
            exists ? q + ((long)(task.firstRow + r) * H + task.head) * kv.D + v * 8 : q, exists ? 16 : 0);
    }
    int end = task.position + task.rows, tiles = (end + TOKENS - 1) / TOKENS;
    loadPrefillTile<DP>(ring, 0, kv, end);
    copyCommit();
    SoftmaxRows<DP> rows;
    rows.clear();
    for (int tile = 0; tile < tiles; tile++) {
        if (tile + 1 < tiles) loadPrefillTile<DP>(ring, tile + 1, kv, end);
        copyCommit();
        copyWait<1>();
        __syncthreads();
        u32 keys = ring + (tile & 1) * 2 * Shape::TILE_BYTES;
        float scores[TOKENS / 8][4] = {};
        int firstPosition = task.position + warp * 16;
        if (tile * TOKENS <= firstPosition + 15) {
            scoreTile<DP, TOKENS>(
                scores, queries + warp * 16 * DP * 2, keys, tile * TOKENS, firstPosition, task.scale);
            rows.template absorb<TOKENS / 8>(scores);
#pragma unroll
            for (int j = 0; j < TOKENS / 16; j++)
                rows.addValues(scores[2 * j], scores[2 * j + 1], keys + Shape::TILE_BYTES, j * 16);
        }
        __syncthreads();
    }
    rows.finish();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int r = warp * 16 + (lane >> 2) + h * 8;
        if (r >= task.rows) continue;
        bf16* target = out + ((long)(task.firstRow + r) * H + task.head) * kv.D;
        float inverse = 1.f / rows.sum[h];
#pragma unroll
        for (int j = 0; j < DP / 8; j++)
            if (j * 8 < kv.D)
                *reinterpret_cast<u32*>(target + j * 8 + (lane & 3) * 2) =
                    packBf16(rows.out[j][2 * h] * inverse, rows.out[j][2 * h + 1] * inverse);
    }
}

PROPERTY(attention_prefill, threads, PREFILL_THREADS);
PROPERTY(attention_prefill, tileM, PREFILL_ROWS);
PROPERTY(attention_prefill, sharedBytes, PREFILL_SHARED_BYTES);

/** 4 D (queries x context, causal) operations a head; bound: tensor cores. */
KERNEL(PREFILL_THREADS, 1)
attention_prefill(
    bf16* out, const bf16* q, const byte* kvBase, const int* blockTables, const int* queryStarts,
    const int* contextStarts, const int* count, int S, int H, int G, int D, int maxBlocks, long blockBytes,
    long layerOffset, float scale) {
    letSuccessorStart();
    waitForPredecessor();
    int live = liveRows(count, S);
    int index = blockIdx.y * gridDim.x + blockIdx.x;
    PrefillTask task;
    task.head = index % H;
    task.scale = scale * LOG2E;
    if (live <= 0
        || !findPrefillTask<PREFILL_ROWS>(task, gridDim.x - 1 - index / H, queryStarts, contextStarts, live))
        return;
    PagedKv kv{kvBase, blockTables + (long)task.sequence * maxBlocks, blockBytes, layerOffset, task.head / (H / G), G, D};
    if (D <= 64) {
        prefillTask<64>(task, kv, out, q, H, dynamicShared);
    } else if (D <= 128) {
        prefillTask<128>(task, kv, out, q, H, dynamicShared);
    } else {
        prefillTask<256>(task, kv, out, q, H, dynamicShared);
    }
}
