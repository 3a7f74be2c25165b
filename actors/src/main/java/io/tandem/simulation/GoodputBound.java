package io.tandem.simulation;

import io.tandem.simulation.ClusterSimulation.Cluster;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * How many requests of a trace no policy can surpass: a relaxation of the cluster to one pool of GPU time that knows the whole
 * trace beforehand.
 *
 * <p>What a request takes at least: its prompt tokens that no earlier request had, as if every GPU's cache were one without
 * limit, at the rate of the most efficient step; for each output token its share of a step of as many sequences as may run and as much
 * context as the ITL target allows. It may take that anywhere and in any pieces between its arrival and the latest end of an answer in
 * time. For every window of time, the requests that lie in it whole can have no more than all GPUs' time in it; the smallest
 * go first, and those outside are counted as good. The lowest such count is the bound.
 *
 * <p>Holds for timers by which prompts and decodes of a step add up and whose decode time grows no faster than the context.
 */
public final class GoodputBound {
    private static final int WINDOWS = 24;
    private static final int STRIDE = 64;

    private final double promptTokenNanos;
    private final double outputTokenNanos;
    private final double contextTokenNanos;

    private GoodputBound(double promptTokenNanos, double outputTokenNanos, double contextTokenNanos) {
        this.promptTokenNanos = promptTokenNanos;
        this.outputTokenNanos = outputTokenNanos;
        this.contextTokenNanos = contextTokenNanos;
    }

    private static GoodputBound of(Cluster cluster, PassTimer timer, Slo slo) {
        double prompt = Double.MAX_VALUE;
        for (int n = STRIDE; n <= cluster.maxBatchTokens(); n += STRIDE) {
            PassShape pass = new PassShape();
            pass.addPrefill(0, n);
            prompt = Math.min(prompt, (double) timer.passNanos(pass) / n);
        }
        double empty = decodeNanos(timer, 0);
        int low = 1;
        int high = Math.multiplyExact(cluster.blocks(), cluster.blockTokens());
        while (low < high) {
            int middle = (int) (((long) low + high + 1) / 2);
            if (decodeNanos(timer, middle) <= slo.itlNanos()) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        double context = Math.max(0, (decodeNanos(timer, low) - empty) / low);
        return new GoodputBound(prompt, empty / cluster.maxSequences(), context);
    }

    private static double decodeNanos(PassTimer timer, int context) {
        PassShape pass = new PassShape();
        pass.addDecode(context);
        return timer.passNanos(pass);
    }

    /** An upper bound for the requests within both targets. */
    public static int requests(Trace trace, Cluster cluster, PassTimer timer, Slo slo) {
        return of(cluster, timer, slo).count(trace, cluster, slo);
    }

    private int count(Trace trace, Cluster cluster, Slo slo) {
        int n = trace.size();
        double[] cost = new double[n];
        long[] end = new long[n];
        boolean[] computed = new boolean[trace.nodeCount()];
        int[] feasible = new int[n];
        int kept = 0;
        for (int r = 0; r < n; r++) {
            long output = trace.outputTokens()[r];
            double prompt = promptTokenNanos * uncached(trace, r, cluster.blockTokens(), computed);
            double context = (output - 1) * ((double) trace.inputTokens()[r] + output / 2.0);
            cost[r] = prompt + (output - 1) * outputTokenNanos + contextTokenNanos * context;
            end[r] = trace.arrivalNanos()[r] + slo.ttftNanos() + (output - 1) * slo.itlNanos();
            if (prompt <= slo.ttftNanos()) {
                feasible[kept++] = r;
            }
        }
        int[] cheapestFirst = IntStream.of(Arrays.copyOf(feasible, kept))
                .boxed()
                .sorted((a, b) -> Double.compare(cost[a], cost[b]))
                .mapToInt(Integer::intValue)
                .toArray();
        long last = Arrays.stream(end).max().orElseThrow();
        int bound = kept;
        for (int from = 0; from < WINDOWS; from++) {
            for (int to = from + 1; to <= WINDOWS; to++) {
                long start = last / WINDOWS * from;
                long stop = to == WINDOWS ? last : last / WINDOWS * to;
                bound = Math.min(bound, window(cheapestFirst, trace.arrivalNanos(), end, cost, start, stop, cluster));
            }
        }
        return bound;
    }

    private static int window(
            int[] cheapestFirst, long[] arrival, long[] end, double[] cost, long start, long stop, Cluster cluster) {
        double left = (double) (stop - start) * cluster.workers();
        int good = 0;
        for (int r : cheapestFirst) {
            if (arrival[r] < start || end[r] > stop) {
                good++;
            } else if (left >= cost[r]) {
                left -= cost[r];
                good++;
            }
        }
        return good;
    }

    private static int uncached(Trace trace, int request, int blockTokens, boolean[] computed) {
        int shared = 0;
        for (int node : trace.nodes()[request]) {
            shared += computed[node] ? trace.prefixBlockTokens() : 0;
            computed[node] = true;
        }
        int input = trace.inputTokens()[request];
        return input - Math.min(shared, (input - 1) / blockTokens * blockTokens);
    }
}
