package io.tandem.simulation.planning;

import java.util.Locale;

/** How weights are stored, and what they are multiplied in. */
public enum Precision {
    BF16(2),
    FP8(1),
    /** With a scale every 16 weights. */
    FP4(0.5625),
    /** Weights only; products are in bf16. */
    INT4(0.5625);

    private final double bytes;

    Precision(double bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one weight. */
    public double bytes() {
        return bytes;
    }

    /** Bytes of one element of KV: halved where the engine computes in 8 bits or less. */
    double kvBytes() {
        return this == FP8 || this == FP4 ? 1 : 2;
    }

    /** Reads bf16, fp8, fp8_block, fp4, nvfp4, int4_wo; empty = bf16. */
    public static Precision of(String text) {
        return switch (text.toLowerCase(Locale.ROOT)) {
            case "", "bf16", "fp16" -> BF16;
            case "fp8", "fp8_block" -> FP8;
            case "fp4", "nvfp4", "mxfp4", "w4a16_mxfp4", "w4a8_mxfp4_mxfp8" -> FP4;
            case "int4", "int4_wo" -> INT4;
            default ->
                throw new IllegalArgumentException("the precision '" + text + "' is none of bf16, fp8, fp4, int4");
        };
    }
}
