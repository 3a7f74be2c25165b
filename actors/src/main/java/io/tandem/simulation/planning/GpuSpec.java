package io.tandem.simulation.planning;

import java.util.List;
import java.util.Locale;

/**
 * A GPU's limits, vendor figures.
 *
 * @param name as in the samples: h100_sxm
 * @param memoryBytes for weights and KV
 * @param memoryBytesPerSecond of its memory
 * @param bf16Flops dense
 * @param fp8 how many times faster than bf16 it multiplies in 8 bits; 1 = it does not
 * @param fp4 the same in 4 bits
 * @param linkBytesPerSecond to a GPU of the same domain, one direction
 * @param networkBytesPerSecond to a GPU of another host
 */
public record GpuSpec(
        String name,
        double memoryBytes,
        double memoryBytesPerSecond,
        double bf16Flops,
        double fp8,
        double fp4,
        double linkBytesPerSecond,
        double networkBytesPerSecond) {

    /** Sources: the vendor's data sheets; the first four are also in aiconfigurator's tables. */
    private static final List<GpuSpec> KNOWN = List.of(
            new GpuSpec("a100_sxm", 80e9, 2.039e12, 312e12, 1, 1, 300e9, 25e9),
            new GpuSpec("l40s", 45e9, 0.864e12, 362e12, 2, 2, 32e9, 50e9),
            new GpuSpec("h100_sxm", 80e9, 3.35e12, 989e12, 2, 2, 450e9, 50e9),
            new GpuSpec("h200_sxm", 141e9, 4.8e12, 989e12, 2, 2, 450e9, 50e9),
            new GpuSpec("b200_sxm", 180e9, 8e12, 2250e12, 2, 4, 900e9, 50e9),
            new GpuSpec("gb200", 186e9, 8e12, 2500e12, 2, 4, 900e9, 50e9),
            new GpuSpec("b300_sxm", 270e9, 8e12, 2250e12, 2, 4, 900e9, 100e9),
            new GpuSpec("gb300", 279e9, 8e12, 2500e12, 2, 4, 900e9, 100e9));

    /** Finds a GPU by name; {@code h100} stands for {@code h100_sxm}. */
    public static GpuSpec of(String name) {
        String wanted = name.toLowerCase(Locale.ROOT);
        return KNOWN.stream()
                .filter(g -> g.name.equals(wanted) || g.name.equals(wanted + "_sxm"))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("the GPU '" + name + "' is not known; there are: "
                        + KNOWN.stream().map(GpuSpec::name).toList()));
    }

    /** Multiplications and additions a second at a precision. */
    double flops(Precision precision) {
        return bf16Flops
                * switch (precision) {
                    case BF16, INT4 -> 1;
                    case FP8 -> fp8;
                    case FP4 -> fp4;
                };
    }
}
