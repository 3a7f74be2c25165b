// Attention of one new token a sequence over its paged KV: flash decoding with the context split over blocks.
//
// A block takes one KV head of one sequence and a run of its KV blocks; the query heads that share the KV head are the rows
// of one tensor-core tile, so keys and values are read once. Each warp streams its own KV blocks through its own ring
// with no barrier to the others; the warps' results meet in shared memory, the splits' in the workspace, where the last
// block to arrive combines them.
//
// The fused form starts from the product's q, k and v: it rotates its own queries, and the block that has a sequence's newest
// token its key too, which it writes into the KV block. What it reads of older tokens was there before the pass: the rings
// fill while the product still runs.
#pragma once
#include "attention.cuh"
#include "rope.cuh"

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
PROPERTY(attention_decode_rope, threads, DECODE_THREADS);
PROPERTY(attention_decode_rope, sharedBytes, DECODE_SHARED_BYTES);

/** A sequence's newest token as the product left it, and what turns it into query, key and value. */
struct NewToken {
    const bf16* qkv;   // its row
    const bf16* bias;  // or null
    const bf16* qNorm;
    const bf16* kNorm;
    const double* inverseFrequencies;
    float eps, magnitude;
    int H, group;
    byte* kvBase;  // for writing
};

struct NewTokenShared {
    float cosine[ROPE_MAX_HALF], sine[ROPE_MAX_HALF];
    bf16 rows[2][256];  // key and value
};

struct DecodeTask {
    int sequence, split, splits, heads, context;
    int firstTile, tiles;  // KV blocks of this split
    float scale;           // with log2 e
    bf16* out;             // [heads][D] of this sequence and KV head
    float* partials;       // [splits][heads][D + 2] of this sequence and KV head
    int* arrivals;

    DEVICE int allTiles() const { return (context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS; }

    /** This split's tiles. */
    DEVICE void share() {
        int each = allTiles() / splits, rest = allTiles() - each * splits;
        firstTile = split * each + min(split, rest);
        tiles = each + (split < rest);
    }

    DEVICE bool hasNewest() const { return tiles > 0 && firstTile + tiles == allTiles(); }
};

/** Loads the query rows (heads), zeros beyond. */
template <int DP>
DEVICE void loadQueries(u32 target, const bf16* q, int heads, int D) {
    for (int i = threadIdx.x; i < DECODE_HEADS * DP / 8; i += DECODE_THREADS) {
        int r = i / (DP / 8), v = i % (DP / 8);
        storeShared16(tileAddress<DP>(target, r, v), r < heads && v * 8 < D ? load8(q + r * D + v * 8) : Vec8{});
    }
}

template <int DP>
DEVICE void clearQueries(u32 target) {
    for (int i = threadIdx.x; i < DECODE_HEADS * DP / 8; i += DECODE_THREADS) storeShared16(target + i * 16, Vec8{});
}

/**
 * The group's queries into the query tile; with them, in the split that has the newest token, its key and value into
 * shared memory and into the KV block.
 */
template <int DP>
DEVICE void finishNewToken(
    u32 queries, const DecodeTask& task, const PagedKv& kv, const NewToken& token, NewTokenShared& shared, bool newest) {
    constexpr int TOGETHER = 2;  // heads of a warp whose loads are in flight together
    int warp = threadIdx.x >> 5, half = kv.D / 2, items = task.heads + (newest ? 2 : 0);
    for (int first = warp; first < items; first += TOGETHER * DECODE_WARPS) {
        HeadTask heads[TOGETHER];
#pragma unroll
        for (int t = 0; t < TOGETHER; t++) {
            int item = first + t * DECODE_WARPS, part = item - task.heads;
            heads[t].head = part < 0 ? token.group * task.heads + item : token.H + part * kv.G + token.group;
            if (item < items)
                loadHead(
                    heads[t], token.qkv + heads[t].head * kv.D, token.bias ? token.bias + heads[t].head * kv.D : nullptr, half);
        }
#pragma unroll
        for (int t = 0; t < TOGETHER; t++) {
            int item = first + t * DECODE_WARPS, part = item - task.heads;
            if (item >= items) continue;
            if (part < 0) {
                finishHead(heads[t], token.qNorm, true, shared.cosine, shared.sine, half, token.eps, [&](int i, u32 pair) {
                    storeShared4(tileAddress<DP>(queries, item, i / 8) + i % 8 * 2, pair);
                });
            } else {
                bf16* stored = (bf16*)(token.kvBase + (kv.row(part, task.context - 1) - kv.base));
                finishHead(heads[t], part ? nullptr : token.kNorm, !part, shared.cosine, shared.sine, half, token.eps, [&](int i, u32 pair) {
                    *reinterpret_cast<u32*>(shared.rows[part] + i) = pair;
                    *reinterpret_cast<u32*>(stored + i) = pair;
                });
            }
        }
    }
}

/** One warp's share of the split: every fourth KV block. Ring items alternate keys and values of a KV block. */
template <int DP>
struct DecodeStream {
    static constexpr int SLOT_BYTES = KV_BLOCK_TOKENS * DP * 2;
    static constexpr int SLOTS = DECODE_RING_BYTES / SLOT_BYTES < 8 ? DECODE_RING_BYTES / SLOT_BYTES : 8;
    static constexpr int AHEAD = SLOTS - 1;
    const DecodeTask& task;
    const PagedKv& kv;
    u32 ring;
    int known;  // tokens that are in the KV blocks
    int items;
    u64 policy = readOnce();
    int blocks = 0;  // this lane's of the next 32 entries of the block table
    int loadSlot = 0, slot = 0;

