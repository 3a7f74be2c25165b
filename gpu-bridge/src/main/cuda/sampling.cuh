// The next token from logits, on the device: same steps, ties and randomness as io.tandem.sampling.Sampler.
//
// Weights are exp((logit - max) / temperature) in fixed point (2^44 = the largest), so sums are exact integers and no
// result depends on the order in which blocks run. A row is shared by SAMPLING_CHUNKS blocks; the last to arrive decides.
// Truncated draws (top-k, top-p, min-p) never sort: they search for the element whose inclusive sum, in order of
// probability then id, reaches a target, by histograms over ever finer bits of the logit's key.
#pragma once
#include "common.cuh"

constexpr int SAMPLING_CHUNKS = 32;
constexpr int SAMPLING_THREADS = 512;
constexpr int SAMPLING_LOADS = 8;  // logits a thread has under way at a time
constexpr int BUCKETS = 2048;
constexpr double WEIGHT_ONE = 17592186044416.0;  // 2^44
constexpr int FLAG_PENALTIES = 1, FLAG_BIASES = 2, FLAG_LOGPROB = 4;
constexpr u32 SEEN = 0x80000000u;
#define NEGATIVE_INFINITY __int_as_float(0xff800000)

struct SamplingRow {
    long seed;
    int position;
    int slot;
    float temperature;
    int topK;
    float topP, minP;
    float repetitionPenalty, presencePenalty, frequencyPenalty;
    int flags;
    int unused[4];
};

/** A row's part of samplingWorkspace. Counters and histogram are zero between kernels. */
struct alignas(16) SamplingState {
    int maxArrivals, drawArrivals;
    int invalid;  // a NaN, or no finite logit
    float max;    // of the logits after penalties and biases
    double logSum;
    u64 chunkBest[SAMPLING_CHUNKS];
    double chunkRawSum[SAMPLING_CHUNKS];
    float chunkRawMax[SAMPLING_CHUNKS];
    int chunkInvalid[SAMPLING_CHUNKS];
    u64 chunkMass[SAMPLING_CHUNKS];
    u64 bucketMass[BUCKETS];
    u32 bucketCount[BUCKETS];
};

PROPERTY(sampling, chunks, SAMPLING_CHUNKS);
PROPERTY(sampling, workspaceRowBytes, sizeof(SamplingState));
PROPERTY(sample_max, threads, SAMPLING_THREADS);
PROPERTY(sample_draw, threads, SAMPLING_THREADS);
PROPERTY(advance, threads, SAMPLING_THREADS);
PROPERTY(penalty_reset, threads, SAMPLING_THREADS);
static_assert(sizeof(SamplingRow) == 64 && sizeof(SamplingState) % 16 == 0, "laid out as documented");

#define SAMPLE_PARAMETERS                                                                                             \
    int *tokens, float *logprobs, const float *logits, SamplingRow *rows, u32 *penaltyState, const float *biases,     \
        int *lastTokens, byte *samplingWorkspace, const int *count, int V

