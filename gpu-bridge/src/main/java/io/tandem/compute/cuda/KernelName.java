package io.tandem.compute.cuda;

import java.util.Locale;

/**
 * The kernels that this package launches; KERNELS.md says what each does. Those with clusters or by the copy engine are for
 * capability 9.0 only.
 */
enum KernelName {
    EMBED_GATHER,
    GATHER_ROWS,
    RMSNORM,
    QKV_ROPE_WRITE,
    SILU_MUL,
    ATTENTION_DECODE,
    ATTENTION_DECODE_ROPE,
    ATTENTION_DECODE_CLUSTER_2,
    ATTENTION_DECODE_CLUSTER_4,
    ATTENTION_DECODE_CLUSTER_8,
    ATTENTION_PREFILL,
    ATTENTION_PREFILL_TMA,
    ATTENTION_PREFILL_TMA_2,
    GEMM_SKINNY_8,
    GEMM_SKINNY_16,
    GEMM_SKINNY_32,
    GEMM_SKINNY_64,
    GEMM_SKINNY_128,
    GEMM_TILE,
    GEMM_GATED,
    SAMPLE_MAX,
    SAMPLE_DRAW,
    PENALTY_RESET,
    BLOCK_SUM,
    READ_PROBE;

    final String kernel = name().toLowerCase(Locale.ROOT);
}
