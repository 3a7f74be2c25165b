package io.tandem.request;

import com.typesafe.config.Config;
import java.time.Duration;

/** {@code tandem.request}; see reference.conf for units and reasons. */
public record RequestSettings(
        int maxActive,
        Duration defaultTimeout,
        Duration retryDelay,
        Duration askInterval,
        int maxAttempts,
        int keptReports) {

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
