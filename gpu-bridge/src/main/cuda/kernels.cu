// All kernels of io.tandem.compute.cuda in one module; KERNELS.md is their interface.
#include "attention_cluster.cuh"
#include "attention_decode.cuh"
#include "attention_flash.cuh"
#include "attention_prefill.cuh"
#include "elementwise.cuh"
#include "gemm_gated.cuh"
#include "gemm_simple.cuh"
#include "gemm_skinny.cuh"
#include "gemm_tile.cuh"
#include "gemm_wide.cuh"
#include "read_probe.cuh"
#include "rope.cuh"
#include "sampling.cuh"
#include "sampling_draw.cuh"
#include "block_sum.cuh"

PROPERTY(workspace, bytes, WORKSPACE_BYTES);
