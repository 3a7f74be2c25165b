package io.tandem.simulation.planning;

import com.typesafe.config.ConfigFactory;
import io.tandem.simulation.planning.TimingModel.Metric;
import io.tandem.simulation.planning.TimingModel.Miss;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.EnumMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** How well {@link TimingModel} predicts runs it has not seen, as Markdown. */
public final class TimingReport {
    private static final int FOLDS = 10;

    /** Of what KV needs of the memory; above it, sequences may have to wait. */
    private static final double FITS = 0.8;

    private final List<ServingPoint> points;
    private final Map<Metric, List<Miss>> byFold = new EnumMap<>(Metric.class);
    private final Map<Metric, List<Miss>> byPair = new EnumMap<>(Metric.class);
    private final StringBuilder text = new StringBuilder();

    private TimingReport(List<ServingPoint> points) {
        this.points = points;
    }

    /** Cross-validates by single runs, by whole (model, GPU) pairs and by models; takes minutes for a thousand runs. */
    public static String of(SiliconSamples samples) {
        TimingReport report = new TimingReport(samples.points());
        report.line("Runs: " + samples.points().size() + "; left out: " + samples.withoutLayout()
                + " that do not say how many workers ran, " + samples.repeated() + " that list a run again, "
                + samples.unknown() + " of unknown models or GPUs.");
        report.line("");
        report.summary();
        report.classes();
        report.pairs();
        report.coefficients();
        report.planning();
        return report.text.toString();
    }

    private void summary() {
        line("| left out | metric | runs | MAPE | median | p90 |");
        line("|---|---|---|---|---|---|");
        for (Metric metric : Metric.values()) {
            byFold.put(metric, withoutRuns(metric));
            byPair.put(metric, TimingModel.crossValidate(metric, points, TimingReport::pair));
            row("one run in " + FOLDS, metric, byFold.get(metric));
            row("the whole (model, GPU) pair", metric, byPair.get(metric));
            row("the whole model", metric, TimingModel.crossValidate(metric, points, TimingReport::family));
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

    private static String pair(ServingPoint p) {
        return p.model().name() + " on " + p.gpu().name();
    }

    /** Models of one shape are one. */
    private static String family(ServingPoint p) {
        return p.model().parameters() + " " + p.model().hidden();
    }

    /** Models that come with a layer for speculative decoding, which engines used in some of their runs. */
    private static boolean drafts(ServingPoint p) {
        return p.model().name().startsWith("DeepSeek") || p.model().name().startsWith("GLM");
    }

    /** What the error consists of, beside what the file itself leaves open: how much repeated runs differ. */
    private void classes() {
        Map<String, Predicate<ServingPoint>> classes = new LinkedHashMap<>();
        classes.put("prompts and decodes together", p -> !p.split() && !drafts(p));
        classes.put("of these, KV fits in memory", p -> !p.split() && !drafts(p) && p.batch() < FITS * p.capacity());
        classes.put("together, speculative decoding in some", p -> !p.split() && drafts(p));
        classes.put("prompts and decodes on different GPUs", ServingPoint::split);
        line(
                "Errors by kind of run (MAPE / median), and of a run predicted by the mean of its repetitions (MAPE, runs):");
        line("");
        line("| runs | n | TTFT | repeated | TPOT | repeated | unseen pair: TTFT | TPOT |");
        line("|---|---|---|---|---|---|---|---|");
        classes.forEach((name, in) -> line("| " + name + " | "
                + points.stream().filter(in).count()
                + of(byFold.get(Metric.TTFT), in) + repeated(Metric.TTFT, in)
                + of(byFold.get(Metric.TPOT), in) + repeated(Metric.TPOT, in)
                + of(byPair.get(Metric.TTFT), in) + of(byPair.get(Metric.TPOT), in) + " |"));
        line("");
    }

    private static String of(List<Miss> misses, Predicate<ServingPoint> in) {
        double[] errors = misses.stream()
                .filter(m -> in.test(m.point()))
                .mapToDouble(Miss::relative)
                .sorted()
                .toArray();
        return errors.length == 0
                ? " | –"
                : String.format(
                        Locale.ROOT,
                        " | %.1f / %.1f %%",
                        100 * Arrays.stream(errors).average().orElse(0),
                        100 * errors[errors.length / 2]);
    }

    /** Runs that differ in nothing the file says, each predicted by the geometric mean of the others. */
    private String repeated(Metric metric, Predicate<ServingPoint> in) {
        Collection<List<ServingPoint>> groups = points.stream()
                .filter(in)
                .collect(Collectors.groupingBy((Function<ServingPoint, Object>) TimingReport::columns))
                .values();
        List<Double> errors = new ArrayList<>();
        for (List<ServingPoint> group : groups) {
            double sum = group.stream()
                    .mapToDouble(p -> Math.log(metric.measured(p)))
                    .sum();
            for (ServingPoint p : group.size() > 1 ? group : List.<ServingPoint>of()) {
                double others = (sum - Math.log(metric.measured(p))) / (group.size() - 1);
                errors.add(Math.abs(Math.exp(others) / metric.measured(p) - 1));
            }
        }
        return errors.isEmpty()
                ? " | –"
                : String.format(Locale.ROOT, " | %.1f %%, %d", 100 * mean(errors), errors.size());
    }

    private static List<Object> columns(ServingPoint p) {
        return List.of(
                List.of(p.kinds()[5], p.version(), p.expertPrecision()),
                List.of(p.promptTokens(), p.outputTokens(), p.concurrency()),
                List.of(p.prefillWorkers(), p.prefillGpus(), p.decodeWorkers()));
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
                100 * mean(errors.get(0)),
                100 * mean(errors.get(2)),
                100 * mean(errors.get(1)),
                100 * mean(errors.get(3)))));
        line("");
    }

    private static void collect(Map<String, List<List<Double>>> pairs, List<Miss> misses, int column) {
        for (Miss miss : misses) {
            pairs.computeIfAbsent(
                            pair(miss.point()),
                            p -> List.of(new ArrayList<>(), new ArrayList<>(), new ArrayList<>(), new ArrayList<>()))
                    .get(column)
                    .add(miss.relative());
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
        line("- TTFT, prompt compute, weights, exchange, queue, log queue, layers, fixed, one step, wait for memory: "
                + numbers(TimingModel.fit(Metric.TTFT, points).coefficients()));
    }

    /** What the planner reckons with, as the settings take it, and how far off it is. */
    private void planning() {
        List<ServingPoint> usable = PlanningFit.usable(points);
        double[] w = PlanningFit.fit(usable);
        int last = w.length - 1;
        List<Double> prefill = StepTimes.from(ConfigFactory.load()).prefill();
        line("");
        line(
                "For planning (the roofline alone, of " + usable.size()
                        + " runs on one replica without data or expert parallelism whose KV fits; nothing below the hardware's limit):");
        line("");
        line("- tandem.planning.decode-coefficients = [" + numbers(Arrays.copyOf(w, last)) + "]");
        line("- of prompts' compute, the first of tandem.planning.prefill-coefficients: "
                + numbers(new double[] {w[last]}));
        line("");
        line("| pair left out, by the planner's own formulas | metric | runs | MAPE | median | p90 |");
        line("|---|---|---|---|---|---|");
        for (Metric metric : Metric.values()) {
            row("all engines", metric, PlanningFit.crossValidate(metric, usable, prefill));
        }
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
