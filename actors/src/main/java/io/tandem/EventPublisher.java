package io.tandem;

import java.util.ArrayDeque;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A generation as a reactive stream. It starts at the first subscription; a second one is refused. A subscriber that asks
 * slowly gets tokens merged: what waits is at most one merged event, so memory is bounded by the output itself.
 */
final class EventPublisher implements Flow.Publisher<GenerationEvent> {
    private final TandemClient client;
    private final GenerationRequest request;
    private final AtomicBoolean subscribed = new AtomicBoolean();

    EventPublisher(TandemClient client, GenerationRequest request) {
        this.client = client;
        this.request = request;
    }

    @Override
    public void subscribe(Flow.Subscriber<? super GenerationEvent> subscriber) {
        EventSubscription subscription = new EventSubscription(subscriber);
        subscriber.onSubscribe(subscription);
        if (!subscribed.compareAndSet(false, true)) {
            subscription.onError(
                    new GenerationException(GenerationException.Kind.INVALID_REQUEST, "a stream takes one subscriber"));
            return;
        }
        try {
            subscription.running(client.start(request, subscription));
        } catch (GenerationException e) {
            subscription.onError(e);
        }
    }

    private static final class EventSubscription implements Flow.Subscription, TandemClient.GenerationObserver {
        private final Flow.Subscriber<? super GenerationEvent> subscriber;
        private final ArrayDeque<GenerationEvent> waiting = new ArrayDeque<>();
        private TandemClient.Generation generation;
        private GenerationException error;
        private long demand;
        private boolean complete;
        private boolean cancelled;
        private boolean delivering;

        EventSubscription(Flow.Subscriber<? super GenerationEvent> subscriber) {
            this.subscriber = subscriber;
        }

        synchronized void running(TandemClient.Generation started) {
            generation = started;
            if (cancelled) {
                started.cancel();
            }
        }

        @Override
        public void onEvent(GenerationEvent event) {
            synchronized (this) {
                if (event instanceof GenerationEvent.Tokens next
                        && waiting.peekLast() instanceof GenerationEvent.Tokens last) {
                    waiting.pollLast();
                    waiting.add(merged(last, next));
                } else {
                    waiting.add(event);
                }
                complete |= event instanceof GenerationEvent.Finished;
            }
            deliver();
        }

        private static GenerationEvent merged(GenerationEvent.Tokens a, GenerationEvent.Tokens b) {
            int[] ids = java.util.Arrays.copyOf(a.tokenIds(), a.tokenIds().length + b.tokenIds().length);
            System.arraycopy(b.tokenIds(), 0, ids, a.tokenIds().length, b.tokenIds().length);
            var logprobs = new java.util.ArrayList<>(a.logprobs());
            logprobs.addAll(b.logprobs());
            return new GenerationEvent.Tokens(a.text() + b.text(), ids, logprobs);
        }

        @Override
        public void onError(GenerationException e) {
            synchronized (this) {
                error = e;
            }
            deliver();
        }

        @Override
        public void request(long n) {
            synchronized (this) {
                if (n <= 0) {
                    error = new GenerationException(
                            GenerationException.Kind.INVALID_REQUEST, "request(" + n + "): ask for at least one");
                    waiting.clear();
                } else {
                    demand = demand + n < 0 ? Long.MAX_VALUE : demand + n;
                }
            }
            deliver();
        }

        @Override
        public void cancel() {
            synchronized (this) {
                cancelled = true;
                waiting.clear();
                if (generation != null) {
                    generation.cancel();
                }
            }
        }

        /** One thread at a time delivers; the others leave their event to it. */
        private void deliver() {
            synchronized (this) {
                if (delivering) {
                    return;
                }
                delivering = true;
            }
            for (Runnable next = next(); next != null; next = next()) {
                next.run();
            }
        }

        private synchronized Runnable next() {
            if (!cancelled && demand > 0 && !waiting.isEmpty()) {
                demand--;
                GenerationEvent event = waiting.poll();
                return () -> subscriber.onNext(event);
            }
            if (!cancelled && waiting.isEmpty() && error != null) {
                cancelled = true;
                GenerationException e = error;
                return () -> subscriber.onError(e);
            }
            if (!cancelled && waiting.isEmpty() && complete) {
                cancelled = true;
                return subscriber::onComplete;
            }
            delivering = false;
            return null;
        }
    }
}
