// The checksum of KV blocks that go from device to device.
#pragma once
#include "common.cuh"

constexpr int SUM_THREADS = 256;
constexpr int SUM_BYTES = SUM_THREADS * 16 * 8;  // what a block of threads takes

PROPERTY(block_sum, threads, SUM_THREADS);
PROPERTY(block_sum, bytes, SUM_BYTES);

/** The finaliser of MurmurHash3: every bit of the word decides on every bit of the result. */
DEVICE u64 mixed(u64 v) {
    v = (v ^ v >> 33) * 0xff51afd7ed558ccdull;
    v = (v ^ v >> 33) * 0xc4ceb9fe1a85ec53ull;
    return v ^ v >> 33;
}

/**
 * Adds to each block's sum the mixed words of a slice: a word counts with its place, and the order of additions does not matter.
 * Bound: memory.
 */
KERNEL(SUM_THREADS, 4) block_sum(u64* sums, const byte* kvBase, const int* blocks, long blockBytes) {
    const ulonglong2* words = reinterpret_cast<const ulonglong2*>(kvBase + blocks[blockIdx.y] * blockBytes);
    long first = (long)blockIdx.x * (SUM_BYTES / 16) + threadIdx.x;
    long end = blockBytes / 16;
    u64 sum = 0;
#pragma unroll
    for (int i = 0; i < SUM_BYTES / 16 / SUM_THREADS; i++) {
        long at = first + i * SUM_THREADS;
        if (at < end) {
            ulonglong2 v = words[at];
            sum += mixed(v.x + (2 * at + 1) * 0x9e3779b97f4a7c15ull) + mixed(v.y + (2 * at + 2) * 0x9e3779b97f4a7c15ull);
        }
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_xor_sync(~0u, sum, offset);
    if ((threadIdx.x & 31) == 0) atomicAdd(sums + blockIdx.y, sum);
}
