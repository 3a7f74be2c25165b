// The MLP's first product for many rows on Hopper, with the gate in its epilogue: act(a gateᵀ) times a upᵀ, so that neither is
// ever written.
//
// A cluster of two blocks works on 256 rows of a and 128 columns of the output: each block on 128 rows, two warpgroups of 64 by 256,
// in turn eight of the gate and the same eight of up. The copy engine fills a ring of four stages; each block fetches its
// rows of a and half of the weights, these for both. The grid stays, and copies run ahead from tile to tile. One warpgroup is
// two stages ahead of the other, so that one multiplies while the other stores.
#pragma once
#include "copy_engine.cuh"
#include "gemm_epilogue.cuh"
#include "wgmma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int GATED_CLUSTER = 2;
constexpr int GATED_GROUPS = 2;
constexpr int GATED_MULTIPLYING = GATED_GROUPS * 128;
constexpr int GATED_THREADS = GATED_MULTIPLYING + 128;
constexpr int GATED_STAGES = 4;
constexpr int GATED_ROWS = GATED_GROUPS * 64;
constexpr int GATED_WEIGHTS = 256;  // rows: gate and up in turn, eight of each
constexpr int GATED_COLUMNS = GATED_WEIGHTS / 2;
constexpr int GATED_DEPTH = 64;
constexpr int GATED_A_BYTES = GATED_ROWS * 128;
constexpr int GATED_STAGE_BYTES = GATED_A_BYTES + GATED_WEIGHTS * 128;
constexpr int GATED_LEAD = 2;  // stages that the first warpgroup is ahead: one stores while the other still multiplies
constexpr int GATED_BAND = 8;  // clusters' rows that go side by side over the weights: their part of a stays in the L2

struct GatedShared {
    u64 full[GATED_STAGES], free[GATED_STAGES];
};

/** Which rows (in clusters of 256) and columns a cluster takes next: bands of rows, within a band column by column. */
struct GatedTiles {
    int rowTiles, columnTiles, index, step;

    DEVICE GatedTiles(int M, int columns) {
        rowTiles = (M + GATED_CLUSTER * GATED_ROWS - 1) / (GATED_CLUSTER * GATED_ROWS);
        columnTiles = (columns + GATED_COLUMNS - 1) / GATED_COLUMNS;
        index = blockIdx.x / GATED_CLUSTER;
        step = gridDim.x / GATED_CLUSTER;
    }

    DEVICE bool any() const { return index < rowTiles * columnTiles; }

    DEVICE bool next(int& row, int& column, int rank) {
        if (!any()) return false;
        int band = index / (GATED_BAND * columnTiles), within = index - band * GATED_BAND * columnTiles;
        int height = min(GATED_BAND, rowTiles - band * GATED_BAND);
        row = ((band * GATED_BAND + within % height) * GATED_CLUSTER + rank) * GATED_ROWS;
        column = within / height * GATED_COLUMNS;
        index += step;
        return true;
    }
};

DEVICE void gatedProduce(GatedTiles tiles, GatedShared& shared, u32 ring, const byte* aMap, const byte* wMap, int K, int rank) {
    constexpr int HALF = GATED_WEIGHTS / GATED_CLUSTER;
    RingCursor<GATED_STAGES> at;
    int row, column;
    while (tiles.next(row, column, rank))
        for (int k = 0; k < K; k += GATED_DEPTH) {
            u32 full = sharedAddress(shared.full + at.stage), target = ring + at.stage * GATED_STAGE_BYTES;
            barrierWait(sharedAddress(shared.free + at.stage), at.parity ^ 1);
            barrierExpect(full, GATED_STAGE_BYTES);
            copyBox(target, aMap, k, row, full);
            copyBoxToMany(
                target + GATED_A_BYTES + rank * HALF * 128, wMap, k, 0, 0, column / 8 + rank * HALF / 16, full, (1 << GATED_CLUSTER) - 1);
            at.advance();
        }
}

struct GatedConsumer {
    GatedShared& shared;
    u32 ring;
    RingCursor<GATED_STAGES> at;
    float sums[GATED_WEIGHTS / 8][4];

    DEVICE void release(int stage) {
        int lane = threadIdx.x & 31;
        if (lane < GATED_CLUSTER) barrierArriveAt(sharedAddress(shared.free + stage), lane);
    }

    /** Starts the tensor cores on a stage. */
    DEVICE void multiply() {
        u32 stage = ring + at.stage * GATED_STAGE_BYTES;
        u64 left = tileDescriptor(stage + threadIdx.x / 128 * 64 * 128), right = tileDescriptor(stage + GATED_A_BYTES);
        warpgroupFence();
#pragma unroll
        for (int step = 0; step < GATED_DEPTH / 16; step++)
            warpgroupMultiply<GATED_WEIGHTS>(sums, left + step * 2, right + step * 2);
        warpgroupCommit();
    }

