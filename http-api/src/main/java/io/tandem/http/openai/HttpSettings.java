package io.tandem.http.openai;

import com.typesafe.config.Config;
import java.time.Duration;
import java.util.List;

/** The settings under {@code tandem.http}; reference.conf says what each is, with unit and range. */
record HttpSettings(
        String host,
        int port,
        List<String> apiKeys,
        List<String> adminKeys,
        List<String> allowedHosts,
        long maxBodyBytes,
        Duration bodyTimeout,
        int maxConcurrentRequests,
        int maxChoices,
        Duration generationTimeout,
        Duration acceptWait,
        Duration sseHeartbeat,
        Duration slowClientTimeout,
        int slowClientEvents,
        long slowClientChars,
        int sseWriteBytes,
        int retryAfterSeconds,
        Duration drainTimeout,
        Config pekkoHttpServer) {

    private static final Duration DAY = Duration.ofDays(1);

    /** @throws IllegalArgumentException for a value out of its range; the message names the key */
    static HttpSettings of(Config config) {
        Config http = config.getConfig("tandem.http");
        return new HttpSettings(
                http.getString("host"),
                (int) range(http, "port", http.getInt("port"), 0, 65535),
                List.copyOf(http.getStringList("api-keys")),
                List.copyOf(http.getStringList("admin-keys")),
                List.copyOf(http.getStringList("allowed-hosts")),
                range(http, "max-body-bytes", http.getBytes("max-body-bytes"), 1024, 256L << 20),
                time(http, "body-timeout", Duration.ofSeconds(1), Duration.ofMinutes(10)),
                (int) range(http, "max-concurrent-requests", http.getInt("max-concurrent-requests"), 1, 100_000),
                (int) range(http, "max-choices", http.getInt("max-choices"), 1, 1024),
                time(http, "generation-timeout", Duration.ofSeconds(1), DAY),
                time(http, "accept-wait", Duration.ofMillis(10), Duration.ofSeconds(30)),
                time(http, "sse-heartbeat", Duration.ofMillis(100), Duration.ofSeconds(30)),
                time(http, "slow-client-timeout", Duration.ofSeconds(1), Duration.ofMinutes(10)),
                (int) range(http, "slow-client-events", http.getInt("slow-client-events"), 1, 1024),
                range(http, "slow-client-chars", http.getBytes("slow-client-chars"), 1024, 64L << 20),
                (int) range(http, "sse-write-bytes", http.getBytes("sse-write-bytes"), 1024, 1 << 20),
                (int) time(http, "retry-after", Duration.ofSeconds(1), Duration.ofHours(1))
                        .toSeconds(),
                time(http, "drain-timeout", Duration.ZERO, Duration.ofHours(1)),
                patient(http));
    }

    /** A connection that waits for an answer that is not streamed is silent, and would be cut without a word. */
    private static Config patient(Config http) {
        Config server = http.getConfig("pekko-http-server");
        String key = "idle-timeout";
        boolean waits = server.getString(key).equals("infinite")
                || server.getDuration(key)
                                .compareTo(
                                        http.getDuration("generation-timeout").plus(CompletionRoutes.GRACE))
                        >= 0;
        if (!waits) {
            throw new IllegalArgumentException("tandem.http.pekko-http-server." + key + " is " + server.getString(key)
                    + " and cuts answers that generation-timeout = " + http.getString("generation-timeout")
                    + " allows: make it " + CompletionRoutes.GRACE.toSeconds() + " s longer than that");
        }
        return server;
    }

    private static long range(Config http, String key, long value, long min, long max) {
        if (value < min || value > max) {
            throw new IllegalArgumentException("tandem.http." + key + " must be from " + min + " to " + max + ", not "
                    + http.getValue(key).unwrapped());
        }
        return value;
    }

    private static Duration time(Config http, String key, Duration min, Duration max) {
        Duration value = http.getDuration(key);
        if (value.compareTo(min) < 0 || value.compareTo(max) > 0) {
            throw new IllegalArgumentException("tandem.http." + key + " must be from " + min + " to " + max + ", not "
                    + http.getValue(key).unwrapped());
        }
        return value;
    }
}
