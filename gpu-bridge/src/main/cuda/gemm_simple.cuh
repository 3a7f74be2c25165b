// The first step of the ladder: a product tiled in shared memory, plain fused multiply-adds. The yardstick for the others.
#pragma once
#include "gemm_epilogue.cuh"

constexpr int SIMPLE_TILE = 64;
constexpr int SIMPLE_DEPTH = 16;
constexpr int SIMPLE_THREADS = 256;

PROPERTY(gemm_simple, threads, SIMPLE_THREADS);
PROPERTY(gemm_simple, tileM, SIMPLE_TILE);
PROPERTY(gemm_simple, tileN, SIMPLE_TILE);

/** Row of w behind column n of a tile: with a gate, a tile is 32 gate rows and their 32 up rows. Negative = none. */
DEVICE int simpleWeightRow(int n, int N, bool gated) {
    if (!gated) {
        int row = blockIdx.x * SIMPLE_TILE + n;
        return row < N ? row : -1;
    }
    int column = blockIdx.x * (SIMPLE_TILE / 2) + n % (SIMPLE_TILE / 2);
    return column >= N / 2 ? -1 : n < SIMPLE_TILE / 2 ? column : N / 2 + column;
}

/** Moves 2 (M K ceil(N / 64) + N K ceil(M / 64) + M N) bytes; bound: fp32 arithmetic (2 M N K operations). */
KERNEL(SIMPLE_THREADS, 1) gemm_simple(GEMM_PARAMETERS) {
    __shared__ float left[SIMPLE_DEPTH][SIMPLE_TILE + 1], right[SIMPLE_DEPTH][SIMPLE_TILE + 1];
    letSuccessorStart();
    waitForPredecessor();
    int live = liveRows(count, M);
    int m0 = blockIdx.y * SIMPLE_TILE;
    if (m0 >= live) return;
    Epilogue epilogue{c, bias, residual, N, flags};
    bool gated = epilogue.gated();
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float sums[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += SIMPLE_DEPTH) {
        for (int i = threadIdx.x; i < SIMPLE_TILE * SIMPLE_DEPTH; i += SIMPLE_THREADS) {
            int k = i % SIMPLE_DEPTH, row = i / SIMPLE_DEPTH;
            int n = simpleWeightRow(row, N, gated);
            bool inK = k0 + k < K;
            left[k][row] = inK && m0 + row < live ? toFloat(a[(long)(m0 + row) * K + k0 + k]) : 0.f;
            right[k][row] = inK && n >= 0 ? toFloat(w[(long)n * K + k0 + k]) : 0.f;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < SIMPLE_DEPTH; k++)
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sums[i][j] += left[k][ty + 16 * i] * right[k][tx + 16 * j];
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = m0 + ty + 16 * i;
        if (row >= live) continue;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int n = simpleWeightRow(tx + 16 * j, N, gated);
            if (n < 0) continue;
            if (!gated) epilogue.store(row, n, sums[i][j]);
            if (gated && j < 2) epilogue.storeGated(row, n, sums[i][j], sums[i][j + 2]);
        }
    }
}
