package io.tandem.simulation.planning;

import io.tandem.simulation.planning.Kriging.Kernel;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * TTFT or TPOT of a serving run: a roofline whose parts have fitted coefficients, times a correction learnt from what measured
 * runs nearby left over. Where runs of the same model on the same GPU are known it interpolates between them; elsewhere the
 * roofline decides, with what engine, GPU and model have in common with others.
 */
public final class TimingModel {

    /** The likeliest of each run given all others, over the whole file; to two digits. */
    private static final Kernel TTFT_KERNEL = new Kernel(
            new double[] {0.25, 0.35, 0.2, 0.2, 0.2, 1.9},
            new double[] {0.04, 0.14, 0.01, 0.14, 0.15, 0.001, 0.035},
            new double[] {0, 0.001, 0.001, 0.025, 0.035, 0.02, 0.001},
            0.0046);

    private static final Kernel TPOT_KERNEL = new Kernel(
            new double[] {0.2, 0.2, 0.13, 0.2, 0.14, 0.85},
            new double[] {0.1, 0.005, 0.02, 0.012, 0.018, 0.001, 0.008},
            new double[] {0, 0.001, 0.14, 0.008, 0.045, 0.001, 0.02},
            0.0005);

    /** What is predicted. */
    public enum Metric {
        TTFT,
        TPOT;

        private Kernel kernel() {
            return this == TTFT ? TTFT_KERNEL : TPOT_KERNEL;
        }

        double measured(ServingPoint p) {
            return this == TTFT ? p.ttftMs() : p.tpotMs();
        }

        double[] parts(ServingPoint p) {
            return this == TTFT ? p.ttftParts() : p.tpotParts();
        }
    }

    /** Relative error of one run that the model has not seen. */
    public record Miss(ServingPoint point, double relative) {}

    private final Metric metric;
    private final double[] coefficients;
    private final Kriging correction;

    private TimingModel(Metric metric, double[] coefficients, Kriging correction) {
        this.metric = metric;
        this.coefficients = coefficients;
        this.correction = correction;
    }

    /** Fits both stages; a few seconds for a thousand runs. */
    public static TimingModel fit(Metric metric, List<ServingPoint> points) {
        List<double[]> parts = points.stream().map(metric::parts).toList();
        double[] measured = points.stream().mapToDouble(metric::measured).toArray();
        double[] w = NonNegativeFit.fit(parts, measured);
        double[] residuals = new double[measured.length];
        for (int i = 0; i < residuals.length; i++) {
            residuals[i] = Math.log(measured[i] / NonNegativeFit.dot(w, parts.get(i)));
        }
        return new TimingModel(metric, w, new Kriging(metric.kernel(), points, residuals));
    }

    /** Milliseconds. */
    public double predict(ServingPoint p) {
        return roofline(p) * Math.exp(correction.predict(p));
    }

    /** The first stage alone. */
    public double roofline(ServingPoint p) {
        return NonNegativeFit.dot(coefficients, metric.parts(p));
    }

    /** A coefficient for each part: how many times longer than the hardware's limit it takes. */
    public double[] coefficients() {
        return coefficients.clone();
    }

    /** Predicts the runs of each group by a model of all other groups. */
    public static List<Miss> crossValidate(
            Metric metric, List<ServingPoint> points, Function<ServingPoint, String> group) {
        Collection<String> groups = new TreeSet<>(points.stream().map(group).toList());
        return groups.parallelStream()
                .flatMap(held -> missesOf(metric, points, p -> group.apply(p).equals(held)).stream())
                .toList();
    }

    private static List<Miss> missesOf(Metric metric, List<ServingPoint> points, Predicate<ServingPoint> held) {
        TimingModel model = fit(metric, points.stream().filter(held.negate()).toList());
        return points.stream()
                .filter(held)
                .map(p -> new Miss(p, Math.abs(model.predict(p) / metric.measured(p) - 1)))
                .toList();
    }
}
