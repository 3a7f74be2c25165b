// Hopper's copy engine: boxes of a matrix in memory arrive in shared memory, swizzled for the tensor cores, while threads do
// other work. Barriers in shared memory count arrivals and bytes; a waiter names the parity of the phase it waits for.
#pragma once
#include "common.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

DEVICE void barrierInit(u32 barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/** Makes new barriers known to the copy engine; a block barrier must follow. */
DEVICE void barrierInitFence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

DEVICE void barrierArrive(u32 barrier) {
    asm volatile("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(barrier) : "memory");
}

/** Arrives, and lets the phase end only after so many bytes came as well. */
DEVICE void barrierExpect(u32 barrier, int bytes) {
    asm volatile("{ .reg .b64 state; mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1; }" ::"r"(barrier), "r"(bytes)
                 : "memory");
}

DEVICE void barrierWait(u32 barrier, u32 parity) {
    u32 done;
    do {
        asm volatile(
            "{ .reg .pred done; mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2; selp.u32 %0, 1, 0, done; }"
            : "=r"(done)
            : "r"(barrier), "r"(parity)
            : "memory");
    } while (!done);
}

/** Copies the box of a two-dimensional matrix (map: a CUtensorMap in device memory) at column x, row y. */
DEVICE void copyBox(u32 target, const void* map, int x, int y, u32 barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
            target),
        "l"(map), "r"(x), "r"(y), "r"(barrier)
        : "memory");
}

DEVICE void copyBox(u32 target, const void* map, int x, int y, int z, u32 barrier) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
            target),
        "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
        : "memory");
}

/** The same to every block of the cluster that mask names, at the same places, barriers included. */
DEVICE void copyBoxToMany(u32 target, const void* map, int x, int y, u32 barrier, int mask) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
        "[%1, {%2, %3}], [%4], %5;" ::"r"(target),
        "l"(map), "r"(x), "r"(y), "r"(barrier), "h"((unsigned short)mask)
        : "memory");
}

/** The same of four dimensions. */
DEVICE void copyBoxToMany(u32 target, const void* map, int x, int y, int z, int w, u32 barrier, int mask) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
        "[%1, {%2, %3, %4, %5}], [%6], %7;" ::"r"(target),
        "l"(map), "r"(x), "r"(y), "r"(z), "r"(w), "r"(barrier), "h"((unsigned short)mask)
        : "memory");
}

DEVICE u32 clusterRank() {
    u32 rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/**
 * Arrives at the barrier that a block of the cluster has at the place of ours. Orders nothing but reads of the tensor cores that have
 * ended before writes of the copy engine.
 */
DEVICE void barrierArriveAt(u32 barrier, int rank) {
    asm volatile(
        "{ .reg .b32 peer; mapa.shared::cluster.u32 peer, %0, %1; mbarrier.arrive.shared::cluster.b64 _, [peer]; }" ::"r"(
            barrier),
        "r"(rank)
        : "memory");
}

/** Stores bytes in another block's shared memory, which count at its barrier. The cluster must have two blocks or more. */
DEVICE void sendToPeer(u32 target, u32 value, u32 barrier, int rank) {
    asm volatile(
        "{ .reg .b32 place, counter; mapa.shared::cluster.u32 place, %0, %3; mapa.shared::cluster.u32 counter, %2, %3; "
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [place], %1, [counter]; }" ::"r"(target),
        "r"(value), "r"(barrier), "r"(rank)
        : "memory");
}

DEVICE void sendToPeer(u32 target, const float (&values)[4], u32 barrier, int rank) {
    asm volatile(
        "{ .reg .b32 place, counter; mapa.shared::cluster.u32 place, %0, %6; mapa.shared::cluster.u32 counter, %5, %6; "
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [place], {%1, %2, %3, %4}, [counter]; }" ::"r"(target),
        "f"(values[0]), "f"(values[1]), "f"(values[2]), "f"(values[3]), "r"(barrier), "r"(rank)
        : "memory");
}

DEVICE void prefetchMap(const void* map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }

/** Position in a ring of stages, and the parity of the barriers' phase there. */
template <int STAGES>
struct RingCursor {
    int stage = 0;
    u32 parity = 0;

    DEVICE void advance() {
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
};

/** Gives registers of this warpgroup back, or takes more; all four warps. */
template <int REGISTERS>
DEVICE void keepRegisters() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS>
DEVICE void takeRegisters() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

/** A barrier of some of the block's warps, by number; 0 is the block's own. */
DEVICE void namedBarrierWait(int number, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

DEVICE void namedBarrierArrive(int number, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

#endif
