package io.tandem.simulation.planning;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * TTFT or TPOT of a serving run: a roofline whose parts have fitted coefficients, times a correction learnt from what measured
 * runs nearby left over.
 */
public final class TimingModel {

    /** What is predicted. */
    public enum Metric {
        TTFT,
        TPOT;

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
        return new TimingModel(metric, w, new Kriging(points, residuals));
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
        List<Miss> misses = new ArrayList<>();
        for (String held : groups) {
            List<ServingPoint> known =
                    points.stream().filter(p -> !group.apply(p).equals(held)).toList();
            TimingModel model = fit(metric, known);
            for (ServingPoint p : points) {
                if (group.apply(p).equals(held)) {
                    misses.add(new Miss(p, Math.abs(model.predict(p) / metric.measured(p) - 1)));
                }
            }
        }
        return misses;
    }
}
