package io.tandem.simulation.planning;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * Compares layouts of GPUs for requests of one length in a steady state: tokens a second and GPU (cost) over tokens a second and
 * user (speed).
 *
 * <p>Aggregated: each of b users' prompts stops everyone once, so a token takes the step plus b prompts over the output length.
 * Split: prompts and outputs run on their own GPUs, and the slower side sets the rate (rate matching), at the best ratio of
 * the two within the GPUs given. Queues are not modelled: TTFT is that of a request which finds a free place; the simulator answers
 * what a trace does to it.
 */
public final class LayoutPlanner {
    private static final int[] REPLICA_GPUS = {1, 2, 4, 8};
    /** Share of memory left after weights that KV may take; the rest is activations and fragmentation. */
    private static final double KV_SHARE = 0.9;

    private static final double WEIGHT_SHARE = 0.95;

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
     * @param transferMs of a prompt's KV, seen between the first and the second token; 0 = aggregated
     */
    public record Point(
            int prefillReplicas,
            int prefillGpus,
            int replicas,
            int replicaGpus,
            int batch,
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
        List<Point> points = new ArrayList<>();
        for (int gpus : REPLICA_GPUS) {
            if (gpus <= demand.gpus() && fits(gpus)) {
                for (int batch = 1; batch <= maxBatch(gpus); batch = next(batch)) {
                    points.add(aggregated(gpus, batch));
                }
            }
        }
        for (int prefill : REPLICA_GPUS) {
            for (int decode : REPLICA_GPUS) {
                if (prefill + decode <= demand.gpus() && fits(prefill) && fits(decode)) {
                    for (int batch = 1; batch <= maxBatch(decode); batch = next(batch)) {
                        points.add(split(prefill, decode, batch));
                    }
                }
            }
        }
        return points;
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

    private boolean fits(int gpus) {
        return demand.model().weightBytes(demand.precision())
                        <= WEIGHT_SHARE * gpus * demand.gpu().memoryBytes()
                && maxBatch(gpus) >= 1;
    }

    /** Sequences whose whole KV fits beside the weights. */
    private int maxBatch(int gpus) {
        ModelShape m = demand.model();
        double room = gpus * demand.gpu().memoryBytes() - m.weightBytes(demand.precision());
        double copies = m.kvHeads() == 1 ? gpus : Math.max(1, (double) gpus / m.kvHeads());
        double perSequence = m.kvBytesPerToken(demand.precision())
                * copies
                * (demand.promptTokens() + (double) demand.outputTokens());
        return (int) Math.min(1024, KV_SHARE * room / perSequence);
    }

    private static int next(int batch) {
        return batch < 8 ? batch + 1 : batch + batch / 8;
    }

    private double step(int gpus, int batch) {
        double context = demand.promptTokens() + demand.outputTokens() / 2.0;
        return times.decodeMs(demand.model(), demand.gpu(), demand.precision(), gpus, batch, context);
    }

    private double prompt(int gpus) {
        return times.prefillMs(demand.model(), demand.gpu(), demand.precision(), gpus, demand.promptTokens());
    }

    private Point aggregated(int gpus, int batch) {
        double step = step(gpus, batch);
        double prompt = prompt(gpus);
        double itl = step + batch * prompt / demand.outputTokens();
        return new Point(0, 0, 1, gpus, batch, prompt + step, itl, 0, 1e3 / itl, batch * 1e3 / itl / gpus);
    }

    private Point split(int prefill, int decode, int batch) {
        double itl = step(decode, batch);
        double prompt = prompt(prefill);
        double transfer = demand.promptTokens()
                * demand.model().kvBytesPerToken(demand.precision())
                / (demand.gpu().networkBytesPerSecond() * Math.min(prefill, decode))
                * 1e3;
        double requestsOfPrefill = 1 / prompt;
        double requestsOfDecode = batch / (itl * demand.outputTokens());
        Point best = null;
        for (int d = 1; prefill + d * decode <= demand.gpus(); d++) {
            int wanted = (int) Math.ceil(d * requestsOfDecode / requestsOfPrefill);
            for (int p = Math.max(1, wanted - 1); p <= wanted; p++) {
                int gpus = p * prefill + d * decode;
                if (gpus > demand.gpus()) {
                    continue;
                }
                double rate = Math.min(p * requestsOfPrefill, d * requestsOfDecode);
                double perGpu = rate * demand.outputTokens() * 1e3 / gpus;
                if (best == null || perGpu > best.tokensPerSecondPerGpu()) {
                    best = new Point(p, prefill, d, decode, batch, prompt, itl, transfer, 1e3 / itl, perGpu);
                }
            }
        }
        return best == null ? starved(prefill, decode, batch, prompt, itl, transfer) : best;
    }

    /** No ratio within the GPUs keeps the decode side busy: one prefill replica feeds what it can. */
    private Point starved(int prefill, int decode, int batch, double prompt, double itl, double transfer) {
        int d = Math.max(1, (demand.gpus() - prefill) / decode);
        double rate = Math.min(1 / prompt, d * batch / (itl * demand.outputTokens()));
        return new Point(
                1,
                prefill,
                d,
                decode,
                batch,
                prompt,
                itl,
                transfer,
                1e3 / itl,
                rate * demand.outputTokens() * 1e3 / (prefill + d * decode));
    }
}
