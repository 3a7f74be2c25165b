// Prefill attention on Hopper: one warp has the copy engine fetch queries, keys and values, two warpgroups of 64 query rows each
// multiply, KV tiles of 128 tokens.
//
// The two warpgroups take turns at the tensor cores: while one adds the values of a tile and multiplies the scores of the next,
// the other turns its scores into weights. Within a warpgroup the softmax of a tile runs beside the values of the one before. The grid
// stays: a block takes (query rows, head) after (query rows, head) from a counter, and the copies run ahead into the next one.
//
// Blocks of a cluster work on heads of one KV head and the same rows: each fetches its share of a tile's keys and values for
// all of them. That spares the way from the L2, and the power it takes.
#pragma once
#include "copy_engine.cuh"
#include "flash_rows.cuh"
#include "prefill_task.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int FLASH_BLOCKS = FLASH_TOKENS / KV_BLOCK_TOKENS;
constexpr int FLASH_GROUPS = 2;  // warpgroups that multiply
constexpr int FLASH_ROWS = FLASH_GROUPS * 64;
constexpr int FLASH_THREADS = (FLASH_GROUPS + 1) * 128;
constexpr int FLASH_MULTIPLYING = FLASH_GROUPS * 128;  // threads
constexpr int FLASH_TURNS = 1;                         // number of the first warpgroup's named barrier; the next is the second's
constexpr int FLASH_TAIL = FLASH_TURNS + FLASH_GROUPS;

/** The barriers and the task handed over, beside the tiles. */
struct FlashShared {
    u64 queriesFull, queriesFree, indexFull, indexFree;
    u64 keysFull[FLASH_STAGES], keysFree[FLASH_STAGES], valuesFull[FLASH_STAGES], valuesFree[FLASH_STAGES];
    FlashTask task;
    u32 index;  // of the cluster's next task, from its first block
};

struct FlashPlaces {
    u32 queries, keys, values;

    template <class Shape>
    DEVICE static FlashPlaces of() {
        u32 first = (sharedAddress(dynamicShared) + 1023) & ~1023u;
        return FlashPlaces{first, first + Shape::TILE_BYTES, first + (1 + FLASH_STAGES) * Shape::TILE_BYTES};
    }
};

/** Sequences, rows and the KV they attend to, as the kernel got them. */
struct FlashInputs {
    const byte *queryMap, *kvMap;
    const int *blockTables, *queryStarts, *contextStarts;
    int S, H, G, maxBlocks;
    u32 blockRows, layerRows;  // of a KV block and before the layer, in rows of the KV map
};

/** The warp that fetches: all lanes walk the tasks, a lane each copies a panel of a KV block. */
template <int DP, int CLUSTER>
struct FlashProducer {
    typedef FlashShape<DP> Shape;
    const FlashInputs& in;
    FlashShared& shared;
    FlashPlaces places;
    int lane, panel, rank;
    RingCursor<FLASH_STAGES> keys, values;
    u32 queriesParity = 0, indexParity = 0;

    DEVICE FlashProducer(const FlashInputs& in, FlashShared& shared)
        : in(in), shared(shared), places(FlashPlaces::of<Shape>()), lane(threadIdx.x & 31), panel(lane % Shape::PANELS),
          rank(CLUSTER > 1 ? clusterRank() : 0) {}

    DEVICE void loadQueries(const PrefillTask& task) {
        barrierWait(sharedAddress(&shared.queriesFree), queriesParity ^ 1);
        queriesParity ^= 1;
        u32 full = sharedAddress(&shared.queriesFull);
        if (lane == 0) {
            shared.task = FlashTask{task.head, task.firstRow, task.rows, task.position};
            if (task.rows == 0) {
                barrierArrive(full);
            } else {
                barrierExpect(full, Shape::TILE_BYTES);
            }
        }
        __syncwarp();
        if (lane < Shape::PANELS && task.rows > 0)
            copyBox(places.queries + lane * Shape::PANEL_BYTES, in.queryMap, lane * 64, task.head, task.firstRow, full);
    }

