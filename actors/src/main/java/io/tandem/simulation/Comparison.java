package io.tandem.simulation;

import io.tandem.simulation.ClusterSimulation.Cluster;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import java.util.function.LongFunction;
import java.util.stream.Collectors;

/**
 * Policies on the same traffic: every policy with every layout it can run, every rate, every seed. A seed gives the trace, if it is
 * drawn, and the policy's ties.
 *
 * @param engine name of the timing, for reports
 * @param traces the trace of a seed
 */
public record Comparison(
        List<BuiltInPolicy> policies,
        List<Layout> layouts,
        List<Double> speedups,
        List<Long> seeds,
        Slo slo,
        String engine,
        PassTimer timer,
        Cluster limits,
        LongFunction<Trace> traces) {

    /** Goodput at a rate counts as sustained from this share on (DistServe's definition). */
    public static final double SUSTAINED_SHARE = 0.9;

    /** Stands for a policy in the cells of {@link #bounds}. */
    public static final String BOUND = "bound";

    /** A policy with a layout at one rate, over the seeds. */
    public record Cell(
            String policy,
            String layout,
            double speedup,
            double arrivalsPerSecond,
            Mean goodShare,
            List<RunSummary> runs) {}

    /** A policy with a layout over the rates: where it saturates, requests a second; {@code beyond} = higher than was tried. */
    public record Saturation(String policy, String layout, double speedup, double requestsPerSecond, boolean beyond) {}

    /** A mean and the half width of its 95 % interval (Student's t over the seeds; 0 with one). */
    public record Mean(double value, double halfWidth) {
        /** Of Student's distribution, 97.5 %, by degrees of freedom; beyond the table within 0.1 % by its expansion. */
        private static final double[] T = {0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};

        private static double quantile(int free) {
            return free < T.length ? T[free] : 1.96 + 2.372 / free + 2.82 / (free * (double) free);
        }

        public static Mean of(double... values) {
            double mean = Arrays.stream(values).average().orElse(Double.NaN);
            int free = values.length - 1;
            if (free < 1) {
                return new Mean(mean, 0);
            }
            double squares =
                    Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum();
            return new Mean(mean, quantile(free) * Math.sqrt(squares / free / values.length));
        }
    }

    private record Task(BuiltInPolicy policy, Layout layout, double speedup) {}

    /** Runs everything on {@code threads} threads; {@code progress} hears of each run as it ends. */
    public List<Cell> run(int threads, Consumer<RunSummary> progress) throws InterruptedException {
        List<Task> tasks = tasks();
        Map<Task, List<Future<RunSummary>>> running = new LinkedHashMap<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            for (long seed : seeds) {
                Future<Trace> trace = pool.submit(() -> traces.apply(seed));
                for (Task task : tasks) {
                    running.computeIfAbsent(task, t -> new ArrayList<>()).add(pool.submit(() -> {
                        RunSummary summary = run(task, trace.get(), seed);
                        progress.accept(summary);
                        return summary;
                    }));
                }
            }
            List<Cell> cells = new ArrayList<>();
            for (Map.Entry<Task, List<Future<RunSummary>>> entry : running.entrySet()) {
                cells.add(cell(entry.getKey(), entry.getValue()));
            }
            return cells;
        }
    }

    /** What no policy can surpass, with each number of workers at each rate: {@link GoodputBound}. Cells without runs. */
    public List<Cell> bounds() {
        List<Cell> cells = new ArrayList<>();
        List<Trace> drawn = seeds.stream().map(traces::apply).toList();
        for (int workers : layouts.stream().map(Layout::workers).distinct().toList()) {
            Cluster cluster = limits.withWorkers(workers);
            for (double speedup : speedups) {
                List<Trace> faster = drawn.stream().map(t -> t.speedUp(speedup)).toList();
                double[] shares = faster.stream()
                        .mapToDouble(t -> (double) GoodputBound.requests(t, cluster, timer, slo) / t.size())
                        .toArray();
                double rate = faster.stream()
                        .mapToDouble(t -> t.size() / Math.max(1e-9, t.arrivalNanos()[t.size() - 1] / 1e9))
                        .average()
                        .orElseThrow();
                cells.add(new Cell(BOUND, workers + " GPUs", speedup, rate, Mean.of(shares), List.of()));
            }
        }
        return cells;
    }

    private List<Task> tasks() {
        List<Task> tasks = new ArrayList<>();
        for (double speedup : speedups) {
            for (BuiltInPolicy policy : policies) {
                layouts.stream().filter(policy::suits).forEach(layout -> tasks.add(new Task(policy, layout, speedup)));
            }
        }
        if (tasks.isEmpty()) {
            throw new IllegalArgumentException("none of the policies can run any of the layouts: " + leftOut());
        }
        return tasks;
    }

    /** Milliseconds a token of an output that nothing runs beside: no layout and no policy is faster. */
    public double decodeAloneMillis() {
        PassShape pass = new PassShape();
        pass.addDecode(1);
        return timer.passNanos(pass) / 1e6;
    }

    /** How many are to be done; 0 = no policy can run any of the layouts. */
    public int runs() {
        return seeds.size()
                * speedups.size()
                * policies.stream()
                        .mapToInt(p -> (int) layouts.stream().filter(p::suits).count())
                        .sum();
    }

    /** Pairs that are not run, by policy, with what each policy takes; empty when all are. */
    public String leftOut() {
        return policies.stream()
                .filter(p -> !layouts.stream().allMatch(p::suits))
                .map(p -> p.id() + " not with "
                        + layouts.stream()
                                .filter(l -> !p.suits(l))
                                .map(Layout::toString)
                                .collect(Collectors.joining(", "))
                        + " (" + p.takes() + ")")
                .collect(Collectors.joining("; "));
    }

    private RunSummary run(Task task, Trace trace, long seed) {
        Cluster cluster = limits.withWorkers(task.layout.workers());
        Scenario s = new Scenario(trace.speedUp(task.speedup), task.layout, cluster, timer, slo, seed);
        return RunSummary.of(task.policy.id(), task.speedup, s, task.policy.run(s));
    }

    private static Cell cell(Task task, List<Future<RunSummary>> futures) throws InterruptedException {
        List<RunSummary> runs = new ArrayList<>();
        for (Future<RunSummary> f : futures) {
            try {
                runs.add(f.get());
            } catch (ExecutionException e) {
                throw new IllegalStateException(
                        task.policy.id() + " with " + task.layout + ": "
                                + e.getCause().getMessage(),
                        e.getCause());
            }
        }
        return new Cell(
                task.policy.id(),
                task.layout.toString(),
                task.speedup,
                runs.stream()
                        .mapToDouble(RunSummary::arrivalsPerSecond)
                        .average()
                        .orElseThrow(),
                Mean.of(runs.stream().mapToDouble(RunSummary::goodShare).toArray()),
                runs);
    }

    /** Where each policy and layout falls below {@link #SUSTAINED_SHARE}, between two rates by a straight line. */
    public static List<Saturation> saturation(List<Cell> cells) {
        Map<List<String>, List<Cell>> lines = new LinkedHashMap<>();
        for (Cell c : cells) {
            lines.computeIfAbsent(List.of(c.policy(), c.layout()), k -> new ArrayList<>())
                    .add(c);
        }
        return lines.values().stream().map(Comparison::saturationOf).toList();
    }

    private static Saturation saturationOf(List<Cell> line) {
        List<Cell> byRate = line.stream()
                .sorted(java.util.Comparator.comparingDouble(Cell::arrivalsPerSecond))
                .toList();
        Cell last = byRate.getLast();
        for (int i = byRate.size() - 1; i >= 0; i--) {
            Cell c = byRate.get(i);
            if (c.goodShare().value() < SUSTAINED_SHARE) {
                continue;
            }
            if (i == byRate.size() - 1) {
                return new Saturation(c.policy(), c.layout(), c.speedup(), c.arrivalsPerSecond(), true);
            }
            Cell worse = byRate.get(i + 1);
            double x = (c.goodShare().value() - SUSTAINED_SHARE)
                    / (c.goodShare().value() - worse.goodShare().value());
            return new Saturation(
                    c.policy(),
                    c.layout(),
                    c.speedup() + x * (worse.speedup() - c.speedup()),
                    c.arrivalsPerSecond() + x * (worse.arrivalsPerSecond() - c.arrivalsPerSecond()),
                    false);
        }
        return new Saturation(last.policy(), last.layout(), 0, 0, false);
    }
}
