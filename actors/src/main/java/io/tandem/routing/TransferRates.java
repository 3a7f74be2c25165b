package io.tandem.routing;

import java.util.HashMap;
import java.util.Map;

/** How fast KV moves over each kind of wire, as measured by this node's requests. Not thread-safe. */
final class TransferRates {
    private static final double WEIGHT = 0.2;

    /** Below this a transfer tells its latency, not its rate. */
    private static final long MIN_BYTES = 1 << 20;

    private final double priorBytesPerSecond;
    private final double latencyNanos;
    private final Map<String, Double> bytesPerSecond = new HashMap<>();

    TransferRates(double priorBytesPerSecond, double latencyNanos) {
        this.priorBytesPerSecond = priorBytesPerSecond;
        this.latencyNanos = latencyNanos;
    }

    void measured(String wire, long bytes, long nanos) {
        if (bytes >= MIN_BYTES && nanos > 0) {
            double rate = bytes * 1e9 / nanos;
            bytesPerSecond.merge(wire, rate, (old, latest) -> old + WEIGHT * (latest - old));
        }
    }

    double bytesPerSecond(String wire) {
        return bytesPerSecond.getOrDefault(wire, priorBytesPerSecond);
    }

    /** Until so many bytes are there. */
    double nanos(String wire, double bytes) {
        return bytes <= 0 ? 0 : latencyNanos + bytes / bytesPerSecond(wire) * 1e9;
    }
}
