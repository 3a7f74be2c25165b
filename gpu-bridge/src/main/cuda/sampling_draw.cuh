// Draws for the rows that are not greedy. See sampling.cuh.
#pragma once
#include "sampling.cuh"

/** Philox4x32-10 of (seed, position): io.tandem.sampling.Philox bit for bit. In [0, 1) with 53 bits. */
DEVICE double philoxUniform(u64 key, u64 counter) {
    u32 c0 = (u32)counter, c1 = (u32)(counter >> 32), c2 = 0, c3 = 0;
    u32 k0 = (u32)key, k1 = (u32)(key >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 low0 = 0xD2511F53u * c0, high0 = __umulhi(0xD2511F53u, c0);
        u32 low1 = 0xCD9E8D57u * c2, high1 = __umulhi(0xCD9E8D57u, c2);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (double)(((u64)c1 << 32 | c0) >> 11) * 1.1102230246251565e-16;  // 2^-53
}

/** Buckets to a unit of logit over temperature (at least COARSE_TEMPERATURE); the last bucket holds all the rest. */
constexpr float COARSE_BUCKETS = 64;
constexpr float COARSE_TEMPERATURE = 0.5f;

struct Weights {
    double max, temperature, floor;
    u32 topKey;
    float top, coarse;

    __device__ __noinline__ u64 of(float x) const {
        return (u64)llrint(exp(((double)x - max) / temperature) * WEIGHT_ONE);
    }
    DEVICE bool keeps(float x) const { return x > NEGATIVE_INFINITY && (double)x >= floor; }
    /** Grows as logits fall: subtraction and product round monotonically. */
    DEVICE u32 bucket(float x) const { return (u32)fminf((top - x) * coarse, BUCKETS - 1); }
    /** 0 for the largest logit, growing as logits fall. */
    DEVICE u32 distance(float x) const { return topKey - orderKey(x); }
};

DEVICE Weights weightsOf(const SampleTask& task) {
    const SamplingRow& row = *task.row;
    float max = task.state->max;
    double floor = row.minP > 0 ? max + row.temperature * log((double)row.minP) : (double)NEGATIVE_INFINITY;
    float coarse = COARSE_BUCKETS / fmaxf(row.temperature, COARSE_TEMPERATURE);
    return Weights{max, row.temperature, floor, orderKey(max), max, coarse};
}

/** Counts and masses by bucket, in shared memory; masses in two halves, because only 32-bit shared atomics are fast. */
struct Histogram {
    u32 count[BUCKETS], low[BUCKETS], high[BUCKETS];

    DEVICE void clear() {
        for (int b = threadIdx.x; b < BUCKETS; b += SAMPLING_THREADS) count[b] = low[b] = high[b] = 0;
        __syncthreads();
    }

    DEVICE void add(u32 bucket, u64 mass) {
        atomicAdd(&count[bucket], 1u);
        u32 part = (u32)mass;
        u32 carry = part != 0 && atomicAdd(&low[bucket], part) + part < part;
        u32 upper = (u32)(mass >> 32) + carry;
        if (upper != 0) atomicAdd(&high[bucket], upper);
    }

    DEVICE u64 mass(int bucket) const { return (u64)high[bucket] << 32 | low[bucket]; }
};

struct Totals {
    u64 count, mass;
    DEVICE u64 measure(bool byCount) const { return byCount ? count : mass; }
};

/** Inclusive scan over the block's threads. */
DEVICE Totals scanThreads(Totals own) {
    __shared__ Totals warps[SAMPLING_THREADS / WARP];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll
    for (int offset = 1; offset < WARP; offset <<= 1) {
        u64 c = __shfl_up_sync(~0u, own.count, offset), m = __shfl_up_sync(~0u, own.mass, offset);
        if (lane >= offset) {
            own.count += c;
            own.mass += m;
        }
    }
    __syncthreads();
    if (lane == 31) warps[warp] = own;
    __syncthreads();
    for (int v = 0; v < warp; v++) {
        own.count += warps[v].count;
        own.mass += warps[v].mass;
    }
    return own;
}

struct Found {
    u32 position;   // bucket, or index
    Totals before;  // everything ahead of it
    Totals own;
};

/**
 * First of this thread's consecutive items (itemsPerThread each) whose inclusive sum reaches need; base is ahead of all.
 * Every thread gets the answer. The item exists, because need is at most the whole sum.
 */
template <class Item>
DEVICE Found findFirst(int itemsPerThread, int items, Totals base, u64 need, bool byCount, Item item) {
    __shared__ Found found;
    int first = threadIdx.x * itemsPerThread, end = min(first + itemsPerThread, items);
    Totals own{0, 0};
    for (int i = first; i < end; i++) {
        Totals t = item(i);
        own.count += t.count;
        own.mass += t.mass;
    }
    Totals until = scanThreads(own);
    Totals before{base.count + until.count - own.count, base.mass + until.mass - own.mass};
    bool mine = before.measure(byCount) < need && before.measure(byCount) + own.measure(byCount) >= need;
    for (int i = first; mine && i < end; i++) {
        Totals t = item(i);
        if (before.measure(byCount) + t.measure(byCount) >= need) {
            found = Found{(u32)i, before, t};
            break;
        }
        before.count += t.count;
        before.mass += t.mass;
    }
    __syncthreads();
    Found result = found;
    __syncthreads();
    return result;
}

/** The members of one bucket of the row's histogram, when they are few enough. */
struct Candidates {
    static constexpr int LIMIT = 2048;
    int count;
    int ids[LIMIT];
    u32 distances[LIMIT];
    u64 weights[LIMIT];

    DEVICE bool complete() const { return count <= LIMIT; }
};

union DrawScratch {
    Histogram histogram;
    Candidates candidates;
};

DEVICE void collect(Candidates& candidates, const SampleTask& task, const Weights& weights, u32 bucket) {
    if (threadIdx.x == 0) candidates.count = 0;
    __syncthreads();
    forEachLogit(task.logits, 0, task.V, [&](int i, float x) {
        if (weights.bucket(x) != bucket || !weights.keeps(x)) return;
        int at = atomicAdd(&candidates.count, 1);
        if (at >= Candidates::LIMIT) return;
        candidates.ids[at] = i;
        candidates.distances[at] = weights.distance(x);
        candidates.weights[at] = weights.of(x);
    });
    __syncthreads();
}

/** The place where an ordered sum reaches a target: the element and everything up to and with it. */
struct Cut {
    int id;
    Totals until;
};

/** Each candidate adds up whatever comes before it; the one whose sum passes need is it. */
DEVICE Cut pickCandidate(const Candidates& candidates, Totals base, u64 need, bool byCount) {
    __shared__ Cut cut;
    for (int c = threadIdx.x; c < candidates.count; c += SAMPLING_THREADS) {
        u32 distance = candidates.distances[c];
        int id = candidates.ids[c];
        Totals before = base;
        for (int other = 0; other < candidates.count; other++) {
            u32 d = candidates.distances[other];
            if (d < distance || (d == distance && candidates.ids[other] < id)) {
                before.count++;
                before.mass += candidates.weights[other];
            }
        }
        Totals until{before.count + 1, before.mass + candidates.weights[c]};
        if (before.measure(byCount) < need && until.measure(byCount) >= need) cut = Cut{id, until};
    }
    __syncthreads();
    Cut result = cut;
    __syncthreads();
    return result;
}

/**
 * The same when a bucket has too many members for shared memory: histograms over the key's bits, 11, 11 and 10 at a time,
 * down to the logits that are equal, of which ids decide.
 */
__device__ __noinline__ Cut pickAmongMany(
    Histogram& histogram, const SampleTask& task, const Weights& weights, u32 bucket, Totals base, u64 need, bool byCount) {
    const int shifts[3] = {21, 10, 0}, widths[3] = {11, 11, 10};
    u64 prefix = 0;
    Found at{0, base, {0, 0}};
    for (int level = 0; level < 3; level++) {
        int shift = shifts[level], bits = widths[level], buckets = 1 << bits;
        __syncthreads();
        histogram.clear();
        forEachLogit(task.logits, 0, task.V, [&](int, float x) {
            u64 d = weights.distance(x);
            if (d >> (shift + bits) == prefix && weights.bucket(x) == bucket && weights.keeps(x))
                histogram.add((u32)(d >> shift) & (buckets - 1), weights.of(x));
        });
        __syncthreads();
        at = findFirst(buckets / SAMPLING_THREADS, buckets, at.before, need, byCount, [&](int b) {
            return Totals{histogram.count[b], histogram.mass(b)};
        });
        prefix = prefix << bits | at.position;
    }
    // All of the last bucket have the same logit, so the same weight.
    u64 each = at.own.mass / at.own.count, missing = need - at.before.measure(byCount);
    u64 rank = byCount ? missing - 1 : (missing + each - 1) / each - 1;
    int share = (task.V + SAMPLING_THREADS - 1) / SAMPLING_THREADS;
    Found tie = findFirst(share, task.V, Totals{0, 0}, rank + 1, true, [&](int i) {
        float x = task.logits.at(i);
        return Totals{weights.distance(x) == prefix && weights.keeps(x), 0};
    });
    return Cut{(int)tie.position, {at.before.count + rank + 1, at.before.mass + (rank + 1) * each}};
}

/** First element, by probability then id, at which the inclusive count or mass reaches need. */
__device__ __noinline__ Cut findCut(DrawScratch& scratch, const SampleTask& task, const Weights& weights, u64 need, bool byCount) {
    const SamplingState& state = *task.state;
    Found at = findFirst(BUCKETS / SAMPLING_THREADS, BUCKETS, Totals{0, 0}, need, byCount, [&](int b) {
        return Totals{__ldcg(&state.bucketCount[b]), __ldcg(&state.bucketMass[b])};
    });
    collect(scratch.candidates, task, weights, at.position);
    if (scratch.candidates.complete()) return pickCandidate(scratch.candidates, at.before, need, byCount);
    return pickAmongMany(scratch.histogram, task, weights, at.position, at.before, need, byCount);
}

DEVICE u64 atLeastOne(double target, u64 limit) {
    u64 need = (u64)target;
    return need < 1 ? 1 : need > limit ? limit : need;
}

/** Smallest integer at or above share of whole. */
DEVICE u64 shareOf(double share, u64 whole) { return atLeastOne(ceil(share * (double)whole), whole); }

/** The first sum that exceeds u times the whole. */
DEVICE u64 drawTarget(double u, u64 whole) { return atLeastOne(floor(u * (double)whole) + 1, whole); }

DEVICE int drawTruncated(DrawScratch& scratch, const SampleTask& task, const Weights& weights, double u) {
    const SamplingRow& row = *task.row;
    Totals own{0, 0};
    for (int b = threadIdx.x; b < BUCKETS; b += SAMPLING_THREADS) {
        own.count += __ldcg(&task.state->bucketCount[b]);
        own.mass += __ldcg(&task.state->bucketMass[b]);
    }
    __shared__ u64 sums[SAMPLING_THREADS / WARP];
    auto sum = [](u64 x, u64 y) { return x + y; };
    u64 kept = blockReduce(own.count, sums, sum), mass = blockReduce(own.mass, sums, sum);
    if (row.topK > 0 && row.topK < task.V && kept > (u64)row.topK)
        mass = findCut(scratch, task, weights, row.topK, true).until.mass;
    if (row.topP < 1) mass = findCut(scratch, task, weights, shareOf(row.topP, mass), false).until.mass;
    return findCut(scratch, task, weights, drawTarget(u, mass), false).id;
}

/** Inverse of the cumulated distribution in order of ids: first the chunk, then the id in it. */
DEVICE int drawAll(const SampleTask& task, const Weights& weights, double u) {
    u64 masses[SAMPLING_CHUNKS], total = 0;
#pragma unroll
    for (int c = 0; c < SAMPLING_CHUNKS; c++) total += masses[c] = __ldcg(&task.state->chunkMass[c]);
    u64 need = drawTarget(u, total), before = 0, until = 0;
    int chunk = 0;
#pragma unroll
    for (int c = 0; c < SAMPLING_CHUNKS; c++) {
        if (until < need) {
            before = until;
            chunk = c;
        }
        until += masses[c];
    }
    int begin = task.chunkBegin(chunk), items = task.chunkBegin(chunk + 1) - begin;
    int share = (items + SAMPLING_THREADS - 1) / SAMPLING_THREADS;
    Found at = findFirst(share, items, Totals{0, before}, need, false, [&](int i) {
        float x = task.logits.at(begin + i);
        return Totals{1, weights.of(x)};
    });
    return begin + (int)at.position;
}

/** First pass over a chunk: its mass, or for truncated draws its share of the row's coarsest histogram. */
DEVICE void measureChunk(Histogram& histogram, const SampleTask& task, const Weights& weights, bool truncated) {
    __shared__ u64 scratch[SAMPLING_THREADS / WARP];
    if (truncated) histogram.clear();
    u64 mass = 0;
    forEachLogit(task.logits, task.begin, task.end, [&](int, float x) {
        u64 weight = weights.of(x);
        mass += weight;
        if (truncated && weights.keeps(x)) histogram.add(weights.bucket(x), weight);
    });
    __syncthreads();
    mass = blockReduce(mass, scratch, [](u64 x, u64 y) { return x + y; });
    if (!truncated) {
        if (threadIdx.x == 0) task.state->chunkMass[task.chunk] = mass;
        return;
    }
    for (int b = threadIdx.x; b < BUCKETS; b += SAMPLING_THREADS) {
        if (histogram.count[b] == 0) continue;
        atomicAdd(&task.state->bucketCount[b], histogram.count[b]);
        atomicAdd(&task.state->bucketMass[b], histogram.mass(b));
    }
}

/** Draws for every row that is not greedy. Moves 4 V bytes a row, and once more for each cut when truncated; bound: L2. */
KERNEL(SAMPLING_THREADS, 1) sample_draw(SAMPLE_PARAMETERS) {
    __shared__ DrawScratch scratch;
    letSuccessorStart();
    waitForPredecessor();
    if (blockIdx.y >= liveRows(count, gridDim.y)) return;
    SampleTask task = sampleTask(logits, rows, penaltyState, biases, samplingWorkspace, V);
    const SamplingRow& row = *task.row;
    if (row.temperature == 0 || task.state->invalid) return;
    bool truncated = (row.topK > 0 && row.topK < V) || row.topP < 1 || row.minP > 0;
    Weights weights = weightsOf(task);
    measureChunk(scratch.histogram, task, weights, truncated);
    if (!arrivesLast(&task.state->drawArrivals, SAMPLING_CHUNKS)) return;
    double u = philoxUniform((u64)row.seed, (u64)(long)row.position);
    int token = truncated ? drawTruncated(scratch, task, weights, u) : drawAll(task, weights, u);
    if (threadIdx.x == 0) publish(task, token, tokens, logprobs, penaltyState, lastTokens);
    if (!truncated) return;
    for (int b = threadIdx.x; b < BUCKETS; b += SAMPLING_THREADS) task.state->bucketMass[b] = task.state->bucketCount[b] = 0;
}
