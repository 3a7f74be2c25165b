package io.tandem.simulation.planning;

import io.tandem.simulation.planning.TimingModel.Metric;
import io.tandem.simulation.planning.TimingModel.Miss;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** How well {@link TimingModel} predicts runs it has not seen, as Markdown. */
public final class TimingReport {
    private static final int FOLDS = 8;

    private final List<ServingPoint> points;
    private final Map<Metric, List<Miss>> byFold = new EnumMap<>(Metric.class);
    private final Map<Metric, List<Miss>> byPair = new EnumMap<>(Metric.class);
    private final StringBuilder text = new StringBuilder();

    private TimingReport(List<ServingPoint> points) {
        this.points = points;
    }

    /** Cross-validates by single runs and by whole (model, GPU) pairs; takes about a minute for a thousand runs. */
    public static String of(SiliconSamples samples) {
        TimingReport report = new TimingReport(samples.points());
        report.line("Runs: " + samples.points().size() + " with a known layout; left out: " + samples.withoutLayout()
                + " that do not say how many workers ran, " + samples.unknown() + " of unknown models or GPUs.");
        report.line("");
        report.summary();
        report.pairs();
        report.coefficients();
        return report.text.toString();
    }

    private void summary() {
        line("| left out | metric | runs | MAPE | median | p90 |");
        line("|---|---|---|---|---|---|");
        for (Metric metric : Metric.values()) {
            byFold.put(metric, withoutRuns(metric));
            byPair.put(metric, withoutPairs(metric));
            row("one run in " + FOLDS, metric, byFold.get(metric));
            row("the whole (model, GPU) pair", metric, byPair.get(metric));
        }
        line("");
    }

    /** Folds by position in the file, mixed by a fixed multiplier: every reader gets the same. */
    private List<Miss> withoutRuns(Metric metric) {
        IdentityHashMap<ServingPoint, Integer> order = new IdentityHashMap<>();
        points.forEach(p -> order.put(p, order.size()));
        return TimingModel.crossValidate(
                metric, points, p -> "fold " + Math.floorMod(order.get(p) * 0x9E3779B1 >>> 8, FOLDS));
    }

    private List<Miss> withoutPairs(Metric metric) {
        return TimingModel.crossValidate(metric, points, TimingReport::pair);
    }

    private static String pair(ServingPoint p) {
        return p.model().name() + " on " + p.gpu().name();
    }

    private void row(String leftOut, Metric metric, List<Miss> misses) {
        double[] errors = misses.stream().mapToDouble(Miss::relative).sorted().toArray();
        line(String.format(
                Locale.ROOT,
                "| %s | %s | %d | %.1f %% | %.1f %% | %.1f %% |",
                leftOut,
                metric,
                errors.length,
                100 * Arrays.stream(errors).average().orElse(0),
                100 * errors[errors.length / 2],
                100 * errors[errors.length * 9 / 10]));
    }

    private void pairs() {
        Map<String, List<List<Double>>> pairs = new TreeMap<>();
        collect(pairs, byFold.get(Metric.TTFT), 0);
        collect(pairs, byFold.get(Metric.TPOT), 1);
        collect(pairs, byPair.get(Metric.TTFT), 2);
        collect(pairs, byPair.get(Metric.TPOT), 3);
        line("MAPE by model and GPU, predicted by a model that has seen other runs of the pair / none of them:");
        line("");
        line("| model | GPU | runs | TTFT | TPOT |");
        line("|---|---|---|---|---|");
        pairs.forEach((pair, errors) -> line(String.format(
                Locale.ROOT,
                "| %s | %d | %.0f / %.0f %% | %.0f / %.0f %% |",
                pair.replace(" on ", " | "),
                errors.get(0).size(),
                mean(errors.get(0)),
                mean(errors.get(2)),
                mean(errors.get(1)),
                mean(errors.get(3)))));
        line("");
    }

    private static void collect(Map<String, List<List<Double>>> pairs, List<Miss> misses, int column) {
        for (Miss miss : misses) {
            pairs.computeIfAbsent(
                            pair(miss.point()),
                            p -> List.of(new ArrayList<>(), new ArrayList<>(), new ArrayList<>(), new ArrayList<>()))
                    .get(column)
                    .add(100 * miss.relative());
        }
    }

    private static double mean(List<Double> values) {
        return values.stream().mapToDouble(v -> v).average().orElse(Double.NaN);
    }

    private void coefficients() {
        line("Coefficients of the roofline (how many times the hardware's limit a part takes):");
        line("");
        line("- TPOT, " + String.join(", ", StepParts.DECODE) + ", prompts beside (compute, weights): "
                + numbers(TimingModel.fit(Metric.TPOT, points).coefficients()));
        line("- TTFT, prompt compute, weights, exchange, queue, log queue, layers, fixed, one step: "
                + numbers(TimingModel.fit(Metric.TTFT, points).coefficients()));
    }

    private static String numbers(double[] values) {
        StringBuilder joined = new StringBuilder();
        for (double v : values) {
            joined.append(joined.isEmpty() ? "" : ", ").append(String.format(Locale.ROOT, "%.3g", v));
        }
        return joined.toString();
    }

    private void line(String s) {
        text.append(s).append('\n');
    }
}
