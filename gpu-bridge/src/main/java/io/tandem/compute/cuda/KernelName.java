package io.tandem.compute.cuda;

import java.util.Locale;

/** The kernels that this package launches; KERNELS.md says what each does. */
enum KernelName {
    EMBED_GATHER,
    GATHER_ROWS,
    RMSNORM,
    QKV_ROPE_WRITE,
    SILU_MUL,
    ATTENTION_DECODE,
    ATTENTION_DECODE_ROPE,
    /** Capability 9.0 only. */
    ATTENTION_DECODE_CLUSTER,
    ATTENTION_PREFILL,
    GEMM_SKINNY_8,
    GEMM_SKINNY_16,
    GEMM_SKINNY_32,
    GEMM_SKINNY_64,
    GEMM_SKINNY_128,
    GEMM_TILE,
    SAMPLE_MAX,
    SAMPLE_DRAW,
    PENALTY_RESET,
    READ_PROBE;

    final String kernel = name().toLowerCase(Locale.ROOT);
}
