package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.TandemClient.Generation;
import io.tandem.TandemClient.GenerationObserver;
import io.tandem.engine.FinishReason;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Flow;
import org.junit.jupiter.api.Test;

/** What foreign code may do wrong, and what becomes of the generation then. */
class EventPublisherTest {
    private final List<String> heard = new ArrayList<>();
    private GenerationObserver running;
    private int cancels;
    private boolean throwing;
    private Flow.Subscription subscription;

    private final Flow.Subscriber<GenerationEvent> subscriber = new Flow.Subscriber<>() {
        @Override
        public void onSubscribe(Flow.Subscription s) {
            subscription = s;
        }

        @Override
        public void onNext(GenerationEvent event) {
            heard.add(
                    event instanceof GenerationEvent.Tokens t
                            ? t.text()
                            : event.getClass().getSimpleName());
            if (throwing) {
                throw new IllegalStateException("a subscriber must not throw");
            }
        }

        @Override
        public void onError(Throwable e) {
            heard.add(e.getMessage());
        }

        @Override
        public void onComplete() {
            heard.add("complete");
        }
    };

    private void subscribe() {
        new EventPublisher(observer -> {
                    running = observer;
                    return generation();
                })
                .subscribe(subscriber);
    }

    private Generation generation() {
        return new Generation() {
            @Override
            public String requestId() {
                return "r";
            }

            @Override
            public void cancel() {
                cancels++;
            }
        };
    }

    private void token(String text) {
        running.onEvent(new GenerationEvent.Tokens(text, new int[] {1}, List.of()));
    }

    private static GenerationEvent finished() {
        return new GenerationEvent.Finished("", FinishReason.STOP, null);
    }

    @Test
    void shouldMergeWhatASlowSubscriberHasNotTaken() {
        subscribe();
        token("a");
        token("b");
        subscription.request(1);
        token("c");
        running.onEvent(finished());
        subscription.request(9);
        assertEquals(List.of("ab", "c", "Finished", "complete"), heard);
        assertEquals(0, cancels);
    }

    @Test
    void shouldCancelForASubscriberThatThrows() {
        subscribe();
        throwing = true;
        subscription.request(5);
        token("a");
        token("b");
        running.onEvent(finished());
        assertEquals(List.of("a"), heard);
        assertEquals(1, cancels);
    }

    @Test
    void shouldCancelForASubscriberThatThrowsWhileItAsks() {
        subscribe();
        token("a");
        throwing = true;
        subscription.request(5);
        token("b");
        assertEquals(List.of("a"), heard);
        assertEquals(1, cancels);
    }

    @Test
    void shouldCancelForASubscriberThatAsksForNothing() {
        subscribe();
        token("a");
        subscription.request(0);
        token("b");
        assertEquals(List.of("request(0): ask for at least one"), heard);
        assertEquals(1, cancels);
    }

    @Test
    void shouldCancelForAnObserverThatThrows() {
        GuardedObserver guarded = new GuardedObserver(
                "r",
                new GenerationObserver() {
                    @Override
                    public void onEvent(GenerationEvent event) {
                        heard.add("event");
                        throw new AssertionError("an observer must not throw");
                    }

                    @Override
                    public void onError(GenerationException error) {
                        heard.add("error");
                    }
                },
                () -> cancels++,
                () -> heard.add("over"));
        guarded.onEvent(new GenerationEvent.Started("r", new int[0]));
        guarded.onEvent(finished());
        assertEquals(List.of("event", "over"), heard);
        assertEquals(1, cancels);
    }

    @Test
    void shouldTellWhatStartRefuses() {
        new EventPublisher(observer -> {
                    throw new GenerationException(GenerationException.Kind.OVERLOADED, "full");
                })
                .subscribe(subscriber);
        assertEquals(List.of("full"), heard);
        assertEquals(0, cancels);
    }

    @Test
    void shouldTellOfAStartThatFails() {
        new EventPublisher(observer -> {
                    throw new IllegalStateException("no tokenizer");
                })
                .subscribe(subscriber);
        assertEquals(List.of("cannot start: java.lang.IllegalStateException: no tokenizer"), heard);
    }
}
