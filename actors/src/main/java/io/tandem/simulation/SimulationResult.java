package io.tandem.simulation;

import java.util.Arrays;
import org.HdrHistogram.Histogram;

/** What happened to every request, and the figures drawn from it. Times are virtual nanoseconds. */
public final class SimulationResult {
    private static final long HOUR_NANOS = 3_600_000_000_000L;

    private final Trace trace;
    private final int workers;
    private final long[] firstTokenNanos;
    private final long[] endNanos;
    private final long[] firstAdmitNanos;
    private final int[] cachedTokens;
    private final int[] prefillWorker;
    private final int[] decodeWorker;
    private final Histogram gaps = new Histogram(1_000, HOUR_NANOS, 3);
    private long gapNanos;
    private int rejected;
    private long durationNanos;
    private long[] busyNanos = {};
    private long[] busyPrefillNanos = {};
    private long preemptions;
    private RoleBoard roles;

    SimulationResult(Trace trace, int workers) {
        this.trace = trace;
        this.workers = workers;
        firstTokenNanos = filled(trace.size());
        endNanos = filled(trace.size());
        firstAdmitNanos = filled(trace.size());
        cachedTokens = new int[trace.size()];
        prefillWorker = new int[trace.size()];
        decodeWorker = new int[trace.size()];
    }

    private static long[] filled(int size) {
        long[] a = new long[size];
        Arrays.fill(a, -1);
        return a;
    }

    void placed(int request, Placement.Plan plan) {
        prefillWorker[request] = plan.prefillWorker();
        decodeWorker[request] = plan.decodeWorker();
    }

    void decodeWorker(int request, int worker) {
        decodeWorker[request] = worker;
    }

    void rejected(int request) {
        rejected++;
        endNanos[request] = -1;
    }

    void prefilled(EngineSequence s, long now) {
        cachedTokens[s.request] = s.cachedTokens;
        firstAdmitNanos[s.request] = s.firstAdmitNanos;
        s.lastTokenNanos = now;
    }

    void token(EngineSequence s, long now) {
        int r = s.request;
        if (s.generated == 1) {
            firstTokenNanos[r] = now;
            cachedTokens[r] = s.cachedTokens;
            firstAdmitNanos[r] = s.firstAdmitNanos;
        } else {
            gapNanos += now - s.lastTokenNanos;
            gaps.recordValue(Math.min(HOUR_NANOS, Math.max(1, now - s.lastTokenNanos)));
        }
        s.lastTokenNanos = now;
        if (s.generated == s.outputTokens) {
            endNanos[r] = now;
        }
    }

    void end(long now, SimulatedEngine[] engines, RoleBoard board) {
        roles = board;
        durationNanos = now;
        busyNanos = Arrays.stream(engines).mapToLong(e -> e.busyNanos).toArray();
        busyPrefillNanos =
                Arrays.stream(engines).mapToLong(e -> e.busyPrefillNanos).toArray();
        preemptions = Arrays.stream(engines).mapToLong(e -> e.preemptions).sum();
    }

    public int requests() {
        return trace.size();
    }

    public int workers() {
        return workers;
    }

    public int rejectedRequests() {
        return rejected;
    }

    public boolean completed(int request) {
        return endNanos[request] >= 0;
    }

    public int completedRequests() {
        return (int) Arrays.stream(endNanos).filter(n -> n >= 0).count();
    }

    public int prefillWorker(int request) {
        return prefillWorker[request];
    }

    public int decodeWorkerOf(int request) {
        return decodeWorker[request];
    }

    public int cachedTokens(int request) {
        return cachedTokens[request];
    }

    public long firstTokenNanos(int request) {
        return firstTokenNanos[request];
    }

    public long endNanos(int request) {
        return endNanos[request];
    }

    public long durationNanos() {
        return durationNanos;
    }

    public long preemptions() {
        return preemptions;
    }

    /** Roles over the run, and what became of them. */
    public RoleBoard roles() {
        return roles;
    }

    public long[] busyNanos() {
        return busyNanos;
    }

    public long[] busyPrefillNanos() {
        return busyPrefillNanos;
    }

    /** Time to first token, milliseconds. */
    public double ttftMillis(int request) {
        return (firstTokenNanos[request] - trace.arrivalNanos()[request]) / 1e6;
    }

    public double endToEndMillis(int request) {
        return (endNanos[request] - trace.arrivalNanos()[request]) / 1e6;
    }

    /** Mean time between the tokens of a request, milliseconds; NaN with one output token. */
    public double tpotMillis(int request) {
        int gapsOfRequest = trace.outputTokens()[request] - 1;
        return gapsOfRequest < 1 ? Double.NaN : (endNanos[request] - firstTokenNanos[request]) / 1e6 / gapsOfRequest;
    }

    /** Requests that met both targets. */
    public int goodput(Slo slo) {
        int good = 0;
        for (int r = 0; r < trace.size(); r++) {
            good += good(r, slo) ? 1 : 0;
        }
        return good;
    }

    public boolean good(int request, Slo slo) {
        return completed(request)
                && ttftMillis(request) <= slo.ttftMillis()
                && !(tpotMillis(request) > slo.itlMillis());
    }

    /** Share of prompt tokens that were found in a cache. */
    public double reuse() {
        long cached = 0;
        long all = 0;
        for (int r = 0; r < trace.size(); r++) {
            cached += cachedTokens[r];
            all += trace.inputTokens()[r];
        }
        return (double) cached / all;
    }

    public double outputTokensPerSecond() {
        long tokens = 0;
        for (int r = 0; r < trace.size(); r++) {
            tokens += completed(r) ? trace.outputTokens()[r] : 0;
        }
        return tokens * 1e9 / durationNanos;
    }

    /** A distribution's mean and percentiles, milliseconds. */
    public record Spread(double mean, double p50, double p90, double p99) {
        static Spread of(double[] values) {
            double[] sorted =
                    Arrays.stream(values).filter(v -> !Double.isNaN(v)).sorted().toArray();
            double mean = Arrays.stream(sorted).average().orElse(Double.NaN);
            return new Spread(mean, at(sorted, 0.5), at(sorted, 0.9), at(sorted, 0.99));
        }

        private static double at(double[] sorted, double q) {
            if (sorted.length == 0) {
                return Double.NaN;
            }
            double x = q * (sorted.length - 1);
            int low = (int) x;
            double high = sorted[Math.min(low + 1, sorted.length - 1)];
            return sorted[low] + (x - low) * (high - sorted[low]);
        }
    }

    private Spread spread(java.util.function.IntToDoubleFunction figure) {
        double[] values = new double[trace.size()];
        for (int r = 0; r < values.length; r++) {
            values[r] = completed(r) ? figure.applyAsDouble(r) : Double.NaN;
        }
        return Spread.of(values);
    }

    public Spread ttft() {
        return spread(this::ttftMillis);
    }

    public Spread tpot() {
        return spread(this::tpotMillis);
    }

    public Spread endToEnd() {
        return spread(this::endToEndMillis);
    }

    /** Gaps between single tokens; NaN where no answer had two. */
    public Spread itl() {
        if (gaps.getTotalCount() == 0) {
            return new Spread(Double.NaN, Double.NaN, Double.NaN, Double.NaN);
        }
        return new Spread(
                gapNanos / 1e6 / gaps.getTotalCount(),
                gaps.getValueAtPercentile(50) / 1e6,
                gaps.getValueAtPercentile(90) / 1e6,
                gaps.getValueAtPercentile(99) / 1e6);
    }

    public Trace trace() {
        return trace;
    }
}
