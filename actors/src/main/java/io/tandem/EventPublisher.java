package io.tandem;

import io.tandem.TandemClient.Generation;
import io.tandem.TandemClient.GenerationObserver;
import java.util.ArrayDeque;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A generation as a reactive stream. It starts at the first subscription; a second one is refused. A subscriber that asks
 * slowly gets tokens merged: what waits is at most one merged event, so memory is bounded by the output itself.
 */
final class EventPublisher implements Flow.Publisher<GenerationEvent> {
    private static final Logger LOG = LoggerFactory.getLogger(EventPublisher.class);

    private final Function<GenerationObserver, Generation> start;
    private final AtomicBoolean subscribed = new AtomicBoolean();

    /** @param start begins the generation */
    EventPublisher(Function<GenerationObserver, Generation> start) {
        this.start = start;
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
            subscription.running(start.apply(subscription));
        } catch (GenerationException e) {
            subscription.onError(e);
        } catch (RuntimeException e) {
            LOG.error("a generation cannot start", e);
            subscription.onError(new GenerationException(GenerationException.Kind.INTERNAL, "cannot start: " + e));
        }
    }

    private static final class EventSubscription implements Flow.Subscription, GenerationObserver {
        private final Flow.Subscriber<? super GenerationEvent> subscriber;
        private final ArrayDeque<GenerationEvent> waiting = new ArrayDeque<>();
        private Generation generation;
        private GenerationException error;
        private long demand;
        private boolean complete;
        private boolean cancelled;
        private boolean delivering;

        EventSubscription(Flow.Subscriber<? super GenerationEvent> subscriber) {
            this.subscriber = subscriber;
        }

        synchronized void running(Generation started) {
            generation = started;
            if (cancelled || error != null) {
                started.cancel();
            }
        }

        @Override
        public void onEvent(GenerationEvent event) {
            synchronized (this) {
                if (cancelled || error != null) {
                    return;
                }
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
                error = error == null ? e : error;
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
                    endGeneration();
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
                endGeneration();
            }
        }

        private void endGeneration() {
            if (generation != null) {
                generation.cancel();
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
                tell(next);
            }
        }

        /** A subscriber that throws must not: it has cancelled by that. */
        private void tell(Runnable signal) {
            try {
                signal.run();
            } catch (RuntimeException | Error e) {
                LOG.warn("a subscriber threw, and is told nothing more", e);
                cancel();
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
