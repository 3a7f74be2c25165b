package io.tandem.compute;

/**
 * What a forward pass leaves behind, by sequence index of the batch. A backend either writes logits (host sampling) or,
 * when {@link ComputeBackend#choosesTokens()}, the token itself.
 */
public final class ForwardOutput {
    /** Logits after the last token of each sequence that wanted them; shape [maxSequences][vocabSize], or empty rows. */
    public final float[][] logits;

    /** Tokens chosen by the backend; shape [maxSequences]. */
    public final int[] tokens;

    public ForwardOutput(int maxSequences, int vocabSize, boolean withLogits) {
        logits = new float[maxSequences][withLogits ? vocabSize : 0];
        tokens = new int[maxSequences];
    }
}
