package io.tandem.routing;

/**
 * What one worker has learned of its own step times, for its routers: the coefficients of {@link StepTimeModel}'s two
 * regressions, in nanoseconds, and how many steps they rest on.
 */
public record StepTimes(double[] decode, double[] prefill, long decodeSamples, long prefillSamples) {
    public static final StepTimes NOTHING = new StepTimes(new double[0], new double[0], 0, 0);

    static final int DECODE_SAMPLES_LEAST = 16;
    static final int PREFILL_SAMPLES_LEAST = 4;

    /** The best that workers which are alike know together: each kind from the one that measured most of it, the first of equals. */
    public static StepTimes mostMeasured(Iterable<StepTimes> alike) {
        StepTimes decode = NOTHING;
        StepTimes prefill = NOTHING;
        for (StepTimes one : alike) {
            decode = one.decodeSamples > decode.decodeSamples ? one : decode;
            prefill = one.prefillSamples > prefill.prefillSamples ? one : prefill;
        }
        return new StepTimes(decode.decode, prefill.prefill, decode.decodeSamples, prefill.prefillSamples);
    }

    /** Whether times of decodes rest on enough steps. */
    public boolean decodeKnown() {
        return decodeSamples >= DECODE_SAMPLES_LEAST;
    }

    /** Whether times of prompts rest on enough steps. */
    public boolean prefillKnown() {
        return prefillSamples >= PREFILL_SAMPLES_LEAST;
    }
}
