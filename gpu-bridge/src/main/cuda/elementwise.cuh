// Kernels that touch each element once: gathers, norms, gated activations.
#pragma once
#include "common.cuh"

constexpr int ROW_THREADS = 256;
constexpr int NORM_THREADS = 512;
constexpr int NORM_HELD = 1;  // vectors of 8 a thread keeps in registers: rows up to 4096 wide are read once

PROPERTY(embed_gather, threads, ROW_THREADS);
PROPERTY(gather_rows, threads, ROW_THREADS);
PROPERTY(rmsnorm, threads, NORM_THREADS);
PROPERTY(add_rmsnorm, threads, NORM_THREADS);
PROPERTY(silu_mul, threads, ROW_THREADS);
PROPERTY(gelu_mul, threads, ROW_THREADS);

DEVICE void copyRow(bf16* out, const bf16* in, int E) {
    for (int v = threadIdx.x; v < E / 8; v += ROW_THREADS) store8(out + v * 8, load8(in + v * 8));
}

/**
 * Rows of the embedding table by token id. Moves 4 E bytes a token; bound: memory.
 * An id < 0 stands for the token that sampling left in lastTokens[-1 - id]; an id outside the table gives zeros.
 */
KERNEL(ROW_THREADS, 1)
embed_gather(bf16* out, const bf16* table, const int* tokenIds, const int* lastTokens, const int* count, int E, int V) {
    letSuccessorStart();
    waitForPredecessor();
    int row = blockIdx.x;
    if (row >= liveRows(count, gridDim.x)) return;
    int id = tokenIds[row];
    if (id < 0 && lastTokens != nullptr) id = lastTokens[-1 - id];
    bf16* target = out + (long)row * E;
    if (id >= 0 && id < V) {
        copyRow(target, table + (long)id * E, E);
    } else {
        for (int v = threadIdx.x; v < E / 8; v += ROW_THREADS) store8(target + v * 8, Vec8{});
    }
}

/** out[r] = in[rows[r]], the rows that want logits. Moves 4 E bytes a row; bound: memory. */
KERNEL(ROW_THREADS, 1) gather_rows(bf16* out, const bf16* in, const int* rows, const int* count, int E) {
    letSuccessorStart();
    waitForPredecessor();
    int row = blockIdx.x;
    if (row >= liveRows(count, gridDim.x)) return;
    copyRow(out + (long)row * E, in + (long)rows[row] * E, E);
}

/** Adds delta to the residual vector when there is one; returns what the norm is of. */
template <bool ADD>
DEVICE Vec8 normInput(bf16* residual, const bf16* delta, int v) {
    Vec8 x = load8(residual + v * 8);
    if (ADD) {
        Vec8 d = load8(delta + v * 8);
#pragma unroll
        for (int p = 0; p < 4; p++)
            x.pair[p] = packBf16(
                lowFloat(x.pair[p]) + lowFloat(d.pair[p]), highFloat(x.pair[p]) + highFloat(d.pair[p]));
        store8(residual + v * 8, x);
    }
    return x;
}

DEVICE float squares(const Vec8& x) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) sum += x.at(i) * x.at(i);
    return sum;
}

DEVICE void storeScaled(bf16* out, const Vec8& x, const Vec8& weight, float scale) {
    Vec8 y;
#pragma unroll
    for (int p = 0; p < 4; p++)
        y.pair[p] = packBf16(
            lowFloat(x.pair[p]) * scale * lowFloat(weight.pair[p]),
            highFloat(x.pair[p]) * scale * highFloat(weight.pair[p]));
    store8(out, y);
}

template <bool ADD>
DEVICE void normRow(bf16* out, bf16* in, const bf16* delta, const bf16* weight, const int* count, int E, float eps) {
    __shared__ float scratch[NORM_THREADS / WARP];
    letSuccessorStart();
    int vectors = E / 8;
    Vec8 held[NORM_HELD], scale[NORM_HELD];
#pragma unroll
    for (int h = 0; h < NORM_HELD; h++) {
        int v = threadIdx.x + h * NORM_THREADS;
        scale[h] = v < vectors ? load8(weight + v * 8) : Vec8{};  // weights never change: read before the wait
    }
    waitForPredecessor();
    if (blockIdx.x >= liveRows(count, gridDim.x)) return;
    long row = (long)blockIdx.x * E;
    float sum = 0;
#pragma unroll
    for (int h = 0; h < NORM_HELD; h++) {
        int v = threadIdx.x + h * NORM_THREADS;
        held[h] = v < vectors ? normInput<ADD>(in + row, delta + row, v) : Vec8{};
        sum += squares(held[h]);
    }
    for (int v = threadIdx.x + NORM_HELD * NORM_THREADS; v < vectors; v += NORM_THREADS)
        sum += squares(normInput<ADD>(in + row, delta + row, v));
    float inverse = rsqrtf(blockSum<NORM_THREADS>(sum, scratch) / E + eps);
#pragma unroll
    for (int h = 0; h < NORM_HELD; h++) {
        int v = threadIdx.x + h * NORM_THREADS;
        if (v < vectors) storeScaled(out + row + v * 8, held[h], scale[h], inverse);
    }
    for (int v = threadIdx.x + NORM_HELD * NORM_THREADS; v < vectors; v += NORM_THREADS)
        storeScaled(out + row + v * 8, load8(in + row + v * 8), load8(weight + v * 8), inverse);
}

/** Root-mean-square norm of each row, sums in fp32. Moves 4 E bytes a row; bound: memory, latency for few rows. */
KERNEL(NORM_THREADS, 3)
rmsnorm(bf16* out, const bf16* in, const bf16* weight, const int* count, int E, float eps) {
    normRow<false>(out, const_cast<bf16*>(in), nullptr, weight, count, E, eps);
}

/** residual += delta (rounded to bf16), out = norm of it. Moves 8 E bytes a row; bound: memory, latency for few rows. */
KERNEL(NORM_THREADS, 3)
add_rmsnorm(bf16* out, bf16* residual, const bf16* delta, const bf16* weight, const int* count, int E, float eps) {
    normRow<true>(out, residual, delta, weight, count, E, eps);
}

template <bool GELU>
DEVICE void gatedRow(bf16* out, const bf16* gateUp, const int* count, int I) {
    letSuccessorStart();
    waitForPredecessor();
    int row = blockIdx.y;
    int i = (blockIdx.x * ROW_THREADS + threadIdx.x) * 8;
    if (row >= liveRows(count, gridDim.y) || i >= I) return;
    Vec8 gate = load8(gateUp + (long)row * 2 * I + i);
    Vec8 up = load8(gateUp + (long)row * 2 * I + I + i);
    float y[8];
#pragma unroll
    for (int e = 0; e < 8; e++) y[e] = (GELU ? geluTanh(gate.at(e)) : silu(gate.at(e))) * up.at(e);
    Vec8 packed;
#pragma unroll
    for (int p = 0; p < 4; p++) packed.pair[p] = packBf16(y[2 * p], y[2 * p + 1]);
    store8(out + (long)row * I + i, packed);
}

/** silu(gate) * up. Moves 6 I bytes a row; bound: memory. */
KERNEL(ROW_THREADS, 1) silu_mul(bf16* out, const bf16* gateUp, const int* count, int I) {
    gatedRow<false>(out, gateUp, count, I);
}

/** gelu(gate) * up, tanh form. Moves 6 I bytes a row; bound: memory. */
KERNEL(ROW_THREADS, 1) gelu_mul(bf16* out, const bf16* gateUp, const int* count, int I) {
    gatedRow<true>(out, gateUp, count, I);
}
