// Products with few rows on Hopper: weights stream through shared memory into the tensor cores, every multiprocessor reads
// the same number of bytes, whatever the shape.
//
// The product is cut into tiles of 128 weight rows and chunks of 128 k; the (tile, chunk) units are dealt out in order, the
// same number to each block. A block that holds all of a tile's chunks stores it; else the tile's blocks leave their sums
// in the workspace, and the last to arrive adds them in order of k. The ring of stages never drains from tile to tile, and
// it is filled with weights before the wait for the predecessor, so a launch that overlaps it costs no pause in the stream.
//
// Beyond 8 columns two blocks of a cluster work as one team: each takes every other chunk, at the end they trade halves of their
// sums through shared memory, and each goes on with half of the columns. Half as many parts, of half the size, go through the L2.
#pragma once
#include "copy_engine.cuh"
#include "gemm_skinny.cuh"
#include "wgmma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int WIDE_THREADS = 256;
constexpr int WIDE_ROWS = 128;
constexpr int WIDE_STRIDE = WIDE_THREADS / 16;  // rows that the block loads at a time, 256 bytes each
constexpr int WIDE_PANELS = 2;  // of 64 k, the width of the tensor cores' swizzled rows
constexpr int WIDE_DEPTH = WIDE_PANELS * 64;
constexpr int WIDE_WEIGHT_BYTES = WIDE_ROWS * 128;  // of a panel

template <int COLUMNS_, int STAGES_, int TEAM_>
struct WideShape {
    static constexpr int COLUMNS = COLUMNS_;
    static constexpr int STAGES = STAGES_;
    static constexpr int TEAM = TEAM_;              // blocks that work as one: 1 or 2
    static constexpr int KEPT = COLUMNS / TEAM;     // columns that a block finishes
    static constexpr int PANEL_BYTES = WIDE_WEIGHT_BYTES + COLUMNS * 128;
    static constexpr int STAGE_BYTES = WIDE_PANELS * PANEL_BYTES;
    static constexpr int PART_FLOATS = WIDE_ROWS * KEPT;
    static constexpr int TRADED_BYTES = TEAM == 1 ? 0 : PART_FLOATS * 4;
    static constexpr int SHARED_BYTES = STAGES * STAGE_BYTES + TRADED_BYTES + 1024;  // aligned to 1024 by hand
    static constexpr int TOGETHER = KEPT <= 32 ? 4 : KEPT <= 64 ? 2 : 1;  // parts of a tile read at a time
};

/** How the units are dealt out to teams: the first rest of them take one more than the others. A unit is a chunk for each block. */
struct WideDeal {
    int chunks, units, each, rest;

    DEVICE WideDeal(int N, int K, int team) {
        int teams = gridDim.x / team, depth = WIDE_DEPTH * team;
        chunks = (K + depth - 1) / depth;
        units = (N + WIDE_ROWS - 1) / WIDE_ROWS * chunks;
        each = units / teams;
        rest = units - each * teams;
    }

    DEVICE int begin(int team) const { return team * each + min(team, rest); }
    DEVICE int teamOf(int unit) const {
        int many = rest * (each + 1);
        return unit < many ? unit / (each + 1) : rest + (unit - many) / each;
    }
};

/** A position in a team's units. */
struct WideCursor {
    int unit, end, tile, chunk, chunks;

    DEVICE WideCursor(const WideDeal& deal, int team) {
        unit = deal.begin(team);
        end = deal.begin(team + 1);
        chunks = deal.chunks;
        tile = unit / chunks;
        chunk = unit - tile * chunks;
    }

    DEVICE bool done() const { return unit >= end; }
    DEVICE void advance() {
        unit++;
        if (++chunk == chunks) {
            chunk = 0;
            tile++;
        }
    }
};

template <class S>
struct WideProduct {
    const bf16* a;
    const bf16* w;
    int live, N, K;
    bool gated;
    u32 ring;
    u64 policy;
    // Where this thread loads from: vector threadIdx.x % 16 of every 16th row of the tile.
    const bf16* rows[WIDE_ROWS / WIDE_STRIDE];
    int loadedTile;

