package io.tandem.compute;

import com.typesafe.config.Config;
import java.util.Set;

/**
 * Which backend is wanted, from {@code tandem.compute}.
 *
 * @param backend "auto" or a backend's name
 * @param require refuse to start when the backend chosen is another; empty = take what is there
 * @param threads CPU threads of one worker; 0 = all cores
 */
public record ComputeSettings(String backend, String require, int threads) {
    private static final Set<String> BACKENDS = Set.of("auto", "cpu-vector", "cpu-scalar", "simulated");

    public ComputeSettings {
        if (!BACKENDS.contains(backend)) {
            throw new IllegalArgumentException(
                    "tandem.compute.backend must be one of " + BACKENDS + ", not '" + backend + "'");
        }
        if (threads < 0 || threads > 1024) {
            throw new IllegalArgumentException("tandem.compute.threads must be 0 (all cores) to 1024, not " + threads);
        }
    }

    /** Reads {@code tandem.compute}. */
    public static ComputeSettings from(Config root) {
        Config c = root.getConfig("tandem.compute");
        return new ComputeSettings(c.getString("backend"), c.getString("require"), c.getInt("threads"));
    }

    public int effectiveThreads() {
        return threads > 0 ? threads : Runtime.getRuntime().availableProcessors();
    }
}
