package io.tandem.compute;

/**
 * One forward pass over several sequences, flat and reusable: the engine fills it anew for each step and allocates
 * nothing. Tokens of a sequence are consecutive; sequence {@code s} has the tokens
 * {@code [tokenStart[s], tokenStart[s] + tokenCount[s])} and {@code contextStart[s]} tokens already in its KV blocks, so
 * token {@code i} of it stands at position {@code contextStart[s] + i}.
 */
public final class ForwardBatch {
    public final int maxTokens;
    public final int maxSequences;

    /** Sequences in this pass. */
    public int sequences;

    /** Tokens in this pass over all sequences. */
    public int tokens;

    /** Shape [maxTokens]. */
    public final int[] tokenIds;

    /** Position of each token in its sequence, shape [maxTokens]. */
    public final int[] positions;

    /** Shape [maxSequences]. */
    public final int[] tokenStart;

    /** Shape [maxSequences]. */
    public final int[] tokenCount;

    /** Shape [maxSequences]. */
    public final int[] contextStart;

    /** True where the logits after the sequence's last token are wanted. Shape [maxSequences]. */
    public final boolean[] wantsLogits;

    /**
     * Block ids of each sequence; entry {@code p / blockTokens} holds position {@code p}. Covers the new tokens as well.
     * Borrowed from the sequence for the length of the pass; may be longer than needed. Shape [maxSequences][].
     */
    public final int[][] blockTables;

    /** Seed of each sequence's sampler, for backends that choose tokens themselves. Shape [maxSequences]. */
    public final long[] seeds;

    public ForwardBatch(int maxTokens, int maxSequences) {
        this.maxTokens = maxTokens;
        this.maxSequences = maxSequences;
        tokenIds = new int[maxTokens];
        positions = new int[maxTokens];
        tokenStart = new int[maxSequences];
        tokenCount = new int[maxSequences];
        contextStart = new int[maxSequences];
        wantsLogits = new boolean[maxSequences];
        blockTables = new int[maxSequences][];
        seeds = new long[maxSequences];
    }

    public void clear() {
        sequences = 0;
        tokens = 0;
    }

    public boolean isEmpty() {
        return sequences == 0;
    }

    public boolean hasRoomFor(int newTokens) {
        return sequences < maxSequences && tokens + newTokens <= maxTokens;
    }

    /** Adds {@code count} tokens from {@code source[from..]}, continuing a sequence that has {@code from} tokens in KV. */
    public void add(int[] source, int from, int count, int[] blockTable, boolean logits, long seed) {
        int s = sequences++;
        tokenStart[s] = tokens;
        tokenCount[s] = count;
        contextStart[s] = from;
        wantsLogits[s] = logits;
        blockTables[s] = blockTable;
        seeds[s] = seed;
        System.arraycopy(source, from, tokenIds, tokens, count);
        for (int i = 0; i < count; i++) {
            positions[tokens + i] = from + i;
        }
        tokens += count;
    }
}
