package io.tandem.compute;

import com.typesafe.config.Config;
import java.time.Duration;
import java.util.Set;

/**
 * Which backend is wanted, from {@code tandem.compute}.
 *
 * @param backend "auto", "cpu" (the best on the host's cores) or a backend's name
 * @param require refuse to start when the backend chosen is another; empty = take what is there
 * @param threads CPU threads of one worker; 0 = all cores
 * @param warmUp longest time spent on work nobody waits for, before the first request
 */
public record ComputeSettings(String backend, String require, int threads, Duration warmUp) {
    private static final Set<String> BACKENDS = Set.of("auto", "cuda", "cpu", "cpu-vector", "cpu-scalar", "simulated");
    private static final Duration MAX_WARM_UP = Duration.ofSeconds(60);

    public ComputeSettings {
        if (!BACKENDS.contains(backend)) {
            throw new IllegalArgumentException(
                    "tandem.compute.backend must be one of " + BACKENDS + ", not '" + backend + "'");
        }
        if (threads < 0 || threads > 1024) {
            throw new IllegalArgumentException("tandem.compute.threads must be 0 (all cores) to 1024, not " + threads);
        }
        if (warmUp.isNegative() || warmUp.compareTo(MAX_WARM_UP) > 0) {
            throw new IllegalArgumentException("tandem.compute.warm-up must be 0s to 60s, not " + warmUp);
        }
    }

    /** Reads {@code tandem.compute}. */
    public static ComputeSettings from(Config root) {
        Config c = root.getConfig("tandem.compute");
        return new ComputeSettings(
                c.getString("backend"), c.getString("require"), c.getInt("threads"), c.getDuration("warm-up"));
    }

    public int effectiveThreads() {
        return threads > 0 ? threads : Runtime.getRuntime().availableProcessors();
    }
}
