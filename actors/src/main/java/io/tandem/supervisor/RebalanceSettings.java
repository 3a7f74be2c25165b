package io.tandem.supervisor;

import com.typesafe.config.Config;
import java.time.Duration;
import java.util.Locale;

/**
 * {@code tandem.supervisor}; see reference.conf for units, ranges and reasons.
 *
 * @param mode whether decisions are carried out, told only, or not made
 */
public record RebalanceSettings(
        Mode mode,
        Duration interval,
        Duration demandHalfLife,
        Duration minDwell,
        Duration settleTime,
        Duration flipTimeout,
        int confirmations,
        double margin,
        double actAbove,
        double changeShare,
        Duration ttftTarget,
        Duration itlTarget) {

    /** What is done with a decision. */
    public enum Mode {
        ACT,
        ADVISE,
        OFF
    }

    public RebalanceSettings {
        positive("interval", interval);
        positive("demand-half-life", demandHalfLife);
        positive("ttft-target", ttftTarget);
        positive("itl-target", itlTarget);
        positive("flip-timeout", flipTimeout);
        if (minDwell.isNegative() || settleTime.isNegative()) {
            throw new IllegalArgumentException("tandem.supervisor.min-dwell and settle-time must not be negative");
        }
        if (confirmations < 1 || confirmations > 1000) {
            throw new IllegalArgumentException(
                    "tandem.supervisor.confirmations must be 1 to 1000, not " + confirmations);
        }
        share("margin", margin);
        share("change-share", changeShare);
        if (!(actAbove >= 0 && actAbove <= 10)) {
            throw new IllegalArgumentException("tandem.supervisor.act-above must be 0 to 10, not " + actAbove);
        }
    }

    /** Reads {@code tandem.supervisor}. */
    public static RebalanceSettings from(Config root) {
        Config c = root.getConfig("tandem.supervisor");
        return new RebalanceSettings(
                mode(c.getString("mode")),
                c.getDuration("interval"),
                c.getDuration("demand-half-life"),
                c.getDuration("min-dwell"),
                c.getDuration("settle-time"),
                c.getDuration("flip-timeout"),
                c.getInt("confirmations"),
                c.getDouble("margin"),
                c.getDouble("act-above"),
                c.getDouble("change-share"),
                c.getDuration("ttft-target"),
                c.getDuration("itl-target"));
    }

    private static Mode mode(String text) {
        try {
            return Mode.valueOf(text.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    "tandem.supervisor.mode must be act, advise or off, not '" + text + "'", e);
        }
    }

    private static void positive(String key, Duration value) {
        if (value.isNegative() || value.isZero()) {
            throw new IllegalArgumentException("tandem.supervisor." + key + " must be above 0, not " + value);
        }
    }

    private static void share(String key, double value) {
        if (!(value >= 0 && value <= 1)) {
            throw new IllegalArgumentException("tandem.supervisor." + key + " must be 0 to 1, not " + value);
        }
    }
}
