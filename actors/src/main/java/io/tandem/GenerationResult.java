package io.tandem;

import io.tandem.engine.FinishReason;
import java.util.List;

/** A whole generation. */
public record GenerationResult(
        String text,
        int[] tokenIds,
        List<GenerationEvent.TokenLogprob> logprobs,
        FinishReason reason,
        RequestReport report) {}
