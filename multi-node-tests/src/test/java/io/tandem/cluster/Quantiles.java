package io.tandem.cluster;

import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;

/** Sorted durations in nanoseconds. */
record Quantiles(long[] sorted) {
    static Quantiles of(LongStream nanos) {
        return new Quantiles(nanos.sorted().toArray());
    }

    int count() {
        return sorted.length;
    }

    /** The smallest value that at least that share does not exceed, in milliseconds; 0 without values. */
    double millis(double share) {
        if (sorted.length == 0) {
            return 0;
        }
        int rank = (int) Math.ceil(share * sorted.length);
        return sorted[Math.max(0, rank - 1)] / (double) TimeUnit.MILLISECONDS.toNanos(1);
    }

    /** p50 / p99 / largest. */
    @Override
    public String toString() {
        return count() == 0
                ? "-"
                : String.format(Locale.ROOT, "%.0f / %.0f / %.0f", millis(0.5), millis(0.99), millis(1));
    }
}