    DEVICE DecodeStream(const DecodeTask& task, const PagedKv& kv, u32 ring, int known)
        : task(task), kv(kv), ring(ring), known(known) {
        int warp = threadIdx.x >> 5;
        items = warp < task.tiles ? 2 * ((task.tiles - warp + DECODE_WARPS - 1) / DECODE_WARPS) : 0;
    }

    DEVICE int tile(int item) const { return task.firstTile + (threadIdx.x >> 5) + item / 2 * DECODE_WARPS; }

    DEVICE void load(int item) {
        int lane = threadIdx.x & 31;
        if (item < items) {
            int index = item / 2;
            if (item % (2 * WARP) == 0) blocks = index + lane < items / 2 ? kv.table[tile(2 * (index + lane))] : 0;
            int block = __shfl_sync(~0u, blocks, index % WARP);
            loadKvBlock<DP>(ring + loadSlot * SLOT_BYTES, kv, block, item & 1, known - tile(item) * KV_BLOCK_TOKENS, lane, policy);
        }
        loadSlot = loadSlot + 1 == SLOTS ? 0 : loadSlot + 1;
        copyCommit();
    }

    /** The slot of the next item, loaded; the loads run one item further ahead, but not in a rehearsal. */
    DEVICE u32 next(int item, const bf16* newRow, bool rehearsal) {
        copyWait<AHEAD - 1>();
        __syncwarp();
        u32 at = ring + slot * SLOT_BYTES;
        if (rehearsal) return at;
        load(item + AHEAD);
        slot = slot + 1 == SLOTS ? 0 : slot + 1;
        int lane = threadIdx.x & 31, row = task.context - 1 - tile(item) * KV_BLOCK_TOKENS;
        if (newRow != nullptr && row < KV_BLOCK_TOKENS) {  // the sequence's last tile: its newest token came another way
            if (lane * 8 < kv.D) storeShared16(tileAddress<DP>(at, row, lane), load8(newRow + lane * 8));
            __syncwarp();
        }
        return at;
    }

    DEVICE void fill() {
        for (int item = 0; item < AHEAD; item++) load(item);
    }

