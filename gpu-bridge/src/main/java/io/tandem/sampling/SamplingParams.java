package io.tandem.sampling;

import java.util.Arrays;

/**
 * How the next token is chosen. Randomness is a function of (seed, position of the token in the generation), so a
 * request that is resumed elsewhere continues the very sequence it began.
 *
 * @param temperature 0 = greedy; at most 10
 * @param topK keep the k most likely tokens; 0 = all
 * @param topP keep the smallest set whose probability reaches p, in (0, 1]
 * @param minP keep tokens at least this likely relative to the most likely, in [0, 1]
 * @param repetitionPenalty divides (positive) or multiplies (negative) logits of tokens seen in prompt or output; 1 = off
 * @param presencePenalty subtracted once from tokens already in the output, in [-2, 2]
 * @param frequencyPenalty subtracted per occurrence in the output, in [-2, 2]
 * @param biasTokenIds tokens of the logit bias, parallel to {@code biases}
 * @param biases added to the logits, in [-100, 100]
 * @param seed key of the counter-based randomness
 * @param topLogprobs -1 = no log-probabilities; 0 = the chosen token's; n = the n most likely as well, at most 20
 */
public record SamplingParams(
        float temperature,
        int topK,
        float topP,
        float minP,
        float repetitionPenalty,
        float presencePenalty,
        float frequencyPenalty,
        int[] biasTokenIds,
        float[] biases,
        long seed,
        int topLogprobs) {

    public static final int MAX_TOP_LOGPROBS = 20;
    private static final int[] NO_IDS = {};
    private static final float[] NO_BIASES = {};

    public SamplingParams {
        require(temperature >= 0 && temperature <= 10, "temperature", "in [0, 10]", temperature);
        require(topK >= 0, "top_k", "0 (off) or positive", topK);
        require(topP > 0 && topP <= 1, "top_p", "in (0, 1]", topP);
        require(minP >= 0 && minP <= 1, "min_p", "in [0, 1]", minP);
        require(
                repetitionPenalty > 0 && repetitionPenalty <= 10,
                "repetition_penalty",
                "in (0, 10]",
                repetitionPenalty);
        require(Math.abs(presencePenalty) <= 2, "presence_penalty", "in [-2, 2]", presencePenalty);
        require(Math.abs(frequencyPenalty) <= 2, "frequency_penalty", "in [-2, 2]", frequencyPenalty);
        require(biasTokenIds.length == biases.length, "logit_bias", "one bias a token", biases.length);
        for (float bias : biases) {
            require(Math.abs(bias) <= 100, "logit_bias", "in [-100, 100]", bias);
        }
        require(
                topLogprobs >= -1 && topLogprobs <= MAX_TOP_LOGPROBS,
                "top_logprobs",
                "at most " + MAX_TOP_LOGPROBS,
                topLogprobs);
    }

    /** Greedy decoding: always the most likely token, the lowest id on a tie. */
    public static SamplingParams greedy() {
        return new SamplingParams(0, 0, 1, 0, 1, 0, 0, NO_IDS, NO_BIASES, 0, -1);
    }

    /** Plain sampling at a temperature with a seed. */
    public static SamplingParams of(float temperature, long seed) {
        return new SamplingParams(temperature, 0, 1, 0, 1, 0, 0, NO_IDS, NO_BIASES, seed, -1);
    }

    public boolean isGreedy() {
        return temperature == 0;
    }

    public boolean wantsLogprobs() {
        return topLogprobs >= 0;
    }

    private static void require(boolean ok, String field, String rule, Object value) {
        if (!ok) {
            throw new IllegalArgumentException(field + " must be " + rule + ", not " + value);
        }
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof SamplingParams p
                && temperature == p.temperature
                && topK == p.topK
                && topP == p.topP
                && minP == p.minP
                && repetitionPenalty == p.repetitionPenalty
                && presencePenalty == p.presencePenalty
                && frequencyPenalty == p.frequencyPenalty
                && Arrays.equals(biasTokenIds, p.biasTokenIds)
                && Arrays.equals(biases, p.biases)
                && seed == p.seed
                && topLogprobs == p.topLogprobs;
    }

    @Override
    public int hashCode() {
        return Long.hashCode(seed) * 31 + Float.hashCode(temperature) * 17 + Arrays.hashCode(biasTokenIds);
    }
}
