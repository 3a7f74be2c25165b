// What all products share: the parameters and the one place where sums become outputs.
#pragma once
#include "common.cuh"

constexpr int GEMM_FLOAT = 1;  // c is float
constexpr int GEMM_SILU = 2;   // c = silu(gate) * up, w holds gate rows, then up rows
constexpr int GEMM_GELU = 4;   // c = gelu(gate) * up, likewise

#define GEMM_PARAMETERS                                                                                             \
    void *c, const bf16 *a, const bf16 *w, const bf16 *bias, const bf16 *residual, byte *workspace, const int *count, \
        int M, int N, int K, int flags
#define GEMM_ARGUMENTS c, a, w, bias, residual, workspace, count, M, N, K, flags

struct Epilogue {
    void* c;
    const bf16* bias;
    const bf16* residual;
    int N;
    int flags;

    DEVICE bool gated() const { return flags & (GEMM_SILU | GEMM_GELU); }

    /** Bias plus residual of an output. */
    DEVICE float added(int row, int column) const {
        float sum = bias != nullptr ? toFloat(bias[column]) : 0.f;
        return residual != nullptr ? sum + toFloat(residual[(long)row * N + column]) : sum;
    }

    /** Finishes one sum of a product without gate. */
    DEVICE void store(int row, int column, float sum) const { storeSum(row, column, sum + added(row, column)); }

    DEVICE void storeSum(int row, int column, float sum) const {
        long at = (long)row * N + column;
        if (flags & GEMM_FLOAT) {
            static_cast<float*>(c)[at] = sum;
        } else {
            static_cast<bf16*>(c)[at] = toBf16(sum);
        }
    }

    /** The same for columns column and column + 1; both exist, because N is even. */
    DEVICE void store2(int row, int column, float first, float second) const {
        long at = (long)row * N + column;
        if (bias != nullptr) {
            u32 b = *reinterpret_cast<const u32*>(bias + column);
            first += lowFloat(b);
            second += highFloat(b);
        }
        if (residual != nullptr) {
            u32 r = *reinterpret_cast<const u32*>(residual + at);
            first += lowFloat(r);
            second += highFloat(r);
        }
        if (flags & GEMM_FLOAT) {
            *reinterpret_cast<float2*>(static_cast<float*>(c) + at) = float2{first, second};
        } else {
            *reinterpret_cast<u32*>(static_cast<bf16*>(c) + at) = packBf16(first, second);
        }
    }

    /** Finishes the sums of gate row column and up row N / 2 + column. */
    DEVICE void storeGated(int row, int column, float gate, float up) const {
        if (bias != nullptr) {
            gate += toFloat(bias[column]);
            up += toFloat(bias[N / 2 + column]);
        }
        float activated = flags & GEMM_SILU ? silu(gate) : geluTanh(gate);
        static_cast<bf16*>(c)[(long)row * (N / 2) + column] = toBf16(activated * up);
    }
};
