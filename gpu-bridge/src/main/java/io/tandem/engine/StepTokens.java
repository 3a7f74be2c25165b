package io.tandem.engine;

/** The tokens one step chose: parallel arrays, reused from step to step. */
public final class StepTokens {
    /** Entries in use. */
    public int count;

    /** Sequence of each token. */
    public final long[] keys;

    public final int[] tokens;

    /** Index of the token in the output of its sequence, from 0. */
    public final int[] outputIndex;

    /** Log-probability of the chosen token; NaN where none was asked for. */
    public final float[] logprobs;

    /** Alternatives by entry: ids and log-probabilities, or null where none were asked for. */
    public final int[][] topIds;

    public final float[][] topLogprobs;

    public StepTokens(int capacity) {
        keys = new long[capacity];
        tokens = new int[capacity];
        outputIndex = new int[capacity];
        logprobs = new float[capacity];
        topIds = new int[capacity][];
        topLogprobs = new float[capacity][];
    }

    public void clear() {
        count = 0;
    }

    public void add(long key, int token, int index, float logprob, int[] ids, float[] logprobsOfIds) {
        keys[count] = key;
        tokens[count] = token;
        outputIndex[count] = index;
        logprobs[count] = logprob;
        topIds[count] = ids;
        topLogprobs[count] = logprobsOfIds;
        count++;
    }
}
