// Products with few rows (decode): the weights are read once, as fast as memory gives them.
//
// Weight rows are dealt out in granules of 16, as evenly as the grid allows; a block streams its granules over the whole
// of K, up to R granules in a pass. The ring of stages never drains: the next pass's first chunks load while the last
// one's sums are added up. In each chunk of K every warp takes its own k-steps for all rows and columns, so each byte
// of shared memory is read once; the warps' sums meet at the end of a pass. The ring is filled with weights before the
// wait for the predecessor, so a launch that overlaps it costs no pause in the stream.
#pragma once
#include "gemm_epilogue.cuh"

constexpr int SKINNY_THREADS = 256;
constexpr int SKINNY_WARPS = SKINNY_THREADS / WARP;
constexpr int GRANULE = 16;
constexpr int PREFETCH_BYTES = 48 << 10;  // of weights that a waiting block has the L2 fetch, beyond what its ring holds

template <int COLUMNS_, int R_, int DEPTH_, int STAGES_, bool ONE_PASS_ = false>
struct SkinnyShape {
    static constexpr int COLUMNS = COLUMNS_;  // rows of a in one go, padded
    static constexpr int R = R_;              // granules of a pass at most
    static constexpr int DEPTH = DEPTH_;      // k of a stage
    static constexpr int STAGES = STAGES_;
    static constexpr int ROWS = R * GRANULE;
    static constexpr int PITCH = DEPTH * 2 + 16;  // 16 bytes of padding keep ldmatrix free of bank conflicts
    static constexpr int WEIGHT_BYTES = ROWS * DEPTH * 2;
    static constexpr int STAGE_BYTES = (ROWS + COLUMNS) * PITCH;
    static constexpr int SUM_PITCH = ROWS + 4;
    static constexpr int SUM_FLOATS = SKINNY_WARPS * COLUMNS * SUM_PITCH;
    // The sums of the only pass take the place of the ring, which is done with.
    static constexpr bool ONE_PASS = ONE_PASS_;
    static constexpr int SHARED_BYTES = STAGES * STAGE_BYTES + (ONE_PASS ? 0 : SUM_FLOATS * 4);
    static_assert(!ONE_PASS || SUM_FLOATS * 4 <= STAGES * STAGE_BYTES, "the sums fit");
    static constexpr int STEPS = DEPTH / 16 / SKINNY_WARPS;  // k-steps of 16 a warp takes of a stage
    static_assert(STEPS * 16 * SKINNY_WARPS == DEPTH, "the warps share a stage's depth evenly");
};

#if __CUDA_ARCH__ >= 900  // beside it, one block of attention_decode fits an SM
typedef SkinnyShape<8, 2, 256, 7, true> Skinny8By2;  // when no block has more than two granules
typedef SkinnyShape<8, 3, 256, 5, true> Skinny8By3;  // as many bytes under way: 100 KiB fill the memory's latency
typedef SkinnyShape<8, 4, 128, 7, true> Skinny8By4;
#else  // 99 KiB, so that every GPU from 8.0 on can run it
typedef SkinnyShape<8, 4, 128, 4> Skinny8;
typedef SkinnyShape<16, 4, 128, 3> Skinny16;
typedef SkinnyShape<32, 2, 128, 3> Skinny32;
typedef SkinnyShape<64, 1, 128, 2> Skinny64;
typedef Skinny64 Skinny128;  // in two goes
#endif

/** The pass a block is at, and the chunk of K within it. Divisions happen once a pass: they cost as much as a stage. */
struct SkinnyCursor {
    int firstGranule, granules, passes, chunks;
    int pass, chunk;
    int begin, size;  // granules of this pass

    DEVICE bool done() const { return pass >= passes; }

    DEVICE void enter(int newPass) {
        pass = newPass;
        chunk = 0;
        int share = passes > 0 ? granules / passes : 0, rest = granules - share * passes;
        begin = firstGranule + pass * share + min(pass, rest);
        size = share + (pass < rest);
    }

    DEVICE void advance() {
        if (++chunk == chunks) enter(pass + 1);
    }
};

template <class S>
struct SkinnyProduct {
    const bf16* a;
    const bf16* w;
    int firstRow, rows;  // rows of a in this go
    int N, K;
    bool gated;
    u32 ring;
    u64 policy;

    /** Row of w at row r of a granule: with a gate, a granule is 8 gate rows and their 8 up rows. */
    DEVICE int weightRow(int granule, int r) const {
        return !gated ? granule * GRANULE + r : granule * 8 + (r & 7) + (r >= 8 ? N / 2 : 0);
    }