    /** Of the team's blocks. */
    DEVICE static int rank() { return blockIdx.x % S::TEAM; }

    /** Where this block's chunk begins. */
    DEVICE static int firstK(const WideCursor& at) { return (at.chunk * S::TEAM + rank()) * WIDE_DEPTH; }

    /** Row of w at row r of a tile: with a gate, every 16 rows are 8 gate rows and their 8 up rows. -1 = none. */
    DEVICE int weightRow(int tile, int r) const {
        int n = tile * WIDE_ROWS + r;
        if (!gated) return n < N ? n : -1;
        n = tile * (WIDE_ROWS / 2) + r / 16 * 8 + (r & 7);
        return n >= N / 2 ? -1 : n + (r & 8 ? N / 2 : 0);
    }

    DEVICE static u32 place(u32 base, int row, int vector) { return base + row * 128 + ((vector ^ (row & 7)) << 4); }

    DEVICE void loadWeights(const WideCursor& at, int stage) {
        int v = threadIdx.x % 16, row = threadIdx.x / 16, k = firstK(at) + v * 8;
        if (at.tile != loadedTile) {
            loadedTile = at.tile;
#pragma unroll
            for (int i = 0; i < WIDE_ROWS / WIDE_STRIDE; i++) {
                int n = weightRow(at.tile, row + i * WIDE_STRIDE);
                rows[i] = n < 0 ? nullptr : w + (long)n * K;
            }
        }
        u32 target = threadsOwn(place(ring + stage * S::STAGE_BYTES + v / 8 * S::PANEL_BYTES, row, v % 8));
#pragma unroll
        for (int i = 0; i < WIDE_ROWS / WIDE_STRIDE; i++) {
            bool exists = rows[i] != nullptr && k < K;
            copyAsync16(target + i * WIDE_STRIDE * 128, exists ? rows[i] + k : w, exists ? 16 : 0, policy);
        }
    }

    /** Has the L2 fetch what loadWeights will load: a line of each row and panel a thread. */
    DEVICE void prefetchWeights(const WideCursor& at) const {
        int n = weightRow(at.tile, threadIdx.x % WIDE_ROWS), k = firstK(at) + threadIdx.x / WIDE_ROWS * 64;
        if (n >= 0 && k < K) prefetchLine(w + (long)n * K + k);
    }

    /** Rows of a beyond the live ones stay as they are in shared memory: their columns are never stored. */
    DEVICE void loadActivations(const WideCursor& at, int stage) const {
        int v = threadIdx.x % 16, row = threadIdx.x / 16, k = firstK(at) + v * 8;
        u32 target = place(ring + stage * S::STAGE_BYTES + v / 8 * S::PANEL_BYTES + WIDE_WEIGHT_BYTES, row, v % 8);
        const bf16* source = a + (long)row * K + k;
#pragma unroll
        for (int i = 0; i < (S::COLUMNS + WIDE_STRIDE - 1) / WIDE_STRIDE; i++) {
            if (row + i * WIDE_STRIDE >= live) break;
            copyAsync16(target + i * WIDE_STRIDE * 128, k < K ? source + (long)i * WIDE_STRIDE * K : a, k < K ? 16 : 0);
        }
    }

    /** Starts the tensor cores on a stage; warpgroupWait ends it. */
    DEVICE void multiply(float (&sums)[S::COLUMNS / 8][4], int stage) const {
        u32 base = ring + stage * S::STAGE_BYTES;
        warpgroupFence();
#pragma unroll
        for (int panel = 0; panel < WIDE_PANELS; panel++) {
            u64 left = tileDescriptor(base + panel * S::PANEL_BYTES + threadIdx.x / 128 * 64 * 128);
            u64 right = tileDescriptor(base + panel * S::PANEL_BYTES + WIDE_WEIGHT_BYTES);
#pragma unroll
            for (int step = 0; step < 4; step++)
                warpgroupMultiply<S::COLUMNS>(sums, left + step * 2, right + step * 2);
        }
        warpgroupCommit();
    }