    /** All items; as a rehearsal the first one only, which stays where it is: that brings the code into the caches. */
    DEVICE void run(SoftmaxRows<DP>& rows, u32 queries, const NewTokenShared* fresh, bool rehearsal = false) {
        int lane = threadIdx.x & 31, end = rehearsal ? min(items, 2) : items;
        for (int item = 0; item < end; item += 2) {
            u32 keys = next(item, fresh ? fresh->rows[0] : nullptr, rehearsal);
            float scores[2][4] = {};
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
            rows.addValues(scores[0], scores[1], next(item + 1, fresh ? fresh->rows[1] : nullptr, rehearsal), 0);
        }
        if (rehearsal) return;
        copyWait<0>();
        rows.finish();
    }
};

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
DEVICE void joinWarps(const float* parked, const DecodeTask& task, int D, float* partial) {
    int stride = task.heads * DP + 2 * DECODE_HEADS;
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

/** Which part of which sequence this block has; false when none. */
DEVICE bool findDecodeTask(
    DecodeTask& task, const int* contextLengths, const int* count, byte* workspace, int H, int G, int D, float scale) {
    int sequence = blockIdx.z, group = blockIdx.y, sequences = gridDim.z;
    if (sequence >= liveRows(count, sequences)) return false;
    task.sequence = sequence;
    task.split = blockIdx.x;
    task.heads = H / G;
    task.context = contextLengths[sequence];
    task.scale = scale * LOG2E;
    long partialBytes = (long)task.heads * (D + 2) * 4;
    long room = (WORKSPACE_BYTES - COUNTER_BYTES) / (partialBytes * gridDim.y * gridDim.z);
    int useful = (task.allTiles() + DECODE_WARPS - 1) / DECODE_WARPS;
    // Two blocks fit an SM: more than that would wait for a second turn.
    int oneTurn = 2 * multiprocessors() / (G * sequences);
    task.splits = min(min((int)gridDim.x, DECODE_MAX_SPLITS), max(1, min(min(useful, oneTurn), (int)min(room, 64L))));
    if (task.split >= task.splits) return false;
    int pair = sequence * G + group;
    task.arrivals = reinterpret_cast<int*>(workspace) + pair;
    // Sequences may use different numbers of splits: room for the most keeps their parts apart.
    task.partials = reinterpret_cast<float*>(
        workspace + COUNTER_BYTES + (long)pair * partialBytes * min((long)gridDim.x, max(1L, room)));
    task.share();
    return true;
}

/** With token: the fused form, whose queries and newest key and value come from it. */
template <int DP, bool FUSED>
DEVICE void decodeTask(
    const DecodeTask& task, const PagedKv& kv, const bf16* q, const NewToken* token, NewTokenShared* fresh) {
    u32 queries = sharedAddress(dynamicShared);
    DecodeStream<DP> stream(
        task, kv, queries + DECODE_QUERY_BYTES + (threadIdx.x >> 5) * DECODE_RING_BYTES, task.context - FUSED);
    if (FUSED) {
        stream.fill();
        clearQueries<DP>(queries);
        fillAngles<DECODE_THREADS>(
            fresh->cosine, fresh->sine, token->inverseFrequencies, task.context - 1, kv.D / 2, token->magnitude);
        __syncthreads();
        waitForPredecessor();
        finishNewToken<DP>(queries, task, kv, *token, *fresh, task.hasNewest());
    } else {
        waitForPredecessor();
        stream.fill();
        loadQueries<DP>(queries, q, task.heads, kv.D);
    }
    __syncthreads();
    SoftmaxRows<DP> rows;
    rows.clear();
    stream.run(rows, queries, fresh);
    __syncthreads();  // the rings are free: they hold the warps' results now
    float* parked = reinterpret_cast<float*>(dynamicShared + DECODE_QUERY_BYTES);
    parkRows<DP>(parked + (threadIdx.x >> 5) * (task.heads * DP + 2 * DECODE_HEADS), rows, task.heads);
    __syncthreads();
    joinWarps<DP>(parked, task, kv.D, task.partials + (long)task.split * task.heads * (kv.D + 2));
    if (task.splits > 1 && arrivesLast(task.arrivals, task.splits)) joinSplits(task, kv.D, parked);
}

/**
 * Moves 4 G D bytes a token of context, plus q and out; bound: memory (latency when the whole context is small).
 */
KERNEL(DECODE_THREADS, 3)
attention_decode(
    bf16* out, const bf16* q, const byte* kvBase, const int* blockTables, const int* contextLengths, byte* workspace,
    const int* count, int H, int G, int D, int maxBlocks, long blockBytes, long layerOffset, float scale) {
    letSuccessorStart();
    DecodeTask task;
    if (!findDecodeTask(task, contextLengths, count, workspace, H, G, D, scale)) {
        waitForPredecessor();
        return;
    }
    int group = blockIdx.y;
    long row = ((long)task.sequence * H + group * task.heads) * D;
    task.out = out + row;
    PagedKv kv{kvBase, blockTables + (long)task.sequence * maxBlocks, blockBytes, layerOffset, group, G, D};
    if (D <= 64) {
        decodeTask<64, false>(task, kv, q + row, nullptr, nullptr);
    } else if (D <= 128) {
        decodeTask<128, false>(task, kv, q + row, nullptr, nullptr);
    } else {
        decodeTask<256, false>(task, kv, q + row, nullptr, nullptr);
    }
}

/** qkv_rope_write and attention_decode in one, for batches of one token a sequence. */
KERNEL(DECODE_THREADS, 3)
attention_decode_rope(
    bf16* out, byte* kvBase, const bf16* qkv, const bf16* bias, const bf16* qNorm, const bf16* kNorm,
    const double* inverseFrequencies, const int* blockTables, const int* contextLengths, byte* workspace, const int* count,
    int H, int G, int D, int maxBlocks, long blockBytes, long layerOffset, float scale, float eps, float ropeMagnitude) {
    __shared__ NewTokenShared fresh;
    letSuccessorStart();
    DecodeTask task;
    if (!findDecodeTask(task, contextLengths, count, workspace, H, G, D, scale)) {
        waitForPredecessor();
        return;
    }
    int group = blockIdx.y;
    task.out = out + ((long)task.sequence * H + group * task.heads) * D;
    PagedKv kv{kvBase, blockTables + (long)task.sequence * maxBlocks, blockBytes, layerOffset, group, G, D};
    NewToken token{qkv + (long)task.sequence * (H + 2 * G) * D, bias, qNorm, kNorm, inverseFrequencies, eps, ropeMagnitude, H, group, kvBase};
    if (D <= 64) {
        decodeTask<64, true>(task, kv, nullptr, &token, &fresh);
    } else if (D <= 128) {
        decodeTask<128, true>(task, kv, nullptr, &token, &fresh);
    } else {
        decodeTask<256, true>(task, kv, nullptr, &token, &fresh);
    }
}