    DEVICE void loadWeights(const SkinnyCursor& at, int stage) const {
        constexpr int VECTORS = S::DEPTH / 8;
        int first = at.begin, rowsHere = at.size * GRANULE, k0 = at.chunk * S::DEPTH;
        u32 target = ring + stage * S::STAGE_BYTES;
#pragma unroll
        for (int i = 0; i < S::ROWS * VECTORS / SKINNY_THREADS; i++) {
            int index = threadIdx.x + i * SKINNY_THREADS;
            int r = index / VECTORS, v = index % VECTORS;
            if (r >= rowsHere) break;
            int n = weightRow(first + r / GRANULE, r % GRANULE);
            bool exists = n < N && k0 + v * 8 < K;
            copyAsync16(target + r * S::PITCH + v * 16, exists ? w + (long)n * K + k0 + v * 8 : w, exists ? 16 : 0, policy);
        }
    }

    /** Has the L2 fetch what loadWeights will load. */
    DEVICE void prefetchWeights(const SkinnyCursor& at) const {
        constexpr int LINES = S::DEPTH / 64;
        for (int index = threadIdx.x; index < at.size * GRANULE * LINES; index += SKINNY_THREADS) {
            int r = index / LINES, n = weightRow(at.begin + r / GRANULE, r % GRANULE), k = at.chunk * S::DEPTH + index % LINES * 64;
            if (n < N && k < K) prefetchLine(w + (long)n * K + k);
        }
    }

    DEVICE void loadActivations(const SkinnyCursor& at, int stage) const {
        constexpr int VECTORS = S::DEPTH / 8;
        int k0 = at.chunk * S::DEPTH;
        u32 target = ring + stage * S::STAGE_BYTES + S::ROWS * S::PITCH;
#pragma unroll
        for (int i = 0; i < (S::COLUMNS * VECTORS + SKINNY_THREADS - 1) / SKINNY_THREADS; i++) {
            int index = threadIdx.x + i * SKINNY_THREADS;
            int r = index / VECTORS, v = index % VECTORS;
            if (r >= rows) break;  // rows beyond stay as they are: their columns are never stored
            bool exists = k0 + v * 8 < K;
            copyAsync16(
                target + r * S::PITCH + v * 16, exists ? a + (long)(firstRow + r) * K + k0 + v * 8 : a,
                exists ? 16 : 0);
        }
    }

    DEVICE void multiply(float (&sums)[S::R][S::COLUMNS / 8][4], int stage, int granules) const {
        int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        u32 weights = ring + stage * S::STAGE_BYTES + (lane & 15) * S::PITCH + (lane >> 4) * 16;
        u32 columns = ring + stage * S::STAGE_BYTES + S::ROWS * S::PITCH
            + ((lane & 7) + (S::COLUMNS > 8 ? (lane >> 4) * 8 : 0)) * S::PITCH + ((lane >> 3) & 1) * 16;
#pragma unroll
        for (int step = 0; step < S::STEPS; step++) {
            int offset = (warp * S::STEPS + step) * 32;
            u32 b[S::COLUMNS / 8][2];
            if (S::COLUMNS == 8) {
                loadMatrix2(b[0][0], b[0][1], columns + offset);
            } else {
#pragma unroll
                for (int j = 0; j < S::COLUMNS / 16; j++) {
                    u32 four[4];
                    loadMatrix4(four, columns + j * 16 * S::PITCH + offset);
                    b[2 * j][0] = four[0];
                    b[2 * j][1] = four[1];
                    b[(2 * j + 1) % (S::COLUMNS / 8)][0] = four[2];
                    b[(2 * j + 1) % (S::COLUMNS / 8)][1] = four[3];
                }
            }
#pragma unroll
            for (int r = 0; r < S::R; r++) {
                if (r >= granules) break;
                u32 fragment[4];
                loadMatrix4(fragment, weights + r * GRANULE * S::PITCH + offset);
#pragma unroll
                for (int j = 0; j < S::COLUMNS / 8; j++) mma16816(sums[r][j], fragment, b[j][0], b[j][1]);
            }
        }
    }

    /** Adds up the warps' sums, clears them, and stores the pass's outputs. */
    DEVICE void finish(
        float (&sums)[S::R][S::COLUMNS / 8][4], float* scratch, const SkinnyCursor& at, const Epilogue& epilogue) const {
        int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        if (S::ONE_PASS) __syncthreads();  // the ring's last stage is read
        float* own = scratch + warp * S::COLUMNS * S::SUM_PITCH + (lane & 3) * 2 * S::SUM_PITCH + (lane >> 2);
#pragma unroll
        for (int r = 0; r < S::R; r++)
#pragma unroll
            for (int j = 0; j < S::COLUMNS / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    own[(j * 8 + (e & 1)) * S::SUM_PITCH + r * GRANULE + (e >> 1) * 8] = sums[r][j][e];
                    sums[r][j][e] = 0.f;
                }
        __syncthreads();
        int first = at.begin, rowsHere = at.size * GRANULE;
        constexpr int OUTPUTS = (S::COLUMNS * S::ROWS + SKINNY_THREADS - 1) / SKINNY_THREADS;
        float added[OUTPUTS];
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++) {  // all loads before the first store, which c might share with residual
            int index = threadIdx.x + i * SKINNY_THREADS, r = index % S::ROWS, m = index / S::ROWS;
            int n = weightRow(first + r / GRANULE, r % GRANULE);
            bool exists = m < rows && r < rowsHere && n < N;
            added[i] = exists && !gated ? epilogue.added(firstRow + m, n) : 0.f;
        }
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++) {
            int index = threadIdx.x + i * SKINNY_THREADS, r = index % S::ROWS, m = index / S::ROWS;
            if (m >= rows || r >= rowsHere) continue;
            int n = weightRow(first + r / GRANULE, r % GRANULE);
            const float* part = scratch + m * S::SUM_PITCH + r;
            if (!gated) {
                if (n < N) epilogue.storeSum(firstRow + m, n, total(part) + added[i]);
            } else if ((r & 8) == 0 && n < N / 2) {
                epilogue.storeGated(firstRow + m, n, total(part), total(part + 8));
            }
        }
    }

    DEVICE static float total(const float* part) {
        float sum = 0;
#pragma unroll
        for (int v = 0; v < SKINNY_WARPS; v++) sum += part[v * S::COLUMNS * S::SUM_PITCH];
        return sum;
    }
};

