package io.tandem.compute.cpu;

import com.sun.management.HotSpotDiagnosticMXBean;
import java.lang.management.ManagementFactory;
import java.util.Locale;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The vectors of this machine: as wide as the hardware's, 512 bits at most. A wider vector than the hardware's would be
 * computed lane by lane in Java, hundreds of times slower, without a word.
 */
final class VectorUnit {
    private static final int MAX_LANES = 16;
    private static final int MIN_LANES = 4;
    private static final int TOP_TIER = 4;

    /** Floats (and ints) of a vector: 16, 8 or 4. */
    static final int WIDTH =
            Math.min(MAX_LANES, Math.min(FloatVector.SPECIES_PREFERRED.length(), IntVector.SPECIES_PREFERRED.length()));

    private static final VectorShape SHAPE = VectorShape.forBitSize(Math.max(64, 32 * WIDTH));
    static final VectorSpecies<Float> FLOATS = VectorSpecies.of(float.class, SHAPE);
    static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, SHAPE);

    /** Whether 16 sums, two inputs and a factor fit into the registers: not into the 16 of AVX2. */
    static final boolean MANY_REGISTERS = WIDTH != 8;

    private VectorUnit() {}

    /** Why vector code would be slower than scalar code in this JVM; empty when it is not. */
    static String refusal() {
        if (WIDTH < MIN_LANES) {
            return "this CPU's vectors have " + 32 * WIDTH + " bits, too few";
        }
        String vm = System.getProperty("java.vm.name", "");
        if (vm.toLowerCase(Locale.ROOT).contains("openj9")) {
            return "the compiler of " + vm + " does not know the Vector API";
        }
        if ("false".equals(option("EnableVectorSupport", "true"))) {
            return "the JVM's vector support is off (-XX:-EnableVectorSupport)";
        }
        if (System.getProperty("java.vm.info", "").contains("interpreted mode")
                || Integer.parseInt(option("TieredStopAtLevel", "4")) < TOP_TIER) {
            return "the JVM's optimising compiler is off (-Xint or -XX:TieredStopAtLevel below 4)";
        }
        return "false".equals(option("UseFMA", "true")) ? "no fused multiply-add on this CPU" : "";
    }

    private static String option(String name, String absent) {
        HotSpotDiagnosticMXBean hotspot = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
        try {
            return hotspot == null ? absent : hotspot.getVMOption(name).getValue();
        } catch (IllegalArgumentException notInThisJvm) {
            return absent;
        }
    }
}
