package io.tandem.engine;

import io.tandem.sampling.SamplingParams;

/**
 * One sequence as an engine sees it.
 *
 * @param tokens prompt ids followed by the ids generated so far (none, unless the sequence is resumed)
 * @param promptTokens how many of {@code tokens} are the prompt; the rest counts as output for penalties, sampling
 *     positions and limits
 * @param maxNewTokens output tokens in all, those already in {@code tokens} included
 * @param sampling how tokens are chosen
 * @param stopTokenIds ids that end the sequence (end-of-sequence ids unless the caller ignores them)
 * @param cacheSalt keeps the prefix cache of tenants apart; 0 = shared
 * @param deadlineNanos by {@link System#nanoTime()} of this JVM; past it the sequence ends with DEADLINE
 */
public record SequenceSpec(
        int[] tokens,
        int promptTokens,
        int maxNewTokens,
        SamplingParams sampling,
        int[] stopTokenIds,
        long cacheSalt,
        long deadlineNanos) {

    public SequenceSpec {
        if (tokens.length == 0) {
            throw new IllegalArgumentException("a sequence needs at least one token");
        }
        if (promptTokens < 1 || promptTokens > tokens.length) {
            throw new IllegalArgumentException("promptTokens " + promptTokens + " of " + tokens.length + " tokens");
        }
        if (maxNewTokens <= tokens.length - promptTokens) {
            throw new IllegalArgumentException("maxNewTokens must exceed the " + (tokens.length - promptTokens)
                    + " tokens generated already, not be " + maxNewTokens);
        }
    }

    /** Output tokens that are already in {@link #tokens()}. */
    public int resumedTokens() {
        return tokens.length - promptTokens;
    }

    /** Output tokens that may still come, at most, once prompt and output are this long. */
    public int newTokens(int contextTokens) {
        return maxNewTokens - (contextTokens - promptTokens);
    }
}
