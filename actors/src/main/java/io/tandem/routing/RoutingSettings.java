package io.tandem.routing;

import com.typesafe.config.Config;

/**
 * {@code tandem.routing}.
 *
 * @param splitFromTokens shortest prompt that is worth two GPUs; see docs/benchmarks for how it was measured
 * @param split off = every request runs on one GPU
 */
public record RoutingSettings(int splitFromTokens, boolean split) {

    public RoutingSettings {
        if (splitFromTokens < 1 || splitFromTokens > 1_000_000) {
            throw new IllegalArgumentException(
                    "tandem.routing.split-from-tokens must be 1 to 1000000, not " + splitFromTokens);
        }
    }

    public static RoutingSettings from(Config root) {
        Config c = root.getConfig("tandem.routing");
        return new RoutingSettings(c.getInt("split-from-tokens"), c.getBoolean("split"));
    }
}