    DEVICE void store(const float (&sums)[S::KEPT / 8][4], int tile, const Epilogue& epilogue) const {
        int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        int r = warp * 16 + (lane >> 2), first = weightRow(tile, r), second = weightRow(tile, r + 8);
        int firstColumn = rank() * S::KEPT + (lane & 3) * 2;
        if (gated) {
#pragma unroll
            for (int j = 0; j < S::KEPT / 8; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    int m = firstColumn + j * 8 + e;
                    if (m < live && first >= 0) epilogue.storeGated(m, first, sums[j][e], sums[j][2 + e]);
                }
            return;
        }
        float added[S::KEPT / 8][4];
#pragma unroll
        for (int j = 0; j < S::KEPT / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {  // all loads before the first store, which c might share with residual
                int m = firstColumn + j * 8 + (e & 1), n = e < 2 ? first : second;
                added[j][e] = m < live && n >= 0 ? epilogue.added(m, n) : 0.f;
            }
#pragma unroll
        for (int j = 0; j < S::KEPT / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int m = firstColumn + j * 8 + (e & 1), n = e < 2 ? first : second;
                if (m < live && n >= 0) epilogue.storeSum(m, n, sums[j][e] + added[j][e]);
            }
    }
};

/** What the two blocks of a team trade, at the same places in both. */
struct WideTrade {
    u64 full, free;  // the halves have come; the other block has taken what we sent
};

/** Sends half of this block's sums to the other one and adds what comes from there to the half that it keeps. */
template <class S>
DEVICE void tradeSums(
    float (&kept)[S::KEPT / 8][4], const float (&sums)[S::COLUMNS / 8][4], WideTrade& trade, u32 received, u32& parity, bool last) {
    int rank = blockIdx.x % S::TEAM;
    u32 full = sharedAddress(&trade.full), own = received + threadIdx.x * 16;
    if (threadIdx.x == 0) barrierExpect(full, S::TRADED_BYTES);
    barrierWait(sharedAddress(&trade.free), parity ^ 1);
#pragma unroll
    for (int j = 0; j < S::KEPT / 8; j++) {
        float sent[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            sent[e] = rank == 0 ? sums[S::KEPT / 8 + j][e] : sums[j][e];
            kept[j][e] = rank == 0 ? sums[j][e] : sums[S::KEPT / 8 + j][e];
        }
        sendToPeer(own + j * WIDE_THREADS * 16, sent, full, rank ^ 1);
    }
    barrierWait(full, parity);
    parity ^= 1;
#pragma unroll
    for (int j = 0; j < S::KEPT / 8; j++) {
        float4 part = loadShared16(own + j * WIDE_THREADS * 16);
        kept[j][0] += part.x;
        kept[j][1] += part.y;
        kept[j][2] += part.z;
        kept[j][3] += part.w;
    }
    if (last) return;  // nobody waits any more, and the other block may have gone
    __syncwarp();
    if ((threadIdx.x & 31) == 0) barrierArriveAt(sharedAddress(&trade.free), rank ^ 1);
}

/** A team's part of a tile: the first of a tile's teams has no other part after it, the others none before it. */
template <class S>
DEVICE float4* widePart(byte* workspace, int team, bool startsTile) {
    float* parts = reinterpret_cast<float*>(workspace + COUNTER_BYTES);
    int slot = (team * 2 + startsTile) * S::TEAM + blockIdx.x % S::TEAM;
    return reinterpret_cast<float4*>(parts + (long)slot * S::PART_FLOATS) + threadIdx.x;
}

/** Leaves this block's sums of a shared tile; true, with the whole tile's sums, in the block that arrives last. */
template <class S>
DEVICE bool joinTile(float (&sums)[S::KEPT / 8][4], const WideDeal& deal, int tile, byte* workspace) {
    int firstUnit = tile * deal.chunks, team = blockIdx.x / S::TEAM;
    int firstTeam = deal.teamOf(firstUnit), lastTeam = deal.teamOf(firstUnit + deal.chunks - 1);
    if (firstTeam == lastTeam) return true;
    int* arrivals = reinterpret_cast<int*>(workspace) + tile * S::TEAM + blockIdx.x % S::TEAM;
    float4* own = widePart<S>(workspace, team, team == firstTeam);
#pragma unroll
    for (int j = 0; j < S::KEPT / 8; j++)
        __stcg(own + j * WIDE_THREADS, float4{sums[j][0], sums[j][1], sums[j][2], sums[j][3]});
    if (!arrivesLast(arrivals, lastTeam - firstTeam + 1)) return false;
#pragma unroll
    for (int j = 0; j < S::KEPT / 8; j++) sums[j][0] = sums[j][1] = sums[j][2] = sums[j][3] = 0.f;
    for (int t = firstTeam; t <= lastTeam; t += S::TOGETHER) {
        float4 parts[S::TOGETHER][S::KEPT / 8];
#pragma unroll
        for (int b = 0; b < S::TOGETHER; b++) {
            const float4* part = widePart<S>(workspace, min(t + b, lastTeam), t + b == firstTeam);
#pragma unroll
            for (int j = 0; j < S::KEPT / 8; j++) parts[b][j] = __ldcg(part + j * WIDE_THREADS);
        }
#pragma unroll
        for (int b = 0; b < S::TOGETHER; b++)
#pragma unroll
            for (int j = 0; j < S::KEPT / 8; j++) {
                if (t + b > lastTeam) continue;
                sums[j][0] += parts[b][j].x;
                sums[j][1] += parts[b][j].y;
                sums[j][2] += parts[b][j].z;
                sums[j][3] += parts[b][j].w;
            }
    }
    return true;
}

/** Finishes a tile, or this team's share of it. */
template <class S>
DEVICE void finishTile(
    float (&sums)[S::KEPT / 8][4], const WideProduct<S>& product, const WideDeal& deal, int tile, const Epilogue& epilogue, byte* workspace) {
    if (joinTile<S>(sums, deal, tile, workspace)) product.store(sums, tile, epilogue);
}

template <class S>
DEVICE void wideGemm(GEMM_PARAMETERS) {
    __shared__ WideTrade trade;
    letSuccessorStart();
    Epilogue epilogue{c, bias, residual, N, flags};
    WideProduct<S> product{a, w, 0, N, K, epilogue.gated(), (sharedAddress(dynamicShared) + 1023) & ~1023u, readOnce(), {}, -1};
    WideDeal deal(N, K, S::TEAM);
    WideCursor loading(deal, blockIdx.x / S::TEAM), at = loading;
    for (int s = 0; s < S::STAGES - 1; s++) {
        if (!loading.done()) product.loadWeights(loading, s);
        loading.advance();
    }
    for (int s = 0; s < PREFETCH_BYTES / (WIDE_PANELS * WIDE_WEIGHT_BYTES) && !loading.done(); s++) {
        product.prefetchWeights(loading);
        loading.advance();
    }
    if constexpr (S::TEAM > 1) {
        if (threadIdx.x == 0) {
            barrierInit(sharedAddress(&trade.full), 1);
            barrierInit(sharedAddress(&trade.free), WIDE_THREADS / WARP);
            barrierInitFence();
        }
        __syncwarp();
        clusterBarrier();
    }
    waitForPredecessor();
    product.live = liveRows(count, M);
    if (product.live <= 0) {
        copyWait<0>();
        return;
    }
    loading = at;
    for (int s = 0; s < S::STAGES - 1; s++) {
        if (!loading.done()) product.loadActivations(loading, s);
        copyCommit();
        loading.advance();
    }
    float sums[S::COLUMNS / 8][4] = {};
    u32 tradeParity = 0;
    for (int stage = 0; !at.done(); stage = stage + 1 == S::STAGES ? 0 : stage + 1) {
        copyWait<S::STAGES - 2>();
        fenceForTensorCores();
        __syncthreads();
        product.multiply(sums, stage);
        if (!loading.done()) {
            int next = stage == 0 ? S::STAGES - 1 : stage - 1;
            product.loadWeights(loading, next);
            product.loadActivations(loading, next);
        }
        copyCommit();
        loading.advance();
        warpgroupWait<0>();
        bool last = at.unit + 1 == at.end;
        if (at.chunk == at.chunks - 1 || last) {
            if constexpr (S::TEAM > 1) {
                float kept[S::KEPT / 8][4];
                tradeSums<S>(kept, sums, trade, product.ring + S::STAGES * S::STAGE_BYTES, tradeParity, last);
                finishTile<S>(kept, product, deal, at.tile, epilogue, workspace);
            } else {
                finishTile<S>(sums, product, deal, at.tile, epilogue, workspace);
            }
#pragma unroll
            for (int j = 0; j < S::COLUMNS / 8; j++) sums[j][0] = sums[j][1] = sums[j][2] = sums[j][3] = 0.f;
        }
        at.advance();
    }
    copyWait<0>();
}

#define WIDE_KERNEL(COLUMNS, STAGES, BLOCKS)                                                             \
    PROPERTY(gemm_skinny_##COLUMNS, threads, WIDE_THREADS);                                              \
    PROPERTY(gemm_skinny_##COLUMNS, blocksPerSm, 1);                                                     \
    PROPERTY(gemm_skinny_##COLUMNS, sharedBytes, (WideShape<COLUMNS, STAGES, 2>::SHARED_BYTES));         \
    KERNEL(WIDE_THREADS, BLOCKS) __cluster_dims__(2, 1, 1) gemm_skinny_##COLUMNS(GEMM_PARAMETERS) {      \
        wideGemm<WideShape<COLUMNS, STAGES, 2>>(GEMM_ARGUMENTS);                                         \
    }

typedef WideShape<8, 4, 1> Wide8;

constexpr int larger(int x, int y) { return x > y ? x : y; }

constexpr int SKINNY8_SHARED_BYTES =
    larger(larger(Wide8::SHARED_BYTES, Skinny8By2::SHARED_BYTES), larger(Skinny8By3::SHARED_BYTES, Skinny8By4::SHARED_BYTES));

PROPERTY(gemm_skinny_8, threads, WIDE_THREADS);
PROPERTY(gemm_skinny_8, blocksPerSm, 1);
PROPERTY(gemm_skinny_8, sharedBytes, SKINNY8_SHARED_BYTES);

/**
 * Moves 2 (N K + M K + M N) bytes; bound: memory. Small products have no partial sums to join when whole rows are dealt
 * out; large ones gain more from blocks that all read the same number of bytes.
 */
KERNEL(WIDE_THREADS, 2) gemm_skinny_8(GEMM_PARAMETERS) {
    int granules = (N + GRANULE - 1) / GRANULE, blocks = gridDim.x;
    if (granules <= 2 * blocks) {
        skinnyGemm<Skinny8By2>(GEMM_ARGUMENTS);
    } else if (granules <= 3 * blocks) {
        skinnyGemm<Skinny8By3>(GEMM_ARGUMENTS);
    } else if (granules <= 4 * blocks) {
        skinnyGemm<Skinny8By4>(GEMM_ARGUMENTS);
    } else {
        wideGemm<Wide8>(GEMM_ARGUMENTS);
    }
}

/** Moves 2 (N K + M K N / 128 + M N) bytes, of which N K from memory; bound: memory. */
WIDE_KERNEL(16, 4, 2)
WIDE_KERNEL(32, 4, 2)
WIDE_KERNEL(64, 4, 1)
WIDE_KERNEL(128, 3, 1)

#endif
