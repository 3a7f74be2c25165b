// Attention of one new token a sequence over its paged KV: flash decoding with the context split over blocks.
//
// A block takes one KV head of one sequence and a run of its KV blocks; the query heads that share the KV head are the rows
// of one tensor-core tile, so keys and values are read once. Each warp streams its own KV blocks through its own ring
// with no barrier to the others; the warps' results meet in shared memory, the splits' in the workspace, where the last
// block to arrive combines them.
#pragma once
#include "attention.cuh"

constexpr int DECODE_WARPS = 4;
constexpr int DECODE_THREADS = DECODE_WARPS * WARP;
constexpr int DECODE_HEADS = 16;  // query heads of a KV head at most
constexpr int DECODE_MAX_SPLITS = 64;
constexpr int DECODE_QUERY_BYTES = DECODE_HEADS * 256 * 2;
constexpr int DECODE_RING_BYTES = 16 << 10;  // a warp's
constexpr int DECODE_PARKED_BYTES = (DECODE_HEADS * 256 + 2 * DECODE_HEADS) * 4;  // a warp's result; reuses its ring
constexpr int DECODE_SHARED_BYTES = DECODE_QUERY_BYTES
    + DECODE_WARPS * (DECODE_RING_BYTES > DECODE_PARKED_BYTES ? DECODE_RING_BYTES : DECODE_PARKED_BYTES);

PROPERTY(attention_decode, threads, DECODE_THREADS);
PROPERTY(attention_decode, sharedBytes, DECODE_SHARED_BYTES);

struct DecodeTask {
    int sequence, split, splits, heads, context;
    int firstTile, tiles;  // KV blocks of this split
    float scale;           // with log2 e
    bf16* out;             // [heads][D] of this sequence and KV head
    float* partials;       // [splits][heads][D + 2] of this sequence and KV head
    int* arrivals;
};

/** Loads the query rows (heads), zeros beyond. */
template <int DP>
DEVICE void loadQueries(u32 target, const bf16* q, int heads, int D) {
    for (int i = threadIdx.x; i < DECODE_HEADS * DP / 8; i += DECODE_THREADS) {
        int r = i / (DP / 8), v = i % (DP / 8);
        bool exists = r < heads && v * 8 < D;
        copyAsync16(tileAddress<DP>(target, r, v), exists ? q + r * D + v * 8 : q, exists ? 16 : 0);
    }
}

/** One warp's share of the split: every fourth KV block. Ring items alternate keys and values of a KV block. */
template <int DP>
DEVICE void streamTiles(SoftmaxRows<DP>& rows, const DecodeTask& task, const PagedKv& kv, u32 queries, u32 ring) {
    constexpr int SLOT_BYTES = KV_BLOCK_TOKENS * DP * 2;
    constexpr int SLOTS = DECODE_RING_BYTES / SLOT_BYTES < 8 ? DECODE_RING_BYTES / SLOT_BYTES : 8;
    constexpr int AHEAD = SLOTS - 1;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int items = warp < task.tiles ? 2 * ((task.tiles - warp + DECODE_WARPS - 1) / DECODE_WARPS) : 0;
    auto tile = [&](int item) { return task.firstTile + warp + item / 2 * DECODE_WARPS; };
    int blocks = 0;  // this lane's of the next 32 entries of the block table
    int loadSlot = 0, slot = 0;
    auto load = [&](int item) {
        if (item < items) {
            int index = item / 2;
            if (item % (2 * WARP) == 0) blocks = index + lane < items / 2 ? kv.table[tile(2 * (index + lane))] : 0;
            int block = __shfl_sync(~0u, blocks, index % WARP);
            loadKvBlock<DP>(ring + loadSlot * SLOT_BYTES, kv, block, item & 1, task.context - tile(item) * KV_BLOCK_TOKENS, lane);
        }
        loadSlot = loadSlot + 1 == SLOTS ? 0 : loadSlot + 1;
        copyCommit();
    };
    for (int item = 0; item < AHEAD; item++) load(item);
    copyWait<AHEAD>();  // the queries, which the caller committed before
    __syncthreads();
    for (int item = 0; item < items; item += 2) {
        copyWait<AHEAD - 1>();
        __syncwarp();
        load(item + AHEAD);
        float scores[2][4] = {};
        u32 keys = ring + slot * SLOT_BYTES;
        slot = slot + 1 == SLOTS ? 0 : slot + 1;
#pragma unroll
        for (int step = 0; step < DP / 16; step++) {
            u32 query[4];
            loadMatrix4(query, tileAddress<DP>(queries, lane & 15, step * 2 + (lane >> 4)));
            scoreStep<DP>(scores[0], scores[1], query, keys, 0, step);
        }
        int first = tile(item) * KV_BLOCK_TOKENS + (lane & 3) * 2;
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                scores[j][e] = first + j * 8 + (e & 1) < task.context ? scores[j][e] * task.scale : MASKED;
        rows.template absorb<2>(scores);
        copyWait<AHEAD - 1>();
        __syncwarp();
        load(item + 1 + AHEAD);
        rows.addValues(scores[0], scores[1], ring + slot * SLOT_BYTES, 0);
        slot = slot + 1 == SLOTS ? 0 : slot + 1;
    }
    copyWait<0>();
    rows.finish();
}

