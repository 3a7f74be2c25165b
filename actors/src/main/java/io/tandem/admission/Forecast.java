package io.tandem.admission;

/**
 * What would happen to a request that is sent to its best GPUs now. Times in nanoseconds.
 *
 * @param workers live workers; 0 = nobody serves the model
 * @param credible whether times of prompts were learned; else only {@code workers} says something
 * @param idle whether its GPUs have nothing to do
 * @param decodeGpu where it would decode
 * @param waitNanos until its prompt starts there
 * @param ttftNanos until its first token, {@code waitNanos} included
 * @param workNanos GPU time of its prompt
 * @param uncachedTokens of its prompt
 * @param itlNanos between tokens with all that decodes there or will, itself included; 0 = not learned yet
 * @param outputNanos GPU time of its output, beside others
 */
public record Forecast(
        int workers,
        boolean credible,
        boolean idle,
        String decodeGpu,
        double waitNanos,
        double ttftNanos,
        double workNanos,
        int uncachedTokens,
        double itlNanos,
        double outputNanos) {

    /** Nobody serves the model. */
    public static Forecast nobody() {
        return cold(0);
    }

    /** Workers are there and nothing is known of their speed. */
    public static Forecast cold(int workers) {
        return new Forecast(workers, false, false, "", 0, 0, 0, 0, 0, 0);
    }
}
