package io.tandem.simulation;

/** What one engine pass computes, for a {@link PassTimer} and for the policies that learn from passes. */
public final class PassShape {
    /** Sequences with prompt tokens in the pass. */
    public int prefillSequences;
    /** Sum of the prompt tokens before this pass. */
    public long prefixTokens;
    /** Sum of the prompt tokens computed in this pass. */
    public long newTokens;
    /** Sum over prompts of new tokens times the mean context they attend to. */
    public double attentionPairs;
    /** Sequences that decode one token. */
    public int decodeSequences;
    /** Sum of their context lengths. */
    public long decodeContextTokens;

    void clear() {
        prefillSequences = 0;
        prefixTokens = 0;
        newTokens = 0;
        attentionPairs = 0;
        decodeSequences = 0;
        decodeContextTokens = 0;
    }

    void addPrefill(int before, int tokens) {
        prefillSequences++;
        prefixTokens += before;
        newTokens += tokens;
        attentionPairs += tokens * (before + tokens * 0.5);
    }

    void addDecode(int context) {
        decodeSequences++;
        decodeContextTokens += context;
    }
}