/** Larger floats have larger keys; both zeros have one. */
DEVICE u32 orderKey(float x) {
    u32 bits = __float_as_uint(x + 0.f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

DEVICE float fromOrderKey(u32 key) { return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

struct Logits {
    const float* raw;
    const SamplingRow* row;
    const u32* states;    // or null
    const float* biases;  // or null

    /** The logit after repetition, presence and frequency penalties and bias; every operation rounds as Java's. */
    DEVICE float at(int i) const {
        float x = raw[i];
        if (states != nullptr) {
            u32 state = states[i];
            if (state != 0) x = x > 0 ? __fdiv_rn(x, row->repetitionPenalty) : __fmul_rn(x, row->repetitionPenalty);
            u32 times = state & ~SEEN;
            if (times > 0)
                x = __fsub_rn(
                    x, __fadd_rn(row->presencePenalty, __fmul_rn(row->frequencyPenalty, (float)times)));
        }
        return biases != nullptr ? __fadd_rn(x, biases[i]) : x;
    }
};

struct SampleTask {
    Logits logits;
    SamplingRow* row;
    SamplingState* state;
    int index, chunk, V;
    int begin, end;  // of this chunk

    DEVICE int chunkBegin(int c) const { return (int)((long)V * c / SAMPLING_CHUNKS); }
};

DEVICE SampleTask sampleTask(
    const float* logits, SamplingRow* rows, const u32* penaltyState, const float* biases, byte* workspace, int V) {
    SampleTask task;
    task.index = blockIdx.y;
    task.chunk = blockIdx.x;
    task.V = V;
    task.row = rows + task.index;
    task.state = reinterpret_cast<SamplingState*>(workspace) + task.index;
    long offset = (long)task.row->slot * V;
    bool hasSlot = task.row->slot >= 0;
    task.logits.raw = logits + (long)task.index * V;
    task.logits.row = task.row;
    task.logits.states = hasSlot && (task.row->flags & FLAG_PENALTIES) && penaltyState ? penaltyState + offset : nullptr;
    task.logits.biases = hasSlot && (task.row->flags & FLAG_BIASES) && biases ? biases + offset : nullptr;
    task.begin = task.chunkBegin(task.chunk);
    task.end = task.chunkBegin(task.chunk + 1);
    return task;
}

/** Records the chosen token where the next step, the host and the penalties look for it. One thread. */
DEVICE void publish(
    const SampleTask& task, int token, int* tokens, float* logprobs, u32* penaltyState, int* lastTokens) {
    const SamplingRow& row = *task.row;
    tokens[task.index] = token;
    if (lastTokens != nullptr && row.slot >= 0) lastTokens[row.slot] = token;
    if (token < 0) return;
    if (logprobs != nullptr && (row.flags & FLAG_LOGPROB))
        logprobs[task.index] = (float)((double)task.logits.raw[token] - task.state->logSum);
    if ((row.flags & FLAG_PENALTIES) && penaltyState != nullptr && row.slot >= 0) {
        u32* state = penaltyState + (long)row.slot * task.V + token;
        *state = (*state | SEEN) + 1;
    }
}

/** Calls body(id, logit) for begin to end, dealt out over the block's threads. */
template <class Body>
DEVICE void forEachLogit(const Logits& logits, int begin, int end, Body body) {
    for (int first = begin + threadIdx.x; first < end; first += SAMPLING_LOADS * SAMPLING_THREADS) {
        float x[SAMPLING_LOADS];
#pragma unroll
        for (int u = 0; u < SAMPLING_LOADS; u++) x[u] = logits.at(min(first + u * SAMPLING_THREADS, end - 1));
#pragma unroll
        for (int u = 0; u < SAMPLING_LOADS; u++)
            if (first + u * SAMPLING_THREADS < end) body(first + u * SAMPLING_THREADS, x[u]);
    }
}

template <class T, class F>
DEVICE T blockReduce(T value, T* scratch, F combine) {
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) value = combine(value, __shfl_xor_sync(~0u, value, offset));
    __syncthreads();
    if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = value;
    __syncthreads();
    value = scratch[0];
#pragma unroll
    for (int v = 1; v < SAMPLING_THREADS / WARP; v++) value = combine(value, scratch[v]);
    return value;
}

/** Largest logit (lowest id on a tie), validity and, when asked for, the raw logits' sum of exponentials, of a chunk. */
DEVICE void reduceChunk(const SampleTask& task) {
    __shared__ u64 keys[SAMPLING_THREADS / WARP];
    __shared__ float maxima[SAMPLING_THREADS / WARP];
    __shared__ double sums[SAMPLING_THREADS / WARP];
    u64 best = 0;
    float rawMax = NEGATIVE_INFINITY;
    int nan = 0;
    forEachLogit(task.logits, task.begin, task.end, [&](int i, float x) {
        nan |= x != x;
        u64 key = (u64)orderKey(x) << 32 | (u32)~i;
        best = key > best ? key : best;
    });
    int invalid = __syncthreads_or(nan);
    best = blockReduce(best, keys, [](u64 x, u64 y) { return x > y ? x : y; });
    double sum = 0;
    if (task.row->flags & FLAG_LOGPROB) {
        for (int i = task.begin + threadIdx.x; i < task.end; i += SAMPLING_THREADS) rawMax = fmaxf(rawMax, task.logits.raw[i]);
        rawMax = blockReduce(rawMax, maxima, [](float x, float y) { return fmaxf(x, y); });
        for (int i = task.begin + threadIdx.x; i < task.end; i += SAMPLING_THREADS)
            if (rawMax > NEGATIVE_INFINITY) sum += exp((double)task.logits.raw[i] - rawMax);
        sum = blockReduce(sum, sums, [](double x, double y) { return x + y; });
    }
    if (threadIdx.x == 0) {
        task.state->chunkBest[task.chunk] = best;
        task.state->chunkInvalid[task.chunk] = invalid;
        task.state->chunkRawMax[task.chunk] = rawMax;
        task.state->chunkRawSum[task.chunk] = sum;
    }
}

/** Joins the chunks. One thread; returns the most likely token, -1 for an invalid row. */
DEVICE int joinChunks(SamplingState* state, bool wantLogSum) {
    u64 best = 0;
    int invalid = 0;
    float rawMax = NEGATIVE_INFINITY;
#pragma unroll
    for (int c = 0; c < SAMPLING_CHUNKS; c++) {
        u64 key = __ldcg(&state->chunkBest[c]);
        best = key > best ? key : best;
        invalid |= __ldcg(&state->chunkInvalid[c]);
        rawMax = fmaxf(rawMax, __ldcg(&state->chunkRawMax[c]));
    }
    state->max = fromOrderKey((u32)(best >> 32));
    state->invalid = invalid || best == 0 || state->max == NEGATIVE_INFINITY;
    if (state->invalid) return -1;
    if (wantLogSum) {
        double sum = 0;
        for (int c = 0; c < SAMPLING_CHUNKS; c++) {
            float chunkMax = __ldcg(&state->chunkRawMax[c]);
            if (chunkMax > NEGATIVE_INFINITY)
                sum += __ldcg(&state->chunkRawSum[c]) * exp((double)chunkMax - rawMax);
        }
        state->logSum = rawMax + log(sum);
    }
    return (int)~(u32)best;
}

/** The most likely token of every row; finishes greedy rows. Moves 4 V bytes a row (8 V with a log-probability); bound: L2. */
KERNEL(SAMPLING_THREADS, 2) sample_max(SAMPLE_PARAMETERS) {
    letSuccessorStart();
    waitForPredecessor();
    if (blockIdx.y >= liveRows(count, gridDim.y)) return;
    SampleTask task = sampleTask(logits, rows, penaltyState, biases, samplingWorkspace, V);
    reduceChunk(task);
    if (!arrivesLast(&task.state->maxArrivals, SAMPLING_CHUNKS) || threadIdx.x != 0) return;
    int token = joinChunks(task.state, task.row->flags & FLAG_LOGPROB);
    if (token < 0 || task.row->temperature == 0) publish(task, token, tokens, logprobs, penaltyState, lastTokens);
}

/** Clears a slot's penalty state and counts a history into it; each block owns a range of the vocabulary. */
KERNEL(SAMPLING_THREADS, 1)
penalty_reset(u32* penaltyState, const int* tokens, int slot, int promptTokens, int length, int V) {
    letSuccessorStart();
    waitForPredecessor();
    u32* states = penaltyState + (long)slot * V;
    int begin = (int)((long)V * blockIdx.x / gridDim.x), end = (int)((long)V * (blockIdx.x + 1) / gridDim.x);
    for (int i = begin + threadIdx.x; i < end; i += SAMPLING_THREADS) states[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < length; i += SAMPLING_THREADS) {
        int token = tokens[i];
        if (token < begin || token >= end) continue;
        atomicOr(states + token, SEEN);
        if (i >= promptTokens) atomicAdd(states + token, 1u);
    }
}

/** One decode step's bookkeeping on the device, for loops that never ask the host. Bound: latency. */
KERNEL(SAMPLING_THREADS, 1)
advance(int* positions, int* contextLengths, SamplingRow* rows, const int* tokens, int* tokenIds, int* ring, int* step,
        const int* count, int S, int ringSteps) {
    letSuccessorStart();
    waitForPredecessor();
    int live = liveRows(count, S), at = *step;
    __syncthreads();
    for (int s = threadIdx.x; s < live; s += SAMPLING_THREADS) {
        tokenIds[s] = tokens[s];
        ring[(long)(at % ringSteps) * S + s] = tokens[s];
        positions[s]++;
        contextLengths[s]++;
        rows[s].position++;
    }
    if (threadIdx.x == 0) *step = at + 1;
}
