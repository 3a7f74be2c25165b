package io.tandem.routing;

/**
 * What one worker has learned of its own step times, for its routers: the coefficients of {@link StepTimeModel}'s two
 * regressions, in nanoseconds, and how many steps they rest on.
 */
public record StepTimes(double[] decode, double[] prefill, long decodeSamples, long prefillSamples) {
    public static final StepTimes NOTHING = new StepTimes(new double[0], new double[0], 0, 0);
}
