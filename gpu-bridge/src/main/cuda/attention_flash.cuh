// Prefill attention on Hopper's warpgroup instructions: two warpgroups of 64 query rows, KV tiles of 128 tokens.
//
// While the tensor cores add the values of one tile, the next tile's scores are multiplied right behind them, and their
// softmax runs while the values are still being added. Keys and values are double-buffered; a tile's loads have a whole
// tile's work to arrive.
#pragma once
#include "prefill_task.cuh"
#include "wgmma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int FLASH_TOKENS = 128;

template <int DP>
struct FlashShape {
    static constexpr int PANELS = DP / 64;                        // of 64 elements: rows of 128 bytes
    static constexpr int PANEL_BYTES = FLASH_TOKENS * 128;        // 128 rows, of queries as of tokens
    static constexpr int TILE_BYTES = PANELS * PANEL_BYTES;
    static constexpr int SHARED_BYTES = 5 * TILE_BYTES + 1024;    // queries, two of keys, two of values; aligned by hand
    static constexpr int VECTORS = DP / 8;                        // of a row
    static constexpr int ROWS = PREFILL_THREADS / VECTORS;        // that the block loads at a time
    static constexpr int LOADS = FLASH_TOKENS / ROWS;
};

/** Address of 16-byte vector v of a row of a tile. */
template <int DP>
DEVICE u32 flashPlace(u32 base, int row, int v) {
    return base + v / 8 * FlashShape<DP>::PANEL_BYTES + row * 128 + ((v % 8 ^ (row & 7)) << 4);
}

/** A thread's part in loading tiles: one 16-byte vector of every ROWS-th token. */
template <int DP>
struct FlashLoader {
    typedef FlashShape<DP> Shape;
    static constexpr int BLOCKS = FLASH_TOKENS / KV_BLOCK_TOKENS;  // KV blocks of a tile
    const PagedKv& kv;
    int end;
    int v, row;
    u32 place, blockBytes;
    const byte* source;  // of keys, in block 0

    DEVICE FlashLoader(const PagedKv& kv, int end)
        : kv(kv), end(end), v(threadIdx.x % Shape::VECTORS), row(threadIdx.x / Shape::VECTORS) {
        place = flashPlace<DP>(0, row, v);
        blockBytes = kv.blockBytes;
        source = kv.base + kv.layerOffset + ((long)kv.head * KV_BLOCK_TOKENS + row % KV_BLOCK_TOKENS) * kv.D * 2 + v * 16;
    }

    /** A tile's KV blocks, one a lane: load hands them round. */
    DEVICE int blocks(int tile) const {
        int block = tile * BLOCKS + (threadIdx.x & 31) % BLOCKS;
        return block * KV_BLOCK_TOKENS < end ? kv.table[block] : 0;
    }

    /** The rows of tokens at or beyond end become zeros. */
    DEVICE void load(u32 target, int part, int tile, int blocks) const {
        const byte* from = source + (part ? (long)kv.G * KV_BLOCK_TOKENS * kv.D * 2 : 0);
        int first = tile * FLASH_TOKENS + row;
        target += place;
        bool whole = (tile + 1) * FLASH_TOKENS <= end && kv.D == DP;
#pragma unroll
        for (int i = 0; i < Shape::LOADS; i++) {
            u32 block = __shfl_sync(~0u, blocks, (row + i * Shape::ROWS) / KV_BLOCK_TOKENS);
            const byte* at = from + (u64)block * blockBytes;
            if (whole) {
                copyAsync16(target + i * Shape::ROWS * 128, at);
            } else {
                bool exists = first + i * Shape::ROWS < end && v * 8 < kv.D;
                copyAsync16(target + i * Shape::ROWS * 128, exists ? at : kv.base, exists ? 16 : 0);
            }
        }
    }
};

template <int DP>
struct FlashRows {
    typedef FlashShape<DP> Shape;
    float out[DP / 8][4];
    float scores[FLASH_TOKENS / 8][4];
    u32 weights[FLASH_TOKENS / 16][4];
    float max[2], sum[2], rescale[2];

