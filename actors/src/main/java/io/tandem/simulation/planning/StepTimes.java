package io.tandem.simulation.planning;

import com.typesafe.config.Config;
import java.util.List;

/**
 * Step times of a model on a GPU: the parts of {@link StepParts}, each times how far engines stay from its limit.
 *
 * @param decode a coefficient for each of {@link StepParts#DECODE}
 * @param prefill a coefficient for each of {@link StepParts#PREFILL}
 */
public record StepTimes(List<Double> decode, List<Double> prefill) {
    public StepTimes {
        decode = checked("decode", decode, StepParts.DECODE);
        prefill = checked("prefill", prefill, StepParts.PREFILL);
    }

    /** Reads {@code tandem.planning}. */
    public static StepTimes from(Config root) {
        Config c = root.getConfig("tandem.planning");
        return new StepTimes(c.getDoubleList("decode-coefficients"), c.getDoubleList("prefill-coefficients"));
    }

    private static List<Double> checked(String name, List<Double> values, String[] parts) {
        if (values.size() != parts.length || values.stream().anyMatch(v -> !(v >= 0))) {
            throw new IllegalArgumentException("tandem.planning." + name + "-coefficients needs " + parts.length
                    + " numbers that are not negative: " + String.join(", ", parts));
        }
        return List.copyOf(values);
    }

    /** Milliseconds of one decode step of a replica. */
    public double decodeMs(ModelShape m, GpuSpec g, Precision p, int gpus, double batch, double context) {
        return dot(decode, StepParts.decode(m, g, p, gpus, 1, batch, context));
    }

    /** Milliseconds of a prompt alone on a replica. */
    public double prefillMs(ModelShape m, GpuSpec g, Precision p, int gpus, double tokens) {
        return dot(prefill, StepParts.prefill(m, g, p, gpus, tokens));
    }

    private static double dot(List<Double> w, double[] parts) {
        double sum = 0;
        for (int i = 0; i < parts.length; i++) {
            sum += w.get(i) * parts[i];
        }
        return sum;
    }
}
