package io.tandem.worker;

import com.typesafe.config.Config;
import io.tandem.settings.SettingRange;
import java.time.Duration;

/** {@code tandem.worker}; see reference.conf for units, ranges and reasons. */
public record WorkerSettings(
        Duration reportInterval,
        Duration tick,
        Duration wakeInterval,
        Duration holdingInterval,
        int maxWorks,
        int keptBlockEventWords,
        int maxMoves,
        Duration stepTimeout) {

    public WorkerSettings {
        range("report-interval (ms)", reportInterval.toMillis(), 20, 1_000);
        range("tick-interval (ms)", tick.toMillis(), 1, 100);
        range("wake-interval (ms)", wakeInterval.toMillis(), 1, 60_000);
        range("holding-interval (ms)", holdingInterval.toMillis(), 100, 60_000);
        range("max-works", maxWorks, 1, 100_000);
        range("kept-block-event-words", keptBlockEventWords, 0, 100_000_000);
        range("max-moves", maxMoves, 1, 1_000);
        range("step-timeout (ms)", stepTimeout.toMillis(), 100, 3_600_000);
    }

    private static void range(String key, long value, long min, long max) {
        SettingRange.check("tandem.worker." + key, value, min, max);
    }

    public static WorkerSettings from(Config root) {
        Config c = root.getConfig("tandem.worker");
        return new WorkerSettings(
                c.getDuration("report-interval"),
                c.getDuration("tick-interval"),
                c.getDuration("wake-interval"),
                c.getDuration("holding-interval"),
                c.getInt("max-works"),
                c.getInt("kept-block-event-words"),
                c.getInt("max-moves"),
                c.getDuration("step-timeout"));
    }
}
