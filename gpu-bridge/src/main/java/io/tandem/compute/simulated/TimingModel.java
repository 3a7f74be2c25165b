package io.tandem.compute.simulated;

import com.typesafe.config.Config;

/**
 * How long one step takes: a roofline with a fixed part, a part per prompt token (compute-bound), a part per sequence
 * (launch and sampling) and a part per token of context read (memory-bound).
 *
 * @param stepMicros fixed cost of a step, microseconds
 * @param promptTokenMicros per prompt token
 * @param sequenceMicros per decoding sequence
 * @param contextTokenNanos per token of KV read, nanoseconds
 */
public record TimingModel(
        double stepMicros, double promptTokenMicros, double sequenceMicros, double contextTokenNanos) {

    /** Reads {@code tandem.simulated}. */
    public static TimingModel from(Config root) {
        Config c = root.getConfig("tandem.simulated");
        return new TimingModel(
                c.getDouble("step-micros"),
                c.getDouble("prompt-token-micros"),
                c.getDouble("sequence-micros"),
                c.getDouble("context-token-nanos"));
    }

    /** Duration of a step in nanoseconds. */
    public long stepNanos(int promptTokens, int decodes, long contextTokens) {
        double micros = stepMicros + promptTokenMicros * promptTokens + sequenceMicros * decodes;
        return (long) (micros * 1000 + contextTokenNanos * contextTokens);
    }
}
