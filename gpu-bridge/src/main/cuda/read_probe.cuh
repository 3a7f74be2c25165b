// The ceiling the decode kernels are held against.
#pragma once
#include "common.cuh"

constexpr int PROBE_THREADS = 512;
constexpr int PROBE_DEPTH = 8;

PROPERTY(read_probe, threads, PROBE_THREADS);

/** Reads memory once and keeps nothing; writes a word that no data leads to, so that the reads stay. Bound: memory. */
KERNEL(PROBE_THREADS, 1) read_probe(const byte* in, long bytes, u32* sink) {
    const uint4* source = reinterpret_cast<const uint4*>(in);
    long vectors = bytes / 16, stride = (long)gridDim.x * PROBE_THREADS;
    long at = (long)blockIdx.x * PROBE_THREADS + threadIdx.x;
    u32 mixed = 0, all = ~0u;
    for (; at + (PROBE_DEPTH - 1) * stride < vectors; at += PROBE_DEPTH * stride) {
        uint4 v[PROBE_DEPTH];
#pragma unroll
        for (int i = 0; i < PROBE_DEPTH; i++) v[i] = __ldcs(source + at + i * stride);
#pragma unroll
        for (int i = 0; i < PROBE_DEPTH; i++) {
            mixed |= v[i].x ^ v[i].y ^ v[i].z ^ v[i].w;
            all &= v[i].x & v[i].y & v[i].z & v[i].w;
        }
    }
    for (; at < vectors; at += stride) {
        uint4 v = source[at];
        mixed |= v.x ^ v.y ^ v.z ^ v.w;
        all &= v.x;
    }
    if (mixed == 0x13579bdfu && all == 0x2468ace1u) *sink = mixed;
}