/** Puts a warp's rows into shared memory: out [heads][DP], then max [16], then sum [16]. */
template <int DP>
DEVICE void parkRows(float* parked, const SoftmaxRows<DP>& rows, int heads) {
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int r = (lane >> 2) + h * 8;
        if (r >= heads) continue;
#pragma unroll
        for (int j = 0; j < DP / 8; j++)
            *reinterpret_cast<float2*>(parked + r * DP + j * 8 + (lane & 3) * 2) =
                float2{rows.out[j][2 * h], rows.out[j][2 * h + 1]};
        if ((lane & 3) == 0) {
            parked[heads * DP + r] = rows.max[h];
            parked[heads * DP + DECODE_HEADS + r] = rows.sum[h];
        }
    }
}

/** Adds the warps' rows; the result is the output, or the split's part of it: [heads][D] sums, then max, then sum. */
template <int DP>
DEVICE void joinWarps(const float* parked, const DecodeTask& task, int D) {
    int stride = task.heads * DP + 2 * DECODE_HEADS;
    float* partial = task.partials + (long)task.split * task.heads * (D + 2);
    for (int i = threadIdx.x; i < task.heads * D; i += DECODE_THREADS) {
        int head = i / D, d = i % D;
        const float* maxima = parked + task.heads * DP + head;
        float top = MASKED, sum = 0, value = 0;
#pragma unroll
        for (int v = 0; v < DECODE_WARPS; v++) top = fmaxf(top, maxima[v * stride]);
#pragma unroll
        for (int v = 0; v < DECODE_WARPS; v++) {
            float weight = exp2Fast(maxima[v * stride] - top);
            sum += weight * maxima[v * stride + DECODE_HEADS];
            value += weight * parked[v * stride + head * DP + d];
        }
        if (task.splits == 1) {
            task.out[i] = toBf16(sum > 0 ? value / sum : 0.f);
        } else {
            partial[i] = value;
            if (d == 0) {
                partial[task.heads * D + head] = top;
                partial[task.heads * D + task.heads + head] = sum;
            }
        }
    }
}

/** Run by the last block of a sequence and KV head to arrive: all splits' parts in their order. */
DEVICE void joinSplits(const DecodeTask& task, int D, float* factors) {
    constexpr int TOGETHER = 4;  // outputs of a thread at a time: their loads are in flight together
    int lane = threadIdx.x & 31;
    long stride = task.heads * (D + 2);
    for (int head = threadIdx.x >> 5; head < task.heads; head += DECODE_WARPS) {
        const float* maxima = task.partials + task.heads * D + head;
        float max[DECODE_MAX_SPLITS / WARP], sum[DECODE_MAX_SPLITS / WARP], top = MASKED, total = 0;
#pragma unroll
        for (int i = 0; i < DECODE_MAX_SPLITS / WARP; i++) {
            int s = lane + i * WARP;
            max[i] = s < task.splits ? __ldcg(maxima + s * stride) : MASKED;
            sum[i] = s < task.splits ? __ldcg(maxima + s * stride + task.heads) : 0.f;
            top = fmaxf(top, max[i]);
        }
#pragma unroll
        for (int offset = 16; offset > 0; offset >>= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, offset));
#pragma unroll
        for (int i = 0; i < DECODE_MAX_SPLITS / WARP; i++) total += sum[i] * exp2Fast(max[i] - top);
        total = warpSum(total);
#pragma unroll
        for (int i = 0; i < DECODE_MAX_SPLITS / WARP; i++)
            factors[head * DECODE_MAX_SPLITS + lane + i * WARP] = total > 0 ? exp2Fast(max[i] - top) / total : 0.f;
    }
    __syncthreads();
    int outputs = task.heads * D;
    for (int first = threadIdx.x; first < outputs; first += TOGETHER * DECODE_THREADS) {
        float value[TOGETHER] = {};
        const float* factor[TOGETHER];
#pragma unroll
        for (int o = 0; o < TOGETHER; o++)
            factor[o] = factors + min(first + o * DECODE_THREADS, outputs - 1) / D * DECODE_MAX_SPLITS;
#pragma unroll 8
        for (int s = 0; s < task.splits; s++)
#pragma unroll
            for (int o = 0; o < TOGETHER; o++)
                value[o] += factor[o][s] * __ldcg(task.partials + s * stride + min(first + o * DECODE_THREADS, outputs - 1));
#pragma unroll
        for (int o = 0; o < TOGETHER; o++)
            if (first + o * DECODE_THREADS < outputs) task.out[first + o * DECODE_THREADS] = toBf16(value[o]);
    }
}