template <class S>
DEVICE SkinnyCursor skinnyShare(int N, int K) {
    int granules = (N + GRANULE - 1) / GRANULE;
    SkinnyCursor share;
    int each = granules / gridDim.x, rest = granules - each * gridDim.x, b = blockIdx.x;
    share.firstGranule = b * each + min(b, rest);
    share.granules = each + (b < rest);
    share.passes = (share.granules + S::R - 1) / S::R;
    share.chunks = (K + S::DEPTH - 1) / S::DEPTH;
    share.enter(0);
    return share;
}

template <class S>
DEVICE void skinnyGemm(GEMM_PARAMETERS) {
    byte* shared = dynamicShared;
    letSuccessorStart();
    Epilogue epilogue{c, bias, residual, N, flags};
    SkinnyProduct<S> product{a, w, 0, 0, N, K, epilogue.gated(), sharedAddress(shared), readOnce()};
    float* scratch = reinterpret_cast<float*>(shared + (S::ONE_PASS ? 0 : S::STAGES * S::STAGE_BYTES));
    SkinnyCursor loading = skinnyShare<S>(N, K);
    for (int s = 0; s < S::STAGES - 1; s++) {
        if (!loading.done()) product.loadWeights(loading, s);
        loading.advance();
    }
    for (int s = 0; s < PREFETCH_BYTES / S::WEIGHT_BYTES && !loading.done(); s++) {
        product.prefetchWeights(loading);
        loading.advance();
    }
    waitForPredecessor();
    int live = liveRows(count, M);
    float sums[S::R][S::COLUMNS / 8][4] = {};
    for (int firstRow = 0; firstRow < live; firstRow += S::COLUMNS) {
        product.firstRow = firstRow;
        product.rows = live - firstRow < S::COLUMNS ? live - firstRow : S::COLUMNS;
        SkinnyCursor at = skinnyShare<S>(N, K);
        loading = at;
        for (int s = 0; s < S::STAGES - 1; s++) {
            if (!loading.done()) {
                if (firstRow > 0) product.loadWeights(loading, s);
                product.loadActivations(loading, s);
            }
            copyCommit();
            loading.advance();
        }
        for (int stage = 0; !at.done(); stage = (stage + 1) % S::STAGES) {
            copyWait<S::STAGES - 2>();
            __syncthreads();
            int next = (stage + S::STAGES - 1) % S::STAGES;
            if (!loading.done()) {
                product.loadWeights(loading, next);
                product.loadActivations(loading, next);
            }
            copyCommit();
            loading.advance();
            product.multiply(sums, stage, at.size);
            if (at.chunk == at.chunks - 1) product.finish(sums, scratch, at, epilogue);
            at.advance();
        }
        copyWait<0>();
        __syncthreads();
    }
    copyWait<0>();
}

#if __CUDA_ARCH__ < 900

#define SKINNY_KERNEL(COLUMNS)                                                       \
    PROPERTY(gemm_skinny_##COLUMNS, threads, SKINNY_THREADS);                        \
    PROPERTY(gemm_skinny_##COLUMNS, blocksPerSm, 1);                                 \
    PROPERTY(gemm_skinny_##COLUMNS, sharedBytes, Skinny##COLUMNS::SHARED_BYTES);     \
    KERNEL(SKINNY_THREADS, 1) gemm_skinny_##COLUMNS(GEMM_PARAMETERS) {               \
        skinnyGemm<Skinny##COLUMNS>(GEMM_ARGUMENTS);                                 \
    }

/** Moves 2 (N K + M K blocks + M N) bytes, of which N K from memory; bound: memory. Capability 9.0: gemm_wide.cuh. */
SKINNY_KERNEL(8)
SKINNY_KERNEL(16)
SKINNY_KERNEL(32)
SKINNY_KERNEL(64)
SKINNY_KERNEL(128)

#endif
