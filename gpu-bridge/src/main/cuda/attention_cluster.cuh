// Attention of one new token for few sequences, where latency is all: the splits of a sequence and KV head are a cluster of
// blocks, and their parts meet in shared memory instead of the workspace.
#pragma once
#include "attention_decode.cuh"

#if __CUDA_ARCH__ >= 900

/** A float of another block's shared memory, by the address it has here. */
DEVICE float peerFloat(u32 address, int block) {
    float value;
    asm volatile(
        "{ .reg .u32 peer; mapa.shared::cluster.u32 peer, %1, %2; ld.shared::cluster.f32 %0, [peer]; }"
        : "=f"(value)
        : "r"(address), "r"(block)
        : "memory");
    return value;
}

/** This block's share of the outputs, from the parts of all blocks of the cluster: [heads][D] sums, then max, then sum. */
template <int CLUSTER>
DEVICE void joinCluster(const DecodeTask& task, int D, u32 part) {
    int outputs = task.heads * D;
    for (int i = task.split * DECODE_THREADS + threadIdx.x; i < outputs; i += CLUSTER * DECODE_THREADS) {
        u32 maxima = part + (outputs + i / D) * 4;
        float max[CLUSTER], sum[CLUSTER], value[CLUSTER], top = MASKED, total = 0, result = 0;
#pragma unroll
        for (int b = 0; b < CLUSTER; b++) {
            max[b] = peerFloat(maxima, b);
            sum[b] = peerFloat(maxima + task.heads * 4, b);
            value[b] = peerFloat(part + i * 4, b);
        }
#pragma unroll
        for (int b = 0; b < CLUSTER; b++) top = fmaxf(top, max[b]);
#pragma unroll
        for (int b = 0; b < CLUSTER; b++) {
            float weight = exp2Fast(max[b] - top);
            total += weight * sum[b];
            result += weight * value[b];
        }
        task.out[i] = toBf16(total > 0 ? result / total : 0.f);
    }
}

template <int DP, int CLUSTER>
DEVICE void clusterTask(const DecodeTask& task, const PagedKv& kv, const NewToken& token, NewTokenShared& fresh) {
    u32 queries = sharedAddress(dynamicShared);
    DecodeStream<DP> stream(
        task, kv, queries + DECODE_QUERY_BYTES + (threadIdx.x >> 5) * DECODE_RING_BYTES, task.context - 1);
    stream.fill();
    clearQueries<DP>(queries);
    fillAngles<DECODE_THREADS>(
        fresh.cosine, fresh.sine, token.inverseFrequencies, task.context - 1, kv.D / 2, token.magnitude);
    __syncthreads();
    SoftmaxRows<DP> rows;
#pragma unroll 1
    for (int turn = 0; turn < 2; turn++) {
        bool rehearsal = turn == 0;
        if (!rehearsal) waitForPredecessor();
        finishNewToken<DP>(queries, task, kv, token, fresh, !rehearsal && task.hasNewest());
        __syncthreads();
        rows.clear();
        stream.run(rows, queries, &fresh, rehearsal);
        __syncthreads();  // afterwards the rings are free: they hold the warps' results
    }
    float* parked = reinterpret_cast<float*>(dynamicShared + DECODE_QUERY_BYTES);
    parkRows<DP>(parked + (threadIdx.x >> 5) * (task.heads * DP + 2 * DECODE_HEADS), rows, task.heads);
    __syncthreads();
    joinWarps<DP>(parked, task, kv.D, reinterpret_cast<float*>(dynamicShared));
    clusterBarrier();
    joinCluster<CLUSTER>(task, kv.D, queries);
    clusterBarrier();  // nobody leaves while another still reads from it
}

#define CLUSTER_PARAMETERS                                                                                             \
    bf16 *out, byte *kvBase, const bf16 *qkv, const bf16 *bias, const bf16 *qNorm, const bf16 *kNorm,                  \
        const double *inverseFrequencies, const int *blockTables, const int *contextLengths, byte *workspace,          \
        const int *count, int H, int G, int D, int maxBlocks, long blockBytes, long layerOffset, float scale, float eps, \
        float ropeMagnitude

template <int CLUSTER>
DEVICE void clusterAttention(CLUSTER_PARAMETERS) {
    __shared__ NewTokenShared fresh;
    letSuccessorStart();
    int sequence = blockIdx.z, group = blockIdx.y;
    if (sequence >= liveRows(count, gridDim.z)) {
        waitForPredecessor();
        return;
    }
    DecodeTask task;
    task.sequence = sequence;
    task.split = blockIdx.x;
    task.splits = CLUSTER;
    task.heads = H / G;
    task.context = contextLengths[sequence];
    task.scale = scale * LOG2E;
    task.share();
    task.out = out + ((long)sequence * H + group * task.heads) * D;
    PagedKv kv{kvBase, blockTables + (long)sequence * maxBlocks, blockBytes, layerOffset, group, G, D};
    NewToken token{qkv + (long)sequence * (H + 2 * G) * D, bias, qNorm, kNorm, inverseFrequencies, eps, ropeMagnitude, H, group, kvBase};
    if (D <= 64) {
        clusterTask<64, CLUSTER>(task, kv, token, fresh);
    } else {
        clusterTask<128, CLUSTER>(task, kv, token, fresh);
    }
}

/**
 * attention_decode_rope for few sequences: a cluster of blocks a sequence and KV head, whose parts meet in their shared
 * memory. While it waits for the product it runs through its code once, which streams of weights have driven from the caches.
 */
#define CLUSTER_KERNEL(SPLITS)                                                                                         \
    PROPERTY(attention_decode_cluster_##SPLITS, threads, DECODE_THREADS);                                              \
    PROPERTY(attention_decode_cluster_##SPLITS, sharedBytes, DECODE_SHARED_BYTES);                                     \
    PROPERTY(attention_decode_cluster_##SPLITS, splits, SPLITS);                                                       \
    PROPERTY(attention_decode_cluster_##SPLITS, headFloats, DECODE_QUERY_BYTES / 4);                                   \
    extern "C" __global__ void __cluster_dims__(SPLITS, 1, 1) __launch_bounds__(DECODE_THREADS, 2)                     \
        attention_decode_cluster_##SPLITS(CLUSTER_PARAMETERS) {                                                        \
        clusterAttention<SPLITS>(                                                                                      \
            out, kvBase, qkv, bias, qNorm, kNorm, inverseFrequencies, blockTables, contextLengths, workspace, count, H, \
            G, D, maxBlocks, blockBytes, layerOffset, scale, eps, ropeMagnitude);                                      \
    }

CLUSTER_KERNEL(2)
CLUSTER_KERNEL(4)
CLUSTER_KERNEL(8)

#endif
