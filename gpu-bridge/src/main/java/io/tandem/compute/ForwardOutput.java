package io.tandem.compute;

/**
 * What a forward pass leaves behind, by sequence index of the batch. A backend either writes logits (host sampling) or,
 * when {@link ComputeBackend#choosesTokens()}, the token itself.
 */
public final class ForwardOutput {
    /**
     * Logits after the last token of each sequence that wanted them; shape [maxSequences][vocabSize]. A backend that
     * chooses tokens fills rows only for sequences that want top log-probabilities, and makes them when it first does.
     */
    public final float[][] logits;

    /** Whether the logits of every row are wanted. */
    public final boolean withLogits;

    /** Tokens chosen by the backend; below 0 where the logits held no finite value or a NaN. Shape [maxSequences]. */
    public final int[] tokens;

    /** Log-probabilities of {@link #tokens}; NaN where none was asked for. Shape [maxSequences]. */
    public final float[] logprobs;

    public ForwardOutput(int maxSequences, int vocabSize, boolean withLogits) {
        this.withLogits = withLogits;
        logits = new float[maxSequences][withLogits ? vocabSize : 0];
        tokens = new int[maxSequences];
        logprobs = new float[maxSequences];
    }
}
