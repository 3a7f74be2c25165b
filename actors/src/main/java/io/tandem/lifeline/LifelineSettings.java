package io.tandem.lifeline;

import com.typesafe.config.Config;
import io.tandem.settings.SettingRange;
import java.time.Duration;

/** {@code tandem.lifeline}; see reference.conf for units, ranges and reasons. */
public record LifelineSettings(
        boolean enabled,
        int port,
        Duration connectTimeout,
        Duration retryInterval,
        Duration keepAlive,
        int maxConnections) {

    public LifelineSettings {
        range("port", port, 0, 65_535);
        range("connect-timeout (ms)", connectTimeout.toMillis(), 50, 10_000);
        range("retry-interval (ms)", retryInterval.toMillis(), 100, 60_000);
        range("keep-alive (s)", keepAlive.toSeconds(), 1, 3_600);
        range("max-connections", maxConnections, 1, 65_536);
    }

    /** Reads {@code tandem.lifeline}. */
    public static LifelineSettings from(Config root) {
        Config c = root.getConfig("tandem.lifeline");
        return new LifelineSettings(
                c.getBoolean("enabled"),
                c.getInt("port"),
                c.getDuration("connect-timeout"),
                c.getDuration("retry-interval"),
                c.getDuration("keep-alive"),
                c.getInt("max-connections"));
    }

    private static void range(String key, long value, long min, long max) {
        SettingRange.check("tandem.lifeline." + key, value, min, max);
    }
}