    /** block: this lane's of the tile. */
    DEVICE void loadTile(RingCursor<FLASH_STAGES>& ring, u32 tiles, u64* fulls, u64* frees, int block, int blocks, int row) {
        barrierWait(sharedAddress(frees + ring.stage), ring.parity ^ 1);
        u32 full = sharedAddress(fulls + ring.stage);
        if (lane == 0) barrierExpect(full, blocks * Shape::BLOCK_BYTES);
        __syncwarp();
        int slot = lane / Shape::PANELS;
        u32 target = tiles + ring.stage * Shape::TILE_BYTES + panel * Shape::PANEL_BYTES + slot * KV_BLOCK_TOKENS * 128;
        if (slot < blocks && slot % CLUSTER == rank) {
            if (CLUSTER == 1) {
                copyBox(target, in.kvMap, panel * 64, block * in.blockRows + row, full);
            } else {
                copyBoxToMany(target, in.kvMap, panel * 64, block * in.blockRows + row, full, (1 << CLUSTER) - 1);
            }
        }
        ring.advance();
    }

    DEVICE static int blocksOf(const PrefillTask& task) {
        return (task.position + task.rows + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    }

    /** This lane's KV block of a tile. */
    DEVICE int blockOf(const PrefillTask& task, int tile) const {
        int slot = tile * FLASH_BLOCKS + lane / Shape::PANELS % FLASH_BLOCKS;
        return slot < blocksOf(task) ? in.blockTables[(long)task.sequence * in.maxBlocks + slot] : 0;
    }

    /** Fetches a task's tiles, given its blocks of the first, and finds the next task while the first tiles are under way. */
    template <class Next>
    DEVICE void load(const PrefillTask& task, int firstBlock, const Next& findNext) {
        int blocks = blocksOf(task), tiles = (blocks + FLASH_BLOCKS - 1) / FLASH_BLOCKS;
        int keyRow = in.layerRows + task.head / (in.H / in.G) * KV_BLOCK_TOKENS, valueRow = keyRow + in.G * KV_BLOCK_TOKENS;
        int next = firstBlock, own = 0;
        loadQueries(task);
        for (int tile = 0; tile <= tiles; tile++) {
            int before = own;
            own = next;
            next = blockOf(task, tile + 1);
            if (tile < tiles)
                loadTile(
                    keys, places.keys, shared.keysFull, shared.keysFree, own, min(blocks - tile * FLASH_BLOCKS, FLASH_BLOCKS), keyRow);
            if (tile > 0)
                loadTile(
                    values, places.values, shared.valuesFull, shared.valuesFree, before,
                    min(blocks - (tile - 1) * FLASH_BLOCKS, FLASH_BLOCKS), valueRow);
            if (tile == 0) findNext();
        }
    }

    /** What the counter says; the cluster's first block asks it and tells the others. */
    DEVICE int nextIndex(int* counter) {
        if (CLUSTER == 1) return __shfl_sync(~0u, lane == 0 ? atomicAdd(counter, 1) : 0, 0);
        u32 full = sharedAddress(&shared.indexFull), free = sharedAddress(&shared.indexFree);
        int index;
        if (rank == 0) {
            index = __shfl_sync(~0u, lane == 0 ? atomicAdd(counter, 1) : 0, 0);
            barrierWait(free, indexParity ^ 1);
            if (lane > 0 && lane < CLUSTER) sendToPeer(sharedAddress(&shared.index), index, full, lane);
        } else {
            if (lane == 0) barrierExpect(full, 4);
            barrierWait(full, indexParity);
            index = *(volatile u32*)&shared.index;
            __syncwarp();
            if (lane == 0) barrierArriveAt(free, 0);
        }
        indexParity ^= 1;
        return index;
    }

    /** The next task; rows = 0 when none is left. The last to find none resets the counter. */
    DEVICE PrefillTask find(int* counter, int slots) {
        int clusters = gridDim.x / CLUSTER, heads = in.H / CLUSTER, share = in.H / in.G / CLUSTER, total = slots * heads;
        // Heads that share a KV head run side by side; with work for many rounds a KV head stays in the L2 for all its tasks.
        int together = slots * share * 2 >= clusters * 3 ? share : heads;
        PrefillTask task;
        for (;;) {
            int index = nextIndex(counter);
            if (index >= total) {
                if (index == total + clusters - 1 && lane == 0 && rank == 0) *counter = 0;
                task.rows = 0;
                return task;
            }
            int group = index / (slots * together), within = index - group * slots * together;
            task.head = (group * together + within % together) * CLUSTER + rank;
            int slot = slots - 1 - within / together;  // the longest of a sequence first
            if (findPrefillTask<FLASH_ROWS>(task, slot, in.queryStarts, in.contextStarts, in.S)) return task;
        }
    }

    DEVICE void run(int* counter) {
        int slots = in.S > 0 ? (in.queryStarts[in.S] - in.queryStarts[0]) / FLASH_ROWS + in.S : 0;
        PrefillTask task = find(counter, slots), next;
        int block = task.rows > 0 ? blockOf(task, 0) : 0;
        while (task.rows > 0) {
            int nextBlock = 0;
            load(task, block, [&] {
                next = find(counter, slots);
                if (next.rows > 0) nextBlock = blockOf(next, 0);
            });
            task = next;
            block = nextBlock;
        }
        loadQueries(task);
    }
};

template <int DP, int CLUSTER>
struct FlashConsumer {
    typedef FlashShape<DP> Shape;
    FlashShared& shared;
    FlashPlaces places;
    u32 ownQueries;
    int group;
    RingCursor<FLASH_STAGES> keys, values;

