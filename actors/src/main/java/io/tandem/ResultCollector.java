package io.tandem;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/** Gathers one generation into a {@link GenerationResult}. Events come from one thread at a time. */
final class ResultCollector implements TandemClient.GenerationObserver {
    private final CompletableFuture<GenerationResult> result = new CompletableFuture<>();
    private final StringBuilder text = new StringBuilder();
    private final List<GenerationEvent.TokenLogprob> logprobs = new ArrayList<>();
    private int[] tokens = new int[64];
    private int count;

    CompletionStage<GenerationResult> result() {
        return result;
    }

    /** Cancelling the caller's future cancels the generation. */
    void running(TandemClient.Generation generation) {
        result.whenComplete((r, e) -> {
            if (result.isCancelled()) {
                generation.cancel();
            }
        });
    }

    @Override
    public void onEvent(GenerationEvent event) {
        switch (event) {
            case GenerationEvent.Started ignored -> {}
            case GenerationEvent.Tokens t -> {
                text.append(t.text());
                logprobs.addAll(t.logprobs());
                for (int id : t.tokenIds()) {
                    if (count == tokens.length) {
                        tokens = Arrays.copyOf(tokens, 2 * count);
                    }
                    tokens[count++] = id;
                }
            }
            case GenerationEvent.Finished f -> {
                text.append(f.text());
                result.complete(new GenerationResult(
                        text.toString(), Arrays.copyOf(tokens, count), List.copyOf(logprobs), f.reason(), f.report()));
            }
        }
    }

    @Override
    public void onError(GenerationException error) {
        result.completeExceptionally(error);
    }
}
