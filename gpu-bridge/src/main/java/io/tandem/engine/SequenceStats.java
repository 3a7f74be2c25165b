package io.tandem.engine;

/**
 * What one sequence cost on this engine.
 *
 * @param cachedTokens prompt tokens found in the prefix cache
 * @param computedTokens tokens run through the model, recomputation after preemption included
 * @param preemptions times it lost its blocks
 * @param queueNanos from submission to its first step
 * @param runNanos from its first step to its end
 */
public record SequenceStats(int cachedTokens, int computedTokens, int preemptions, long queueNanos, long runNanos) {
    public static final SequenceStats NONE = new SequenceStats(0, 0, 0, 0, 0);
}
