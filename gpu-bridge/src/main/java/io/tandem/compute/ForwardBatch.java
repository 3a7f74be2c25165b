package io.tandem.compute;

import io.tandem.sampling.SamplingParams;

/**
 * One forward pass over several sequences, flat and reusable: the engine fills it anew for each step and allocates
 * nothing. Tokens of a sequence are consecutive; sequence {@code s} has the tokens
 * {@code [tokenStart[s], tokenStart[s] + tokenCount[s])} and {@code contextStart[s]} tokens already in its KV blocks, so
 * token {@code i} of it stands at position {@code contextStart[s] + i}.
 */
public final class ForwardBatch {
    private static final SamplingParams GREEDY = SamplingParams.greedy();

    public final int maxTokens;
    public final int maxSequences;

    /** Sequences in this pass. */
    public int sequences;

    /** Tokens in this pass over all sequences. */
    public int tokens;

    /**
     * Shape [maxTokens]. An id below 0 stands for a token that the pass before this one is still to choose: {@code -1 -
     * slot} of its sequence. Only backends that overlap passes see one.
     */
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

    /** Names of the sequences, for backends that keep state by sequence. Shape [maxSequences]. */
    public final long[] keys;

    /**
     * A number below the engine's limit of sequences that a sequence has to itself from its first step to its last, for
     * backends that keep state by sequence. Shape [maxSequences].
     */
    public final int[] slots;

    /** How each sequence chooses its next token, for backends that do it themselves. Shape [maxSequences]. */
    public final SamplingParams[] samplings;

    /** Tokens of each sequence's prompt; what follows counts as output. Shape [maxSequences]. */
    public final int[] promptTokens;

    /** All tokens of each sequence so far, those of this pass included; borrowed like the block tables. */
    public final int[][] histories;

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
        keys = new long[maxSequences];
        slots = new int[maxSequences];
        samplings = new SamplingParams[maxSequences];
        promptTokens = new int[maxSequences];
        histories = new int[maxSequences][];
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

    /** Adds tokens of a sequence that nobody else knows: slot and key are its index, its choice is greedy. */
    public void add(int[] source, int from, int count, int[] blockTable, boolean logits) {
        add(source, from, count, blockTable, logits, sequences, sequences, GREEDY, from + count);
    }

    /** Adds {@code count} tokens from {@code source[from..]}, continuing a sequence that has {@code from} tokens in KV. */
    public void add(
            int[] source,
            int from,
            int count,
            int[] blockTable,
            boolean logits,
            long key,
            int slot,
            SamplingParams sampling,
            int prompt) {
        int s = sequences++;
        tokenStart[s] = tokens;
        tokenCount[s] = count;
        contextStart[s] = from;
        wantsLogits[s] = logits;
        blockTables[s] = blockTable;
        keys[s] = key;
        slots[s] = slot;
        samplings[s] = sampling;
        promptTokens[s] = prompt;
        histories[s] = source;
        System.arraycopy(source, from, tokenIds, tokens, count);
        for (int i = 0; i < count; i++) {
            positions[tokens + i] = from + i;
        }
        tokens += count;
    }
}
