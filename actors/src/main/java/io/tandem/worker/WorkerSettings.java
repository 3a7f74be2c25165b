package io.tandem.worker;

import com.typesafe.config.Config;
import java.time.Duration;

/** {@code tandem.worker}; see reference.conf for units and reasons. */
public record WorkerSettings(
        Duration reportInterval,
        Duration tick,
        Duration wakeInterval,
        Duration holdingInterval,
        int maxWorks,
        int keptBlockEventWords,
        int maxMoves) {

    public static WorkerSettings from(Config root) {
        Config c = root.getConfig("tandem.worker");
        return new WorkerSettings(
                c.getDuration("report-interval"),
                c.getDuration("tick-interval"),
                c.getDuration("wake-interval"),
                c.getDuration("holding-interval"),
                c.getInt("max-works"),
                c.getInt("kept-block-event-words"),
                c.getInt("max-moves"));
    }
}
