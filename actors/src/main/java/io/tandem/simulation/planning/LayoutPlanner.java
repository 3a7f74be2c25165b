package io.tandem.simulation.planning;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Compares layouts of GPUs for requests of one length in a steady state: tokens a second and GPU (cost) over tokens a second and
 * user (speed).
 *
 * <p>Aggregated: each of b users' prompts stops everyone once, so a token takes the step plus b prompts over the output length.
 * Split: prompts and outputs run on their own GPUs, at the best ratio of the two within the GPUs given, with prefill GPUs busy up
 * to a share of the time. TTFT is the mean with arrivals at random times (Poisson): the wait for the pass under way and for the
 * prompts before it. What a trace with bursts, lengths that differ and shared prefixes does to it, the simulator answers.
 */
public final class LayoutPlanner {
    private static final int[] REPLICA_GPUS = {1, 2, 4, 8};
    /** How busy prefill GPUs may be; the less, the shorter the wait and the more they cost. */
    private static final double[] PREFILL_BUSY = {0.5, 0.65, 0.8, 0.9, 0.95};

    /** Tokens of prompts in a pass beside decodes; longer ones take several. */
    private static final int CHUNK_TOKENS = 8192;

    private static final int BATCH_MAX = 1024;

    /** With arrivals at random times the number in flight has about its own root as standard deviation. */
    private static final double DEVIATIONS = 3;

    /**
     * What is to be served.
     *
     * @param gpus that may be used at most; a layout may use fewer
     */
    public record Demand(
            ModelShape model, GpuSpec gpu, Precision precision, int promptTokens, int outputTokens, int gpus) {
        public Demand {
            if (promptTokens < 1 || outputTokens < 1) {
                throw new IllegalArgumentException("prompt and output need at least one token each");
            }
            if (gpus < 1 || gpus > 1024) {
                throw new IllegalArgumentException("GPUs must be 1 to 1024, not " + gpus);
            }
        }
    }

    /**
     * One operating point.
     *
     * @param prefillReplicas 0 = aggregated
     * @param replicas that decode (and prefill, when aggregated)
     * @param batch sequences of a decode replica
     * @param prefillBusy share of time in which a replica that takes prompts computes them
     * @param ttftMs mean, with its wait
     * @param transferMs of a prompt's KV, seen between the first and the second token; 0 = aggregated
     */
    public record Point(
            int prefillReplicas,
            int prefillGpus,
            int replicas,
            int replicaGpus,
            int batch,
            double prefillBusy,
            double ttftMs,
            double itlMs,
            double transferMs,
            double tokensPerSecondPerUser,
            double tokensPerSecondPerGpu) {

        public boolean split() {
            return prefillReplicas > 0;
        }

        public int gpus() {
            return prefillReplicas * prefillGpus + replicas * replicaGpus;
        }

        /** For people: {@code 2P(tp1):3D(tp2)} or {@code agg(tp2)}. */
        public String layout() {
            return split()
                    ? prefillReplicas + "P(tp" + prefillGpus + "):" + replicas + "D(tp" + replicaGpus + ")"
                    : "agg(tp" + replicaGpus + ")";
        }
    }

    private final StepTimes times;
    private final Demand demand;

    public LayoutPlanner(StepTimes times, Demand demand) {
        this.times = times;
        this.demand = demand;
    }

    /** Every point of every layout that fits, aggregated first. */
    public List<Point> points() {
        Set<Point> points = new LinkedHashSet<>();
        for (int gpus : REPLICA_GPUS) {
            if (gpus <= demand.gpus()) {
                for (int batch = 1; batch <= maxBatch(gpus); batch = next(batch)) {
                    points.add(aggregated(gpus, batch));
                }
            }
        }
        for (int prefill : REPLICA_GPUS) {
            for (int decode : REPLICA_GPUS) {
                if (prefill + decode <= demand.gpus() && maxBatch(prefill) > 0) {
                    for (int batch = 1; batch <= maxBatch(decode); batch = next(batch)) {
                        for (double busy : PREFILL_BUSY) {
                            split(prefill, decode, batch, busy).ifPresent(points::add);
                        }
                    }
                }
            }
        }
        return List.copyOf(points);
    }

    /** The points that no other beats in both speed and cost, by rising speed. */
    public static List<Point> frontier(List<Point> points) {
        List<Point> fastestFirst = points.stream()
                .sorted(Comparator.comparingDouble(Point::tokensPerSecondPerUser)
                        .thenComparingDouble(Point::tokensPerSecondPerGpu)
                        .reversed())
                .toList();
        List<Point> best = new ArrayList<>();
        double most = 0;
        for (Point p : fastestFirst) {
            if (p.tokensPerSecondPerGpu() > most) {
                most = p.tokensPerSecondPerGpu();
                best.addFirst(p);
            }
        }
        return best;
    }

