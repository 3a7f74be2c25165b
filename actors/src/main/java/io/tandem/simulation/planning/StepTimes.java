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

    /** Milliseconds of a prompt alone on a replica; never faster than its weights are read. */
    public double prefillMs(ModelShape m, GpuSpec g, Precision p, int gpus, double tokens) {
        return aloneMs(m, g, p, gpus, tokens, tokens * tokens / 2);
    }

    /** Milliseconds of a pass over prompts and nothing else. */
    double aloneMs(ModelShape m, GpuSpec g, Precision p, int gpus, double tokens, double pairs) {
        double[] parts = StepParts.prefill(m, g, p, gpus, tokens, pairs);
        double weights = decode.getFirst() * parts[1] * m.touchedShare(tokens);
        return dot(prefill, parts) + Math.max(0, weights - prefill.getFirst() * parts[0]);
    }

    /** Milliseconds that prompts add to a pass with decodes, which reads the weights anyway. */
    double besideMs(ModelShape m, GpuSpec g, Precision p, int gpus, double tokens, double pairs) {
        return dot(prefill, StepParts.prefill(m, g, p, gpus, tokens, pairs));
    }

    /** Milliseconds to read what is in KV already before a chunk of a prompt. */
    double prefixMs(ModelShape m, GpuSpec g, Precision p, int gpus, double tokens) {
        double cuts = m.kvHeads() == 1 ? 1 : Math.min(gpus, m.kvHeads());
        return decode.get(1) * tokens * m.kvBytesPerToken(p) / cuts / g.memoryBytesPerSecond() * 1e3;
    }

    private static double dot(List<Double> w, double[] parts) {
        double sum = 0;
        for (int i = 0; i < parts.length; i++) {
            sum += w.get(i) * parts[i];
        }
        return sum;
    }
}
