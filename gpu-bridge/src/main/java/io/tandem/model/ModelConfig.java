package io.tandem.model;

import java.util.Arrays;
import java.util.List;

/**
 * The shape of a decoder-only transformer, read from a checkpoint and independent of its file format.
 *
 * @param family architecture name as the checkpoint gives it, lower case ("llama", "mistral", ...)
 * @param vocabSize rows of the embedding
 * @param hiddenSize width of the residual stream
 * @param layers number of transformer blocks
 * @param heads query heads
 * @param kvHeads key/value heads; divides {@code heads}
 * @param headDim width of one head
 * @param intermediateSize width of the MLP
 * @param normEps epsilon of RMSNorm
 * @param ropeTheta base of the rotary embedding
 * @param ropeScaling how rotary frequencies are stretched beyond the original context
 * @param ropeInterleaved true when q/k rows are stored so that rotary pairs are neighbours (GGUF llama), false when the
 *     halves of a head are rotated against each other (Hugging Face)
 * @param maxContextTokens longest sequence the model is made for
 * @param tiedHead true when the output head is the embedding
 * @param bosTokenId id of the begin token, or -1
 * @param eosTokenIds ids that end a generation
 */
public record ModelConfig(
        String family,
        int vocabSize,
        int hiddenSize,
        int layers,
        int heads,
        int kvHeads,
        int headDim,
        int intermediateSize,
        float normEps,
        double ropeTheta,
        RopeScaling ropeScaling,
        boolean ropeInterleaved,
        int maxContextTokens,
        boolean tiedHead,
        int bosTokenId,
        List<Integer> eosTokenIds) {

    public ModelConfig {
        if (vocabSize <= 0 || hiddenSize <= 0 || layers <= 0 || heads <= 0 || kvHeads <= 0 || headDim <= 0) {
            throw new IllegalArgumentException("a model dimension is not positive: vocab " + vocabSize + ", hidden "
                    + hiddenSize + ", layers " + layers + ", heads " + heads + "/" + kvHeads + " of " + headDim);
        }
        if (intermediateSize <= 0 || maxContextTokens <= 0) {
            throw new IllegalArgumentException(
                    "a model dimension is not positive: MLP " + intermediateSize + ", context " + maxContextTokens);
        }
        if (heads % kvHeads != 0) {
            throw new IllegalArgumentException("heads " + heads + " is not a multiple of kv heads " + kvHeads);
        }
        eosTokenIds = List.copyOf(eosTokenIds);
    }

    /** What its family adds to the plain Llama. */
    public ModelFamily traits() {
        return ModelFamily.of(family);
    }

    /** Width of all query heads together. */
    public int queryWidth() {
        return heads * headDim;
    }

    /** Width of all key (or value) heads together. */
    public int kvWidth() {
        return kvHeads * headDim;
    }

    public int[] eosTokenIdArray() {
        return eosTokenIds.stream().mapToInt(Integer::intValue).toArray();
    }

    @Override
    public String toString() {
        return family + " " + layers + "x" + hiddenSize + ", heads " + heads + "/" + kvHeads + "x" + headDim
                + ", vocab " + vocabSize + ", eos " + Arrays.toString(eosTokenIdArray());
    }
}
