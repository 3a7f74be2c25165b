package io.tandem.transfer;

import com.typesafe.config.Config;
import java.time.Duration;
import java.util.Set;

/** {@code tandem.transfer}; see this module's reference.conf for units, ranges and reasons. */
public record TransferSettings(
        String wire,
        String host,
        int port,
        String directory,
        int mtuBytes,
        int termBytes,
        int windowBytes,
        int socketBufferBytes,
        int maxLeases,
        int queueEntries,
        int maxPeers,
        Duration connectTimeout,
        Duration linkTimeout,
        Duration resultTimeout,
        boolean direct,
        int idleSleepMicros,
        int restSleepMicros) {

    private static final Set<String> WIRES = Set.of("udp", "ipc");

    public TransferSettings {
        if (!WIRES.contains(wire)) {
            throw new IllegalArgumentException("tandem.transfer.wire must be udp or ipc, not '" + wire + "'");
        }
        range("port", port, 0, 65_535);
        if (mtuBytes != 0) {
            range("mtu-bytes", mtuBytes, 1408, 65_504);
        }
        range("term-bytes", termBytes, 64 << 10, 1 << 30);
        if (Integer.bitCount(termBytes) != 1) {
            throw new IllegalArgumentException("tandem.transfer.term-bytes must be a power of two, not " + termBytes);
        }
        range("window-bytes", windowBytes, 64 << 10, 1 << 28);
        range("socket-buffer-bytes", socketBufferBytes, 64 << 10, 1 << 28);
        range("max-leases", maxLeases, 1, 65_536);
        range("queue-entries", queueEntries, 64, 1 << 20);
        range("max-peers", maxPeers, 1, 1024);
        range("connect-timeout (ms)", connectTimeout.toMillis(), 100, 60_000);
        range("link-timeout (ms)", linkTimeout.toMillis(), 450, 60_000);
        range("result-timeout (ms)", resultTimeout.toMillis(), 100, 600_000);
        range("idle-sleep-micros", idleSleepMicros, 1, 10_000);
        range("rest-sleep-micros", restSleepMicros, 1, 100_000);
    }

    /** Reads {@code tandem.transfer}. */
    public static TransferSettings from(Config root) {
        Config c = root.getConfig("tandem.transfer");
        return new TransferSettings(
                c.getString("wire"),
                c.getString("host"),
                c.getInt("port"),
                c.getString("directory"),
                c.getBytes("mtu-bytes").intValue(),
                c.getBytes("term-bytes").intValue(),
                c.getBytes("window-bytes").intValue(),
                c.getBytes("socket-buffer-bytes").intValue(),
                c.getInt("max-leases"),
                c.getInt("queue-entries"),
                c.getInt("max-peers"),
                c.getDuration("connect-timeout"),
                c.getDuration("link-timeout"),
                c.getDuration("result-timeout"),
                c.getBoolean("direct"),
                c.getInt("idle-sleep-micros"),
                c.getInt("rest-sleep-micros"));
    }

    private static void range(String key, long value, long min, long max) {
        if (value < min || value > max) {
            throw new IllegalArgumentException(
                    "tandem.transfer." + key + " must be " + min + " to " + max + ", not " + value);
        }
    }
}
