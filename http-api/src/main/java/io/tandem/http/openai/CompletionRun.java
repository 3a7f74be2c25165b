package io.tandem.http.openai;

import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationRequest;
import io.tandem.TandemClient;
import io.tandem.TandemClient.Generation;
import io.tandem.engine.FinishReason;
import io.tandem.http.admin.HttpMetrics;
import io.tandem.http.admin.StatusJson;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Responses;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * The generations of one request. It is over when all choices ended, when one failed, or when it was cancelled; then
 * nothing more reaches the sink and {@code whenOver} ran, once. Safe for any thread.
 */
final class CompletionRun {

    private final TandemClient client;
    private final List<GenerationRequest> requests;
    private final HttpMetrics metrics;
    private final Runnable whenOver;
    private final AtomicReferenceArray<Generation> generations;
    private final AtomicInteger unfinished;
    private final AtomicBoolean over = new AtomicBoolean();
    private final CompletableFuture<Void> left = new CompletableFuture<>();
    private final long arrivalNanos;

    /** @param arrivalNanos when the request came, {@link System#nanoTime()} */
    CompletionRun(
            TandemClient client,
            List<GenerationRequest> requests,
            HttpMetrics metrics,
            long arrivalNanos,
            Runnable whenOver) {
        this.client = client;
        this.requests = requests;
        this.metrics = metrics;
        this.arrivalNanos = arrivalNanos;
        this.whenOver = whenOver;
        this.generations = new AtomicReferenceArray<>(requests.size());
        this.unfinished = new AtomicInteger(requests.size());
    }

    /**
     * Starts all choices.
     *
     * @return the id of the first, which is the request's
     * @throws ApiException when one is refused at once; then none runs
     */
    String start(ChoiceSink sink) {
        String requestId = "";
        for (int i = 0; i < requests.size() && !over.get(); i++) {
            try {
                Generation generation = client.start(requests.get(i), new Choice(i, sink));
                generations.set(i, generation);
                requestId = i == 0 ? generation.requestId() : requestId;
                if (over.get()) {
                    generation.cancel();
                }
            } catch (RuntimeException e) {
                cancel();
                throw Responses.asApiException(e);
            }
        }
        return requestId;
    }

    /** Ends all choices; idempotent. Answers whether it was still running. */
    boolean cancel() {
        if (!end()) {
            return false;
        }
        for (int i = 0; i < generations.length(); i++) {
            Generation generation = generations.get(i);
            if (generation != null) {
                generation.cancel();
            }
        }
        return true;
    }

    /** Ends all choices because nobody is there to read them. */
    void clientLeft() {
        if (cancel()) {
            metrics.disconnected();
            left.complete(null);
        }
    }

    /** Completes when the client left before the end, and only then. */
    CompletionStage<Void> left() {
        return left;
    }

    boolean isOver() {
        return over.get();
    }

    private boolean end() {
        if (over.compareAndSet(false, true)) {
            whenOver.run();
            return true;
        }
        return false;
    }

    /** One choice: counts, and passes on what the sink should see. */
    private final class Choice implements TandemClient.GenerationObserver {
        private final int index;
        private final ChoiceSink sink;
        private String requestId = "";
        private long lastNanos;

        Choice(int index, ChoiceSink sink) {
            this.index = index;
            this.sink = sink;
        }

        @Override
        public void onEvent(GenerationEvent event) {
            // Before anything else, for a choice that was cancelled ends when its request is over.
            switch (event) {
                case GenerationEvent.Started started -> requestId = started.requestId();
                case GenerationEvent.Tokens ignored -> {}
                case GenerationEvent.Finished finished ->
                    metrics.ended(StatusJson.lower(finished.reason()), finished.report());
            }
            if (over.get()) {
                return;
            }
            switch (event) {
                case GenerationEvent.Started started -> sink.started(index, started);
                case GenerationEvent.Tokens tokens -> {
                    count(tokens.tokenIds().length);
                    sink.tokens(index, tokens);
                }
                case GenerationEvent.Finished finished -> finish(finished);
            }
        }

        @Override
        public void onError(GenerationException error) {
            // One that was refused before it began has taken nothing.
            if (!requestId.isEmpty()) {
                client.report(requestId).ifPresent(report -> metrics.ended("error", report));
            }
            fail(ApiException.of(error));
        }

        private void finish(GenerationEvent.Finished finished) {
            FinishReason reason = finished.reason();
            if (reason == FinishReason.STOP || reason == FinishReason.LENGTH) {
                metrics.finished(System.nanoTime() - arrivalNanos);
                // The sink last: once it knows, the answer may go out before this thread goes on.
                if (unfinished.decrementAndGet() == 0) {
                    end();
                }
                sink.finished(index, finished);
                return;
            }
            fail(
                    switch (reason) {
                        case DEADLINE -> ApiException.timeout("The generation did not end within its time limit");
                        case CANCELLED -> ApiException.unavailable(1, "The generation was cancelled by the cluster");
                        default -> ApiException.internal("The generation failed on its worker");
                    });
        }

        private void fail(ApiException error) {
            if (cancel()) {
                sink.failed(error);
            }
        }

        private void count(int tokens) {
            if (tokens == 0) {
                return;
            }
            long now = System.nanoTime();
            if (lastNanos == 0) {
                metrics.firstToken(now - arrivalNanos);
            } else {
                metrics.nextTokens(now - lastNanos, tokens);
            }
            lastNanos = now;
        }
    }
}