    DEVICE void clear() {
#pragma unroll
        for (int j = 0; j < DP / 8; j++) out[j][0] = out[j][1] = out[j][2] = out[j][3] = 0.f;
        max[0] = max[1] = MASKED;
        sum[0] = sum[1] = 0.f;
    }

    DEVICE void startScores(u32 queries, u32 keys) {
        warpgroupFence();
#pragma unroll
        for (int step = 0; step < DP / 16; step++) {
            u32 offset = step / 4 * Shape::PANEL_BYTES;
            u64 q = tileDescriptor(queries + offset) + step % 4 * 2, k = tileDescriptor(keys + offset) + step % 4 * 2;
            if (step == 0) {
                warpgroupMultiply<FLASH_TOKENS, false>(scores, q, k);
            } else {
                warpgroupMultiply<FLASH_TOKENS, true>(scores, q, k);
            }
        }
        warpgroupCommit();
    }

    DEVICE void startValues(u32 values) {
        warpgroupFence();
#pragma unroll
        for (int step = 0; step < FLASH_TOKENS / 16; step++)
            warpgroupMultiplyRegisters<DP>(
                out, weights[step], columnTileDescriptor(values + step * 16 * 128, Shape::PANEL_BYTES));
        warpgroupCommit();
    }

    /** Masks what lies beyond each row's position; rows g and g + 8 from firstPosition on. */
    DEVICE void mask(int firstToken, int firstPosition) {
        int lane = threadIdx.x & 31;
        int limit = firstPosition + (lane >> 2) - firstToken - (lane & 3) * 2;
#pragma unroll
        for (int j = 0; j < FLASH_TOKENS / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (j * 8 + (e & 1) > limit + (e >> 1) * 8) scores[j][e] = MASKED;
    }

    /** Scores to weights against the new maximum. A row's first token is never masked, so max is a real score. */
    DEVICE void softmax(float scale) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float top = max[h];
#pragma unroll
            for (int j = 0; j < FLASH_TOKENS / 8; j++) top = fmaxf(top, fmaxf(scores[j][2 * h], scores[j][2 * h + 1]));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
            rescale[h] = exp2Fast((max[h] - top) * scale);
            max[h] = top;
            float offset = top * scale, part = 0;
#pragma unroll
            for (int j = 0; j < FLASH_TOKENS / 8; j++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    scores[j][e] = exp2Fast(scores[j][e] * scale - offset);
                    part += scores[j][e];
                }
            sum[h] = sum[h] * rescale[h] + part;
        }
    }

    DEVICE void packWeights() {
#pragma unroll
        for (int step = 0; step < FLASH_TOKENS / 16; step++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                weights[step][half * 2] = packBf16(scores[2 * step + half][0], scores[2 * step + half][1]);
                weights[step][half * 2 + 1] = packBf16(scores[2 * step + half][2], scores[2 * step + half][3]);
            }
    }

    /**
     * A store that never happens, on what the softmax ends with: without it ptxas moves the softmax behind the wait for the
     * values, and the tensor cores stand idle meanwhile.
     */
    DEVICE void settle(u32 anywhere) {
        asm volatile(
            "{ .reg .pred never; setp.lt.f32 never, %0, 0f00000000; @never st.volatile.shared.f32 [%1], %0; }" ::"f"(
                fminf(sum[0], sum[1])),
            "r"(anywhere)
            : "memory");
    }

    /** Most tiles leave the maximum as it was. */
    DEVICE void rescaleOut() {
        if (!__any_sync(~0u, rescale[0] != 1.f || rescale[1] != 1.f)) return;
#pragma unroll
        for (int j = 0; j < DP / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) out[j][e] *= rescale[e >> 1];
    }

    DEVICE void store(const PrefillTask& task, bf16* target, int firstRow, int H, int D) {
        int lane = threadIdx.x & 31;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            sum[h] += __shfl_xor_sync(~0u, sum[h], 1);
            sum[h] += __shfl_xor_sync(~0u, sum[h], 2);
            int r = firstRow + (lane >> 2) + h * 8;
            if (r >= task.rows) continue;
            bf16* row = target + ((long)(task.firstRow + r) * H + task.head) * D + (lane & 3) * 2;
            float inverse = 1.f / sum[h];
#pragma unroll
            for (int j = 0; j < DP / 8; j++)
                if (j * 8 < D)
                    *reinterpret_cast<u32*>(row + j * 8) = packBf16(out[j][2 * h] * inverse, out[j][2 * h + 1] * inverse);
        }
    }
};

