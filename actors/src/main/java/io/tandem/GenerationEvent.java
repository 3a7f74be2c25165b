package io.tandem;

import io.tandem.engine.FinishReason;
import java.util.List;

/** What a generation emits, in order: one {@link Started}, any number of {@link Tokens}, one {@link Finished}. */
public sealed interface GenerationEvent {

    /**
     * The request was accepted.
     *
     * @param requestId unique in the cluster
     * @param promptTokens the ids the prompt became
     */
    record Started(String requestId, int[] promptTokens) implements GenerationEvent {}

    /**
     * New output.
     *
     * @param text text that is certain by now; may be empty while a character or a stop text is incomplete
     * @param tokenIds ids of the new tokens
     * @param logprobs one entry a token when log-probabilities were asked for, else empty
     */
    record Tokens(String text, int[] tokenIds, List<TokenLogprob> logprobs) implements GenerationEvent {}

    /**
     * The end.
     *
     * @param text the last piece of text
     * @param reason why it ended; never PREFILLED
     * @param report what it took
     */
    record Finished(String text, FinishReason reason, RequestReport report) implements GenerationEvent {}

    /** Log-probability of a chosen token and of the most likely ones at its place. */
    record TokenLogprob(int tokenId, float logprob, int[] topIds, float[] topLogprobs) {}
}