/** True in every thread of the block that arrives last; the counter is zero again then. */
DEVICE bool arrivesLast(int* arrivals, int expected) {
    __shared__ int before;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        before = atomicAdd(arrivals, 1);
        if (before == expected - 1) *arrivals = 0;
    }
    __syncthreads();
    bool last = before == expected - 1;
    if (last) __threadfence();
    return last;
}

template <int DP>
DEVICE void decodeTask(const DecodeTask& task, const PagedKv& kv, const bf16* q, byte* shared) {
    u32 queries = sharedAddress(shared), ring = queries + DECODE_QUERY_BYTES;
    loadQueries<DP>(queries, q, task.heads, kv.D);
    copyCommit();
    SoftmaxRows<DP> rows;
    rows.clear();
    streamTiles<DP>(rows, task, kv, queries, ring + (threadIdx.x >> 5) * DECODE_RING_BYTES);
    __syncthreads();  // the rings are free: they hold the warps' results now
    float* parked = reinterpret_cast<float*>(shared + DECODE_QUERY_BYTES);
    parkRows<DP>(parked + (threadIdx.x >> 5) * (task.heads * DP + 2 * DECODE_HEADS), rows, task.heads);
    __syncthreads();
    joinWarps<DP>(parked, task, kv.D);
    if (task.splits > 1 && arrivesLast(task.arrivals, task.splits)) joinSplits(task, kv.D, parked);
}

/**
 * Moves 4 G D bytes a token of context, plus q and out; bound: memory (latency when the whole context is small).
 */
KERNEL(DECODE_THREADS, 2)
attention_decode(
    bf16* out, const bf16* q, const byte* kvBase, const int* blockTables, const int* contextLengths, byte* workspace,
    const int* count, int H, int G, int D, int maxBlocks, long blockBytes, long layerOffset, float scale) {
    byte* shared = dynamicShared;
    letSuccessorStart();
    waitForPredecessor();
    int sequence = blockIdx.z, group = blockIdx.y, sequences = gridDim.z;
    if (sequence >= liveRows(count, sequences)) return;
    DecodeTask task;
    task.sequence = sequence;
    task.split = blockIdx.x;
    task.heads = H / G;
    task.context = contextLengths[sequence];
    task.scale = scale * LOG2E;
    long row = ((long)sequence * H + group * task.heads) * D;
    task.out = out + row;
    int allTiles = (task.context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    long partialBytes = (long)task.heads * (D + 2) * 4;
    long room = (WORKSPACE_BYTES - COUNTER_BYTES) / (partialBytes * gridDim.y * gridDim.z);
    int useful = (allTiles + DECODE_WARPS - 1) / DECODE_WARPS;
    // Two blocks fit an SM: more than that would wait for a second turn.
    int oneTurn = 2 * multiprocessors() / (G * sequences);
    task.splits = min(min((int)gridDim.x, DECODE_MAX_SPLITS), max(1, min(min(useful, oneTurn), (int)min(room, 64L))));
    if (task.split >= task.splits) return;
    int pair = sequence * G + group;
    task.arrivals = reinterpret_cast<int*>(workspace) + pair;
    // Sequences may use different numbers of splits: room for the most keeps their parts apart.
    task.partials = reinterpret_cast<float*>(
        workspace + COUNTER_BYTES + (long)pair * partialBytes * min((long)gridDim.x, max(1L, room)));
    int each = allTiles / task.splits, rest = allTiles - each * task.splits;
    task.firstTile = task.split * each + min(task.split, rest);
    task.tiles = each + (task.split < rest);
    PagedKv kv{kvBase, blockTables + (long)sequence * maxBlocks, blockBytes, layerOffset, group, G, D};
    if (D <= 64) {
        decodeTask<64>(task, kv, q + row, shared);
    } else if (D <= 128) {
        decodeTask<128>(task, kv, q + row, shared);
    } else {
        decodeTask<256>(task, kv, q + row, shared);
    }
}