template <int DP>
DEVICE void flashTask(const PrefillTask& task, const PagedKv& kv, bf16* out, const bf16* q, int H) {
    typedef FlashShape<DP> Shape;
    u32 queries = (sharedAddress(dynamicShared) + 1023) & ~1023u;
    u32 keys = queries + Shape::TILE_BYTES, values = keys + 2 * Shape::TILE_BYTES;
    int end = task.position + task.rows, tiles = (end + FLASH_TOKENS - 1) / FLASH_TOKENS;
    FlashLoader<DP> loader(kv, end);
#pragma unroll
    for (int i = 0; i < PREFILL_ROWS / Shape::ROWS; i++) {
        int r = loader.row + i * Shape::ROWS;
        bool exists = r < task.rows && loader.v * 8 < kv.D;
        copyAsync16(
            flashPlace<DP>(queries, r, loader.v),
            exists ? q + ((long)(task.firstRow + r) * H + task.head) * kv.D + loader.v * 8 : q, exists ? 16 : 0);
    }
    int blocks = loader.blocks(0), nextBlocks = loader.blocks(1);  // of a tile's values and of the keys after it
    loader.load(keys, 0, 0, blocks);
    copyCommit();
    loader.load(values, 1, 0, blocks);
    if (tiles > 1) loader.load(keys + Shape::TILE_BYTES, 0, 1, nextBlocks);
    copyCommit();
    blocks = nextBlocks;
    nextBlocks = loader.blocks(2);
    int firstRow = (threadIdx.x >> 5) * 16, firstPosition = task.position + firstRow;
    u32 ownQueries = queries + threadIdx.x / 128 * 64 * 128;
    FlashRows<DP> rows;
    rows.clear();
    copyWait<1>();
    fenceForTensorCores();
    __syncthreads();
    rows.startScores(ownQueries, keys);
    warpgroupWait<0>();
    if (FLASH_TOKENS - 1 > firstPosition) rows.mask(0, firstPosition);
    rows.softmax(task.scale);
    rows.packWeights();
    int tile = 0;
    for (; tile + 1 < tiles; tile++) {
        int own = tile & 1, other = own ^ 1;
        copyWait<0>();
        fenceForTensorCores();
        __syncthreads();  // tile's values and the next keys are here; this tile's keys and the last values are done with
        rows.startScores(ownQueries, keys + other * Shape::TILE_BYTES);
        rows.startValues(values + own * Shape::TILE_BYTES);
        loader.load(values + other * Shape::TILE_BYTES, 1, tile + 1, blocks);
        if (tile + 2 < tiles) loader.load(keys + own * Shape::TILE_BYTES, 0, tile + 2, nextBlocks);
        copyCommit();
        blocks = nextBlocks;
        nextBlocks = loader.blocks(tile + 3);
        warpgroupWait<1>();
        int firstToken = (tile + 1) * FLASH_TOKENS;
        if (firstToken + FLASH_TOKENS - 1 > firstPosition) rows.mask(firstToken, firstPosition);
        rows.softmax(task.scale);
        rows.settle(queries);
        warpgroupWait<0>();
        rows.rescaleOut();
        rows.packWeights();
    }
    copyWait<0>();
    fenceForTensorCores();
    __syncthreads();
    rows.startValues(values + (tile & 1) * Shape::TILE_BYTES);
    warpgroupWait<0>();
    rows.store(task, out, firstRow, H, kv.D);
}

#endif
