// One warpgroup's 64 query rows in prefill attention: scores, softmax and sums on Hopper's warpgroup instructions.
#pragma once
#include "attention.cuh"
#include "wgmma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int FLASH_TOKENS = 128;
constexpr int FLASH_STAGES = 3;

template <int DP>
struct FlashShape {
    static constexpr int PANELS = DP / 64;                      // of 64 elements: rows of 128 bytes
    static constexpr int PANEL_BYTES = FLASH_TOKENS * 128;      // 128 rows, of queries as of tokens
    static constexpr int TILE_BYTES = PANELS * PANEL_BYTES;
    static constexpr int BLOCK_BYTES = PANELS * KV_BLOCK_TOKENS * 128;  // that a KV block adds to a tile
    static constexpr int SHARED_BYTES = (1 + 2 * FLASH_STAGES) * TILE_BYTES + 1024;  // queries, keys, values; aligned by hand
};

/** What the multiplying warpgroups have to know; rows = 0: nothing more to do. */
struct FlashTask {
    int head, firstRow, rows, position;
};

template <int DP>
struct FlashRows {
    typedef FlashShape<DP> Shape;
    u32 queries[DP / 16][4];  // read once instead of with every tile: less power, so a higher clock
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

    /** From the warpgroup's rows of the tile. */
    DEVICE void loadQueries(u32 tile) {
        int lane = threadIdx.x & 31, row = threadIdx.x / 32 % 4 * 16 + (lane & 15);
#pragma unroll
        for (int step = 0; step < DP / 16; step++) {
            int vector = (step % 4 * 2 + (lane >> 4)) ^ (row & 7);
            loadMatrix4(queries[step], tile + step / 4 * Shape::PANEL_BYTES + row * 128 + vector * 16);
        }
    }

    DEVICE void startScores(u32 keys) {
        warpgroupFence();
#pragma unroll
        for (int step = 0; step < DP / 16; step++) {
            u64 k = tileDescriptor(keys + step / 4 * Shape::PANEL_BYTES) + step % 4 * 2;
            if (step == 0) {
                warpgroupMultiplyRegisters<FLASH_TOKENS, false, false>(scores, queries[step], k);
            } else {
                warpgroupMultiplyRegisters<FLASH_TOKENS, false, true>(scores, queries[step], k);
            }
        }
        warpgroupCommit();
    }

    DEVICE void startValues(u32 values) {
        warpgroupFence();
#pragma unroll
        for (int step = 0; step < FLASH_TOKENS / 16; step++)
            warpgroupMultiplyRegisters<DP, true>(
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

    /** A row's four threads trade pairs of columns, so that each stores whole vectors of 16 bytes. */
    DEVICE void store(const FlashTask& task, bf16* target, int firstRow, int H, int D) {
        int lane = threadIdx.x & 31;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            sum[h] += __shfl_xor_sync(~0u, sum[h], 1);
            sum[h] += __shfl_xor_sync(~0u, sum[h], 2);
            int r = firstRow + (lane >> 2) + h * 8;
            bf16* row = target + ((long)(task.firstRow + r) * H + task.head) * D;
            float inverse = 1.f / sum[h];
#pragma unroll
            for (int j = 0; j < DP / 8; j += 4) {
                Vec8 own;
#pragma unroll
                for (int p = 0; p < 4; p++) own.pair[p] = packBf16(out[j + p][2 * h] * inverse, out[j + p][2 * h + 1] * inverse);
                transposeQuad(own, lane);
                int column = (j + (lane & 3)) * 8;
                if (r < task.rows && column < D) store8(row + column, own);
            }
        }
    }
};

#endif
