// Products with many rows on the tensor cores, for hosts without cuBLASLt: 128 x 128 tiles, three stages, two blocks an SM.
#pragma once
#include "gemm_epilogue.cuh"

constexpr int TILE = 128;
constexpr int TILE_DEPTH = 64;
constexpr int TILE_STAGES = 3;
constexpr int TILE_THREADS = 256;
constexpr int TILE_ROW_BYTES = TILE_DEPTH * 2;
constexpr int TILE_OPERAND_BYTES = TILE * TILE_ROW_BYTES;
constexpr int TILE_STAGE_BYTES = 2 * TILE_OPERAND_BYTES;

PROPERTY(gemm_tile, threads, TILE_THREADS);
PROPERTY(gemm_tile, tileM, TILE);
PROPERTY(gemm_tile, tileN, TILE);
PROPERTY(gemm_tile, sharedBytes, TILE_STAGES * TILE_STAGE_BYTES);

/** Address of 16-byte vector v of a row of 128 bytes; the exclusive or spreads the rows over the banks. */
DEVICE u32 swizzled(u32 base, int row, int v) { return base + row * TILE_ROW_BYTES + ((v ^ (row & 7)) << 4); }

DEVICE void loadTile(u32 target, const bf16* source, int firstRow, int rows, int k0, int K) {
#pragma unroll
    for (int i = 0; i < TILE * 8 / TILE_THREADS; i++) {
        int row = threadIdx.x / 8 + i * (TILE_THREADS / 8), v = threadIdx.x % 8;
        bool exists = firstRow + row < rows && k0 + v * 8 < K;
        copyAsync16(
            swizzled(target, row, v), exists ? source + (long)(firstRow + row) * K + k0 + v * 8 : source,
            exists ? 16 : 0);
    }
}

/** One warp's 64 x 32 share of a stage. */
DEVICE void multiplyTile(float (&sums)[4][4][4], u32 left, u32 right) {
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int step = 0; step < TILE_DEPTH / 16; step++) {
        u32 x[4][4], y[2][4];
#pragma unroll
        for (int i = 0; i < 4; i++) loadMatrix4(x[i], swizzled(left, i * 16 + (lane & 15), step * 2 + (lane >> 4)));
#pragma unroll
        for (int j = 0; j < 2; j++)
            loadMatrix4(y[j], swizzled(right, j * 16 + (lane & 7) + (lane >> 4) * 8, step * 2 + ((lane >> 3) & 1)));
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) mma16816(sums[i][j], x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
    }
}

/** Moves 2 (M K ceil(N / 128) + N K ceil(M / 128) + M N) bytes, mostly from L2; bound: tensor cores (2 M N K operations). */
KERNEL(TILE_THREADS, 2) gemm_tile(GEMM_PARAMETERS) {
    byte* shared = dynamicShared;
    letSuccessorStart();
    waitForPredecessor();
    int live = liveRows(count, M);
    int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    if (m0 >= live) return;
    u32 ring = sharedAddress(shared);
    int chunks = (K + TILE_DEPTH - 1) / TILE_DEPTH;
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    int warpM = warp % 2 * 64, warpN = warp / 2 * 32;
    float sums[4][4][4] = {};
    for (int s = 0; s < TILE_STAGES - 1; s++) {
        if (s < chunks) {
            loadTile(ring + s * TILE_STAGE_BYTES, a, m0, live, s * TILE_DEPTH, K);
            loadTile(ring + s * TILE_STAGE_BYTES + TILE_OPERAND_BYTES, w, n0, N, s * TILE_DEPTH, K);
        }
        copyCommit();
    }
    for (int chunk = 0; chunk < chunks; chunk++) {
        copyWait<TILE_STAGES - 2>();
        __syncthreads();
        int next = chunk + TILE_STAGES - 1;
        if (next < chunks) {
            u32 target = ring + next % TILE_STAGES * TILE_STAGE_BYTES;
            loadTile(target, a, m0, live, next * TILE_DEPTH, K);
            loadTile(target + TILE_OPERAND_BYTES, w, n0, N, next * TILE_DEPTH, K);
        }
        copyCommit();
        u32 stage = ring + chunk % TILE_STAGES * TILE_STAGE_BYTES;
        multiplyTile(
            sums, stage + warpM * TILE_ROW_BYTES, stage + TILE_OPERAND_BYTES + warpN * TILE_ROW_BYTES);
    }
    copyWait<0>();
    Epilogue epilogue{c, bias, residual, N, flags};
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int row = m0 + warpM + i * 16 + half * 8 + (lane >> 2), column = n0 + warpN + j * 8 + (lane & 3) * 2;
                if (row < live && column < N)
                    epilogue.store2(row, column, sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
            }
}
