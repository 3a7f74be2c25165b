package io.tandem.routing;

import io.tandem.transfer.TransferStats;
import java.util.HashMap;
import java.util.Map;

/**
 * How fast KV moves on each kind of way (a wire, or from device to device) while there is something to move, as measured by
 * this node's requests. Not thread-safe.
 */
final class TransferRates {
    /** Names the way from device to device. */
    static final String DIRECT = "device to device";

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

    /** A transfer on {@code wire}; one that went by two ways says nothing of either. */
    void measured(String wire, TransferStats stats) {
        boolean mixed = stats.direct() && stats.directBlocks() < stats.blocks();
        if (stats.bytes() >= MIN_BYTES && stats.busyNanos() > 0 && !mixed) {
            double rate = stats.bytes() * 1e9 / stats.busyNanos();
            bytesPerSecond.merge(stats.direct() ? DIRECT : wire, rate, (old, latest) -> old + WEIGHT * (latest - old));
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
