package io.tandem.request;

import com.typesafe.config.Config;
import io.tandem.settings.SettingRange;
import java.time.Duration;

/** {@code tandem.request}; see reference.conf for units, ranges and reasons. */
public record RequestSettings(
        int maxActive,
        Duration defaultTimeout,
        Duration retryDelay,
        Duration askInterval,
        int maxAttempts,
        int keptReports) {

    public RequestSettings {
        range("max-active", maxActive, 1, 100_000);
        range("default-timeout (ms)", defaultTimeout.toMillis(), 1, 86_400_000);
        range("retry-delay (ms)", retryDelay.toMillis(), 10, 10_000);
        range("ask-interval (ms)", askInterval.toMillis(), 100, 60_000);
        range("max-attempts", maxAttempts, 1, 100);
        range("kept-reports", keptReports, 1, 100_000);
    }

    private static void range(String key, long value, long min, long max) {
        SettingRange.check("tandem.request." + key, value, min, max);
    }

    public static RequestSettings from(Config root) {
        Config c = root.getConfig("tandem.request");
        return new RequestSettings(
                c.getInt("max-active"),
                c.getDuration("default-timeout"),
                c.getDuration("retry-delay"),
                c.getDuration("ask-interval"),
                c.getInt("max-attempts"),
                c.getInt("kept-reports"));
    }
}