    DEVICE FlashConsumer(FlashShared& shared) : shared(shared), places(FlashPlaces::of<Shape>()), group(threadIdx.x / 128) {
        ownQueries = places.queries + group * 64 * 128;
    }

    /** One lane of each warp says to all blocks that fetch parts of a tile that it may be overwritten. */
    DEVICE void releaseTile(u64* barrier) {
        if (CLUSTER == 1) {
            __syncwarp();
            if ((threadIdx.x & 31) == 0) barrierArrive(sharedAddress(barrier));
        } else if ((threadIdx.x & 31) < CLUSTER) {
            barrierArriveAt(sharedAddress(barrier), threadIdx.x & 31);
        }
    }

    DEVICE void takeTurn() { namedBarrierWait(FLASH_TURNS + group, FLASH_MULTIPLYING); }
    DEVICE void passTurn() { namedBarrierArrive(FLASH_TURNS + (group ^ 1), FLASH_MULTIPLYING); }

    DEVICE void awaitKeys() { barrierWait(sharedAddress(shared.keysFull + keys.stage), keys.parity); }
    DEVICE void awaitValues() { barrierWait(sharedAddress(shared.valuesFull + values.stage), values.parity); }
    DEVICE u32 keyTile() { return places.keys + keys.stage * Shape::TILE_BYTES; }
    DEVICE u32 valueTile() { return places.values + values.stage * Shape::TILE_BYTES; }

    DEVICE void releaseKeys() {
        releaseTile(shared.keysFree + keys.stage);
        keys.advance();
    }

    DEVICE void releaseValues() {
        releaseTile(shared.valuesFree + values.stage);
        values.advance();
    }

    /** Values of tokens from live on are no numbers perhaps, and no weight of zero undoes that. */
    DEVICE void clearTail(int live) {
        for (int i = threadIdx.x; i < (FLASH_TOKENS - live) * 8 * Shape::PANELS; i += FLASH_MULTIPLYING) {
            int v = i % 8, rest = i / 8;
            storeShared16(valueTile() + rest % Shape::PANELS * Shape::PANEL_BYTES + (live + rest / Shape::PANELS) * 128 + v * 16, Vec8{});
        }
        fenceForTensorCores();
        namedBarrierWait(FLASH_TAIL, FLASH_MULTIPLYING);
    }

    DEVICE void attend(const FlashTask& task, float scale, bf16* out, int H, int D) {
        int end = task.position + task.rows, tiles = (end + FLASH_TOKENS - 1) / FLASH_TOKENS;
        int firstRow = threadIdx.x / 32 * 16, firstPosition = task.position + firstRow;
        FlashRows<DP> rows;
        rows.clear();
        rows.loadQueries(ownQueries);
        // Each thread for itself: racecheck does not see that a lane which arrives after __syncwarp speaks for its warp.
        barrierArrive(sharedAddress(&shared.queriesFree));
        awaitKeys();
        rows.startScores(keyTile());
        warpgroupWait<0>();
        releaseKeys();
        if (FLASH_TOKENS - 1 > firstPosition) rows.mask(0, firstPosition);
        rows.softmax(scale);
        rows.packWeights();
#pragma unroll 1
        for (int tile = 1; tile < tiles; tile++) {
            awaitKeys();
            takeTurn();
            rows.startScores(keyTile());
            awaitValues();
            rows.startValues(valueTile());
            passTurn();
            warpgroupWait<1>();
            releaseKeys();
            int firstToken = tile * FLASH_TOKENS;
            if (firstToken + FLASH_TOKENS - 1 > firstPosition) rows.mask(firstToken, firstPosition);
            rows.softmax(scale);
            rows.settle(places.queries);
            warpgroupWait<0>();
            releaseValues();
            rows.rescaleOut();
            rows.packWeights();
        }
        awaitValues();
        if (end % FLASH_TOKENS != 0) clearTail(end % FLASH_TOKENS);
        rows.startValues(valueTile());
        warpgroupWait<0>();
        releaseValues();
        rows.store(task, out, firstRow, H, D);
    }

