package io.tandem.simulation.planning;

import io.tandem.simulation.planning.TimingModel.Metric;
import io.tandem.simulation.planning.TimingModel.Miss;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Coefficients for {@link StepTimes}, from the mean times between tokens of measured runs: what {@code tandem pareto} and the
 * simulator's fitted engine reckon with. It is the roofline alone; no run is looked up.
 */
final class PlanningFit {
    /** Of what KV needs of the memory; above it, sequences may have to wait. */
    private static final double FITS = 0.8;

    /** Weights, KV, compute, exchange and prompts are no faster than the hardware; layers and reductions are counted in guesses. */
    private static final double[] AT_LEAST = {1, 1, 1, 0, 0, 1, 0, 1};

    private PlanningFit() {}

    /** Runs of one replica that does both, with room for their KV, without expert or data parallelism, which it does not plan. */
    static List<ServingPoint> usable(List<ServingPoint> points) {
        return points.stream()
                .filter(p -> !p.split()
                        && p.decodeWorkers() == 1
                        && p.attentionGroups() == 1
                        && p.expertGroups() <= 1
                        && p.batch() < FITS * p.capacity())
                .toList();
    }

    /** Coefficients for each of {@link StepParts#DECODE}, and last that of prompts' compute, beside which decodes wait. */
    static double[] fit(List<ServingPoint> points) {
        double[] measured = points.stream().mapToDouble(ServingPoint::tpotMs).toArray();
        return NonNegativeFit.fit(points.stream().map(PlanningFit::parts).toList(), measured, AT_LEAST);
    }

    private static double[] parts(ServingPoint p) {
        double[] all = p.tpotParts();
        return Arrays.copyOf(all, StepParts.DECODE.length + 1);
    }

    /** The planner's errors on runs of pairs of model and GPU that the fit has not seen. */
    static List<Miss> crossValidate(Metric metric, List<ServingPoint> points, List<Double> prefill) {
        Map<String, List<ServingPoint>> pairs = points.stream()
                .collect(Collectors.groupingBy(
                        p -> p.model().name() + p.gpu().name(), TreeMap::new, Collectors.toList()));
        return pairs.values().stream()
                .flatMap(held -> {
                    StepTimes times = times(
                            fit(points.stream().filter(p -> !held.contains(p)).toList()), prefill);
                    return held.stream().map(p -> new Miss(p, relativeError(metric, times, p)));
                })
                .toList();
    }

    static StepTimes times(double[] fitted, List<Double> prefill) {
        List<Double> decode =
                Arrays.stream(fitted).limit(StepParts.DECODE.length).boxed().toList();
        return new StepTimes(decode, prefill);
    }

    private static double relativeError(Metric metric, StepTimes times, ServingPoint p) {
        Precision precision = p.model().expertParameters() > 0 ? p.expertPrecision() : p.precision();
        var demand = new LayoutPlanner.Demand(
                p.model(), p.gpu(), precision, p.promptTokens(), p.outputTokens(), (int) p.decodeGpus());
        LayoutPlanner.Point planned =
                new LayoutPlanner(times, demand).aggregated((int) p.decodeGpus(), (int) Math.round(p.batch()));
        double predicted = metric == Metric.TTFT ? planned.ttftMs() : planned.itlMs();
        return Math.abs(predicted / metric.measured(p) - 1);
    }
}
