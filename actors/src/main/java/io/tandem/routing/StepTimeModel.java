package io.tandem.routing;

/**
 * How long a worker's next engine steps will take, learned from its finished ones: decode time over sequences and context,
 * and what prompt tokens add to it over tokens, their square and the context before them. One instance a worker; not
 * thread-safe.
 */
public final class StepTimeModel {
    private static final double FORGETTING = 0.998;
    private static final double[] DECODE_TYPICAL = {1, 32, 1e5, 1e10};
    private static final double[] PREFILL_TYPICAL = {1, 4096, 1.6e7, 1.6e7};

    /** Of measured steps: a prior for one device says little about another. */
    private static final double DOUBT_OF_MEASURED = 32;

    private int maxBatchTokens;
    private final double noiseShare;
    private final double[] decodePrior;
    private final OnlineRegression decode;
    private final OnlineRegression prefill;
    private double fullChunkNanos = -1;
    private boolean decodeLearned;
    private boolean prefillLearned;

    /**
     * @param maxBatchTokens prompt tokens a step takes at most
     * @param stepNanos prior: fixed cost of a step
     * @param promptTokenNanos prior: a prompt token
     * @param contextTokenNanos prior: a token of context that a decode reads
     */
    public StepTimeModel(int maxBatchTokens, double stepNanos, double promptTokenNanos, double contextTokenNanos) {
        this(maxBatchTokens, stepNanos, promptTokenNanos, contextTokenNanos, 0);
    }

    /** @param noiseShare how far a step's time is off by chance, as a share of it; 0 = computed times, from 0 to below 1 */
    public StepTimeModel(
            int maxBatchTokens,
            double stepNanos,
            double promptTokenNanos,
            double contextTokenNanos,
            double noiseShare) {
        if (!(noiseShare >= 0 && noiseShare < 1)) {
            throw new IllegalArgumentException("noiseShare must be from 0 to below 1, not " + noiseShare);
        }
        this.maxBatchTokens = maxBatchTokens;
        this.noiseShare = noiseShare;
        double doubt = noiseShare > 0 ? DOUBT_OF_MEASURED : 1;
        decodePrior = new double[] {stepNanos, 0, contextTokenNanos, 0};
        double[] prefillPrior = {stepNanos, promptTokenNanos, 0, 0};
        decode = new OnlineRegression(decodePrior, DECODE_TYPICAL, FORGETTING, doubt);
        prefill = new OnlineRegression(prefillPrior, PREFILL_TYPICAL, FORGETTING, doubt);
    }

    public int maxBatchTokens() {
        return maxBatchTokens;
    }

    /** Takes over what the worker itself has learned, and the prompt tokens a step takes in its present role. */
    public void adopt(StepTimes learned, int stepTokens) {
        if (learned.decodeSamples() > 0) {
            decode.adopt(learned.decode());
        }
        if (learned.prefillSamples() > 0) {
            prefill.adopt(learned.prefill());
        }
        maxBatchTokens = stepTokens;
        fullChunkNanos = -1;
        decodeLearned |= learned.decodeKnown();
        prefillLearned |= learned.prefillKnown();
    }

    /** Whether decode times rest on measurements. */
    public boolean decodeLearned() {
        return decodeLearned || decode.samples() >= StepTimes.DECODE_SAMPLES_LEAST;
    }

    /** Whether times of prompts rest on measurements. */
    public boolean prefillLearned() {
        return prefillLearned || prefill.samples() >= StepTimes.PREFILL_SAMPLES_LEAST;
    }

    /** What has been learned so far. */
    public StepTimes learned() {
        return new StepTimes(decode.coefficients(), prefill.coefficients(), decode.samples(), prefill.samples());
    }

    /** Learns from a finished step. */
    public void observe(long newTokens, long prefixTokens, int decodes, long contextTokens, long durationNanos) {
        double nanos = (double) durationNanos;
        double context = (double) contextTokens;
        double deviation = Math.max(1, noiseShare * nanos);
        if (newTokens == 0 && decodes > 0) {
            decode.observeNoisy(nanos, deviation, decodeFeatures(decodes, context));
        } else if (newTokens > 0) {
            double besideDecodes = nanos - decodeNanos(decodes, context);
            prefill.observeNoisy(besideDecodes, deviation, prefillFeatures((double) newTokens, (double) prefixTokens));
            fullChunkNanos = -1;
        }
    }

    private static double[] decodeFeatures(double decodes, double contextTokens) {
        return new double[] {1, decodes, contextTokens, contextTokens * contextTokens};
    }

    private static double[] prefillFeatures(double tokens, double before) {
        return new double[] {1, tokens, tokens * tokens, tokens * before};
    }

    /** A step of decodes alone; 0 without any. By the prior until it is learned: a curve through a few points may pass below 0. */
    public double decodeNanos(int decodes, double contextTokens) {
        if (decodes == 0) {
            return 0;
        }
        double[] features = decodeFeatures(decodes, contextTokens);
        return Math.max(0, decodeLearned() ? decode.predict(features) : OnlineRegression.sum(decodePrior, features));
    }

    /** What {@code tokens} new prompt tokens behind {@code before} add to a step; 0 without any. */
    public double prefillStepNanos(double tokens, double before) {
        return tokens <= 0 ? 0 : Math.max(0, prefill.predict(prefillFeatures(tokens, before)));
    }

    /** Steps that {@code tokens} prompt tokens take. */
    public double steps(double tokens) {
        return Math.ceil(tokens / maxBatchTokens);
    }

    /** All steps of {@code tokens} prompt tokens together, chunk by chunk. */
    public double prefillNanos(double tokens) {
        if (tokens <= 0) {
            return 0;
        }
        if (fullChunkNanos < 0) {
            fullChunkNanos = prefillStepNanos(maxBatchTokens, 0);
        }
        double chunks = Math.floor(tokens / maxBatchTokens);
        return chunks * fullChunkNanos + prefillStepNanos(tokens - chunks * maxBatchTokens, 0);
    }
}