    /** Sums of a tile; a stage goes back when the next one's products are on their way. */
    DEVICE void sum(int K, bool leads) {
        int before = -1;
#pragma unroll
        for (int j = 0; j < GATED_WEIGHTS / 8; j++) sums[j][0] = sums[j][1] = sums[j][2] = sums[j][3] = 0.f;
        for (int k = 0; k < K; k += GATED_DEPTH) {
            barrierWait(sharedAddress(shared.full + at.stage), at.parity);
            multiply();
            if (before >= 0) {
                warpgroupWait<1>();
                release(before);
            }
            before = at.stage;
            at.advance();
            if (leads && k == (GATED_LEAD - 1) * GATED_DEPTH) namedBarrierArrive(1, GATED_MULTIPLYING);
        }
        if (leads && K <= (GATED_LEAD - 1) * GATED_DEPTH) namedBarrierArrive(1, GATED_MULTIPLYING);
        warpgroupWait<0>();
        settled(sums);
        release(before);
    }

    /** Row of the output that this thread stores vectors of, and their first column: after a row's four threads traded. */
    DEVICE int outputRow(int row, int h) const { return row + threadIdx.x / 32 * 16 + (threadIdx.x & 31) / 4 + h * 8; }
    DEVICE int outputColumn(int column, int j) const { return column + (j + (threadIdx.x & 3)) * 8; }

    template <bool GELU>
    DEVICE void store(bf16* c, int row, int column, int live, int columns) const {
#pragma unroll
        for (int h = 0; h < 2; h++)
#pragma unroll
            for (int j = 0; j < GATED_WEIGHTS / 16; j += 4) {
                Vec8 own;
#pragma unroll
                for (int p = 0; p < 4; p++) {
                    const float *gate = sums[2 * (j + p)] + 2 * h, *up = sums[2 * (j + p) + 1] + 2 * h;
                    own.pair[p] = packBf16(
                        (GELU ? geluTanh(gate[0]) : silu(gate[0])) * up[0], (GELU ? geluTanh(gate[1]) : silu(gate[1])) * up[1]);
                }
                transposeQuad(own, threadIdx.x & 31);
                int r = outputRow(row, h), n = outputColumn(column, j);
                if (r < live && n < columns) store8(c + (long)r * columns + n, own);
            }
    }
};

PROPERTY(gemm_gated, threads, GATED_THREADS);
PROPERTY(gemm_gated, sharedBytes, GATED_STAGES* GATED_STAGE_BYTES + 1024);

/** 2 M N K operations; bound: tensor cores. */
KERNEL(GATED_THREADS, 1) __cluster_dims__(GATED_CLUSTER, 1, 1)
gemm_gated(bf16* c, const byte* aMap, const byte* wMap, const int* count, int M, int N, int K, int flags) {
    __shared__ GatedShared shared;
    letSuccessorStart();
    u32 ring = (sharedAddress(dynamicShared) + 1023) & ~1023u;
    int rank = clusterRank(), group = threadIdx.x / 128;
    if (threadIdx.x == 0) {
        prefetchMap(aMap);
        prefetchMap(wMap);
        for (int stage = 0; stage < GATED_STAGES; stage++) {
            barrierInit(sharedAddress(shared.full + stage), 1);
            barrierInit(sharedAddress(shared.free + stage), GATED_MULTIPLYING / WARP * GATED_CLUSTER);
        }
        barrierInitFence();
    }
    clusterBarrier();
    waitForPredecessor();
    int live = liveRows(count, M);
    GatedTiles tiles(live, N / 2);
    if (threadIdx.x >= GATED_MULTIPLYING) {
        keepRegisters<40>();
        if (threadIdx.x == GATED_MULTIPLYING) gatedProduce(tiles, shared, ring, aMap, wMap, K, rank);
    } else {
        takeRegisters<232>();
        GatedConsumer consumer{shared, ring};
        int row, column;
        bool leads = group == 0;
        if (group == 1 && tiles.any()) namedBarrierWait(1, GATED_MULTIPLYING);
        while (tiles.next(row, column, rank)) {
            consumer.sum(K, leads);
            leads = false;
            if (flags & GEMM_GELU) {
                consumer.store<true>(c, row, column, live, N / 2);
            } else {
                consumer.store<false>(c, row, column, live, N / 2);
            }
        }
    }
    __syncwarp();
    clusterBarrier();  // no block leaves while the other may write to it
}

#endif
