package io.tandem.routing;

import com.typesafe.config.Config;
import io.tandem.settings.SettingRange;
import java.time.Duration;

/**
 * {@code tandem.routing}; see reference.conf for units and reasons.
 *
 * @param policy what chooses
 * @param splitFromTokens shortest prompt that is worth two GPUs
 * @param split off = every request runs on one GPU
 * @param ttftTarget time to first token a request without a class should have
 * @param itlTarget time between its tokens
 * @param prior step times before a worker has measured its own
 * @param transferBytesPerSecond of a wire that nothing was measured on
 * @param transferLatency of a transfer, besides its bytes
 * @param sessionBonus predicted cost that a session's own worker may be worse by
 * @param sessionTtl a session is forgotten after this much silence
 * @param maxSessions remembered
 * @param predictedTtl how long blocks count as cached where a prompt was sent, before the worker says so
 * @param partedRest how long two workers are not paired after no blocks found a way between them
 * @param index the index of what workers hold
 * @param keptPlans plans of a decision that are kept for whoever asks
 */
public record RoutingSettings(
        Policy policy,
        int splitFromTokens,
        boolean split,
        Duration ttftTarget,
        Duration itlTarget,
        Prior prior,
        double transferBytesPerSecond,
        Duration transferLatency,
        Duration sessionBonus,
        Duration sessionTtl,
        int maxSessions,
        Duration predictedTtl,
        Duration partedRest,
        int keptPlans,
        Index index) {

    private static final long SECOND = 1_000_000_000L;

    /** Which nodes keep an index. */
    public enum Listening {
        /** From the start. */
        ON,
        /** Never: no cached block counts. */
        OFF,
        /** From the start on a node that serves requests by its role or has no GPU, else from its first request on. */
        AUTO
    }

    /** {@code tandem.routing.index}. */
    public record Index(
            Listening listening,
            int maxWorkers,
            long maxBlocks,
            long maxExpectedBlocks,
            Duration interval,
            Duration retry,
            Duration reportWait,
            Duration readyWait) {
        public Index {
            range("index.max-workers", maxWorkers, 1, 65_536);
            range("index.max-blocks", maxBlocks, 1024, 1 << 28);
            range("index.max-expected-blocks", maxExpectedBlocks, 1024, 1 << 28);
            range("index.interval (ms)", interval.toMillis(), 5, 1000);
            range("index.retry (ms)", retry.toMillis(), 50, 60_000);
            range("index.report-wait (ms)", reportWait.toMillis(), 0, 60_000);
            range("index.ready-wait (ms)", readyWait.toMillis(), 0, 600_000);
        }

        private static Index from(Config c) {
            return new Index(
                    listening(c.getString("listen")),
                    c.getInt("max-workers"),
                    c.getLong("max-blocks"),
                    c.getLong("max-expected-blocks"),
                    c.getDuration("interval"),
                    c.getDuration("retry"),
                    c.getDuration("report-wait"),
                    c.getDuration("ready-wait"));
        }

        private static Listening listening(String text) {
            return switch (text) {
                case "on", "true" -> Listening.ON;
                case "off", "false" -> Listening.OFF;
                case "auto" -> Listening.AUTO;
                default ->
                    throw new IllegalArgumentException(
                            "tandem.routing.index.listen must be on, off or auto, not '" + text + "'");
            };
        }
    }

    /** What chooses. */
    public enum Policy {
        /** {@link CostPolicy}. */
        COST,
        /** {@link RoutingPolicy}. */
        LEAST_LOADED
    }

    /** Step times before anything was measured. */
    public record Prior(Duration step, Duration promptToken, Duration contextToken) {
        /** Of measured times: the same step takes now more, now less, by about this share. */
        private static final double NOISE_SHARE = 0.2;

        public Prior {
            range("prior.step (ns)", step.toNanos(), 1, SECOND);
            range("prior.prompt-token (ns)", promptToken.toNanos(), 1, SECOND);
            range("prior.context-token (ns)", contextToken.toNanos(), 0, SECOND);
        }

        public StepTimeModel newModel(int stepTokens) {
            return new StepTimeModel(
                    stepTokens,
                    (double) step.toNanos(),
                    (double) promptToken.toNanos(),
                    (double) contextToken.toNanos(),
                    NOISE_SHARE);
        }
    }

    public RoutingSettings {
        range("split-from-tokens", splitFromTokens, 1, 1_000_000);
        range("transfer-latency (ms)", transferLatency.toMillis(), 0, 60_000);
        range("session-bonus (ms)", sessionBonus.toMillis(), 0, 60_000);
        range("session-ttl (ms)", sessionTtl.toMillis(), 0, 86_400_000);
        range("max-sessions", maxSessions, 1, 10_000_000);
        range("kept-plans", keptPlans, 1, 1024);
        range("predicted-ttl (ms)", predictedTtl.toMillis(), 100, 600_000);
        range("parted-rest (ms)", partedRest.toMillis(), 0, 3_600_000);
        if (!(transferBytesPerSecond > 0)) {
            throw new IllegalArgumentException("tandem.routing.transfer-bytes-per-second must be above 0");
        }
        if (!ttftTarget.isPositive() || !itlTarget.isPositive()) {
            throw new IllegalArgumentException("tandem.routing.ttft-target and itl-target must be above 0");
        }
    }

    private static void range(String key, long value, long min, long max) {
        SettingRange.check("tandem.routing." + key, value, min, max);
    }

    public static RoutingSettings from(Config root) {
        Config c = root.getConfig("tandem.routing");
        return new RoutingSettings(
                policy(c.getString("policy")),
                c.getInt("split-from-tokens"),
                c.getBoolean("split"),
                c.getDuration("ttft-target"),
                c.getDuration("itl-target"),
                new Prior(
                        c.getDuration("prior.step"),
                        c.getDuration("prior.prompt-token"),
                        c.getDuration("prior.context-token")),
                (double) c.getBytes("transfer-bytes-per-second"),
                c.getDuration("transfer-latency"),
                c.getDuration("session-bonus"),
                c.getDuration("session-ttl"),
                c.getInt("max-sessions"),
                c.getDuration("predicted-ttl"),
                c.getDuration("parted-rest"),
                c.getInt("kept-plans"),
                Index.from(c.getConfig("index")));
    }

    private static Policy policy(String text) {
        return switch (text) {
            case "cost" -> Policy.COST;
            case "least-loaded" -> Policy.LEAST_LOADED;
            default ->
                throw new IllegalArgumentException(
                        "tandem.routing.policy must be cost or least-loaded, not '" + text + "'");
        };
    }
}