    /** The cheapest point within the targets; empty when none is. */
    public static Optional<Point> best(List<Point> points, double ttftMsMax, double itlMsMax) {
        return points.stream()
                .filter(p -> p.ttftMs() <= ttftMsMax && p.itlMs() <= itlMsMax)
                .max(Comparator.comparingDouble(Point::tokensPerSecondPerGpu)
                        .thenComparingDouble(Point::tokensPerSecondPerUser));
    }

    /** The best of each layout within the targets, the cheapest first. */
    public static List<Point> bestOfEach(List<Point> points, double ttftMsMax, double itlMsMax) {
        return byLayout(points).values().stream()
                .flatMap(of -> best(of, ttftMsMax, itlMsMax).stream())
                .sorted(Comparator.comparingDouble(Point::tokensPerSecondPerGpu).reversed())
                .toList();
    }

    /** Points by {@link Point#layout}, in their order. */
    public static Map<String, List<Point>> byLayout(List<Point> points) {
        return points.stream().collect(Collectors.groupingBy(Point::layout, LinkedHashMap::new, Collectors.toList()));
    }

    /** Mean number of sequences whose whole KV fits beside the weights nearly always, since it varies; 0 = not one fits. */
    private int maxBatch(int gpus) {
        double tokens = new Replica(demand.model(), demand.gpu(), demand.precision(), gpus).kvTokens();
        double fit = Math.floor(tokens / (demand.promptTokens() + (double) demand.outputTokens()));
        // b + DEVIATIONS sqrt(b) = fit; one alone is served though none fits beside it.
        double root = (Math.sqrt(DEVIATIONS * DEVIATIONS + 4 * fit) - DEVIATIONS) / 2;
        return fit < 1 ? 0 : (int) Math.clamp(root * root, 1, BATCH_MAX);
    }

    private static int next(int batch) {
        return batch < 8 ? batch + 1 : batch + batch / 8;
    }

    private double step(int gpus, int batch) {
        double context = demand.promptTokens() + demand.outputTokens() / 2.0;
        return times.decodeMs(demand.model(), demand.gpu(), demand.precision(), gpus, batch, context);
    }

    /**
     * A pass takes a step and the prompts that arrived in the pass before: Poisson, so with q of them on average its length has
     * the variance q prompt^2 / (1 - busy^2). Who arrives finds a pass by its length, waits half of it, and shares the next one.
     */
    Point aggregated(int gpus, int batch) {
        double tokens = demand.promptTokens();
        double step = step(gpus, batch);
        double prompt =
                times.besideMs(demand.model(), demand.gpu(), demand.precision(), gpus, tokens, tokens * tokens / 2);
        double promptsOfPass = (double) batch / demand.outputTokens();
        double itl = step + promptsOfPass * prompt;
        double rate = promptsOfPass / itl;
        double busy = rate * prompt;
        double found = itl + promptsOfPass * prompt * prompt / ((1 - busy * busy) * itl);
        double passes = Math.ceil(tokens / CHUNK_TOKENS);
        double ttft = found / 2 + passes * step + prompt * (1 + rate * found);
        return new Point(0, 0, 1, gpus, batch, busy, ttft, itl, 0, 1e3 / itl, batch * 1e3 / itl / gpus);
    }

    /** At the best ratio within the GPUs with prefill replicas at most that busy; empty when there is none. */
    private Optional<Point> split(int prefill, int decode, int batch, double busyMax) {
        double itl = step(decode, batch);
        double prompt =
                times.prefillMs(demand.model(), demand.gpu(), demand.precision(), prefill, demand.promptTokens());
        double rateOfDecode = batch / (itl * demand.outputTokens());
        int prefillReplicas = 0;
        int decodeReplicas = 0;
        double best = 0;
        for (int d = 1; prefill + d * decode <= demand.gpus(); d++) {
            int p = Math.max(1, (int) Math.ceil(d * rateOfDecode * prompt / busyMax));
            int gpus = p * prefill + d * decode;
            double perGpu = d * rateOfDecode * demand.outputTokens() * 1e3 / gpus;
            if (gpus <= demand.gpus() && perGpu > best) {
                best = perGpu;
                prefillReplicas = p;
                decodeReplicas = d;
            }
        }
        if (best == 0) {
            return Optional.empty();
        }
        double busy = decodeReplicas * rateOfDecode * prompt / prefillReplicas;
        double transfer = demand.promptTokens()
                * demand.model().kvBytesPerToken(demand.precision())
                / (demand.gpu().networkBytesPerSecond() * Math.min(prefill, decode))
                * 1e3;
        return Optional.of(new Point(
                prefillReplicas,
                prefill,
                decodeReplicas,
                decode,
                batch,
                busy,
                prompt + wait(prefillReplicas, busy, prompt),
                itl,
                transfer,
                1e3 / itl,
                best));
    }

    /** Mean wait for one of several servers that all take the same time: half of Sakasegawa's formula for M/M/c. */
    private static double wait(int servers, double busy, double service) {
        return service / 2 * Math.pow(busy, Math.sqrt(2 * (servers + 1.0)) - 1) / (servers * (1 - busy));
    }
}