    DEVICE void run(float scale, bf16* out, int H, int D) {
        u32 parity = 0;
        if (group == 1) passTurn();
        for (;;) {
            barrierWait(sharedAddress(&shared.queriesFull), parity);
            parity ^= 1;
            FlashTask task = shared.task;
            if (task.rows == 0) break;
            attend(task, scale, out, H, D);
        }
        if (group == 0) takeTurn();
    }
};

template <int DP, int CLUSTER>
DEVICE void flashAttention(const FlashInputs& in, FlashShared& shared, int* counter, bf16* out, int D, float scale) {
    if (threadIdx.x < FLASH_MULTIPLYING) {
        takeRegisters<224>();
        FlashConsumer<DP, CLUSTER>(shared).run(scale, out, in.H, D);
    } else {
        keepRegisters<56>();
        if (threadIdx.x < FLASH_MULTIPLYING + WARP) FlashProducer<DP, CLUSTER>(in, shared).run(counter);
    }
}

/** Tiles are free when the warps of all blocks that got them say so. */
template <int CLUSTER>
DEVICE void initFlashBarriers(FlashShared& shared) {
    barrierInit(sharedAddress(&shared.queriesFull), 1);
    barrierInit(sharedAddress(&shared.queriesFree), FLASH_MULTIPLYING);
    barrierInit(sharedAddress(&shared.indexFull), 1);
    barrierInit(sharedAddress(&shared.indexFree), CLUSTER > 1 ? CLUSTER - 1 : 1);
    for (int stage = 0; stage < FLASH_STAGES; stage++) {
        barrierInit(sharedAddress(shared.keysFull + stage), 1);
        barrierInit(sharedAddress(shared.valuesFull + stage), 1);
        barrierInit(sharedAddress(shared.keysFree + stage), FLASH_GROUPS * 4 * CLUSTER);
        barrierInit(sharedAddress(shared.valuesFree + stage), FLASH_GROUPS * 4 * CLUSTER);
    }
    barrierInitFence();
}

#define FLASH_PARAMETERS                                                                                                   \
    bf16 *out, const byte *queryMap, const byte *kvMap, const int *blockTables, const int *queryStarts,                    \
        const int *contextStarts, byte *workspace, const int *count, int S, int H, int G, int D, int maxBlocks, long blockBytes, \
        long layerOffset, float scale

template <int CLUSTER>
DEVICE void flashKernel(FLASH_PARAMETERS) {
    __shared__ FlashShared shared;
    letSuccessorStart();
    if (threadIdx.x == 0) {
        prefetchMap(queryMap);
        prefetchMap(kvMap);
        initFlashBarriers<CLUSTER>(shared);
    }
    __syncthreads();
    if (CLUSTER > 1) clusterBarrier();
    waitForPredecessor();
    FlashInputs in{
        queryMap, kvMap, blockTables, queryStarts, contextStarts, liveRows(count, S), H, G, maxBlocks, (u32)(blockBytes / (2 * D)),
        (u32)(layerOffset / (2 * D))};
    int* counter = reinterpret_cast<int*>(workspace);
    if (D <= 64) {
        flashAttention<64, CLUSTER>(in, shared, counter, out, D, scale * LOG2E);
    } else {
        flashAttention<128, CLUSTER>(in, shared, counter, out, D, scale * LOG2E);
    }
    if (CLUSTER > 1) {
        __syncwarp();
        clusterBarrier();  // no block leaves while another may write to it
    }
}

#define FLASH_KERNEL(NAME, CLUSTER, ATTRIBUTE)                                                                           \
    PROPERTY(NAME, threads, FLASH_THREADS);                                                                              \
    PROPERTY(NAME, sharedBytes, FlashShape<128>::SHARED_BYTES);                                                          \
    KERNEL(FLASH_THREADS, 1) ATTRIBUTE NAME(FLASH_PARAMETERS) {                                                          \
        flashKernel<CLUSTER>(                                                                                            \
            out, queryMap, kvMap, blockTables, queryStarts, contextStarts, workspace, count, S, H, G, D, maxBlocks, blockBytes, \
            layerOffset, scale);                                                                                         \
    }

/** 4 D (queries x context, causal) operations a head; bound: tensor cores. D at most 128; blocks a multiple of the cluster. */
FLASH_KERNEL(attention_prefill_tma, 1, )
FLASH_KERNEL(attention_prefill_tma_2, 2, __cluster_dims__(2, 1, 1))

#endif
