package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationRequest;
import io.tandem.GenerationResult;
import io.tandem.Tandem;
import io.tandem.TandemClient;
import io.tandem.engine.FinishReason;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The embedding API on a node with everything in it. */
class EmbeddedClientTest {
    private static final int GUARD_SECONDS = 60;

    private static Tandem tandem;
    private static TandemClient client;
    private static String model;

    @BeforeAll
    static void start() throws InterruptedException {
        tandem = Tandem.start(ConfigFactory.parseMap(Map.of(
                "tandem.node.model.path",
                Golden.modelFile().toString(),
                "tandem.node.gpus",
                List.of(Map.of("id", "embedded-client-0", "role", "mixed")),
                "tandem.engine.kv-memory-bytes",
                "128M",
                "tandem.compute.warm-up",
                "0s")));
        assertTrue(tandem.awaitReady(Duration.ofSeconds(GUARD_SECONDS)));
        client = tandem.client();
        model = client.models().getFirst().name();
    }

    @AfterAll
    static void stop() {
        if (tandem != null) {
            tandem.close();
        }
    }

    private static final class Subscriber implements Flow.Subscriber<GenerationEvent> {
        private final LinkedBlockingQueue<Object> seen = new LinkedBlockingQueue<>();
        private final CompletableFuture<Flow.Subscription> subscription = new CompletableFuture<>();

        @Override
        public void onSubscribe(Flow.Subscription s) {
            subscription.complete(s);
        }

        @Override
        public void onNext(GenerationEvent event) {
            seen.add(event);
        }

        @Override
        public void onError(Throwable error) {
            seen.add(error);
        }

        @Override
        public void onComplete() {
            seen.add("complete");
        }

        Object next() throws InterruptedException {
            Object next = seen.poll(GUARD_SECONDS, TimeUnit.SECONDS);
            assertTrue(next != null, "nothing came");
            return next;
        }
    }

    private static GenerationRequest question(int maxNewTokens) {
        return GenerationRequest.chat(model, "Why do two wheels suffice?", maxNewTokens);
    }

    @Test
    void shouldTakeNoRequestBeforeItIsAMember() {
        try (Tandem alone = Tandem.start(ConfigFactory.parseMap(Map.of(
                "tandem.node.model.path",
                Golden.modelFile().toString(),
                "tandem.node.seeds",
                List.of("127.0.0.1:1"))))) {
            GenerationException refused =
                    assertThrows(GenerationException.class, () -> alone.client().generate(question(1)));
            assertEquals(GenerationException.Kind.UNAVAILABLE, refused.kind());
            assertEquals("this node has not joined the cluster yet", refused.getMessage());
        }
    }

    @Test
    void shouldGiveTheSameTextBlockingAsynchronouslyAndAsAStream() throws Exception {
        GenerationResult blocking = client.generate(question(24));
        assertEquals(FinishReason.LENGTH, blocking.reason());
        assertEquals(24, blocking.tokenIds().length);
        GenerationResult later =
                client.generateAsync(question(24)).toCompletableFuture().get(GUARD_SECONDS, TimeUnit.SECONDS);
        assertEquals(blocking.text(), later.text());

        Subscriber slow = new Subscriber();
        client.stream(question(24)).subscribe(slow);
        StringBuilder text = new StringBuilder();
        int tokens = 0;
        while (true) {
            slow.subscription.join().request(1);
            Object event = slow.next();
            if (event instanceof GenerationEvent.Tokens t) {
                text.append(t.text());
                tokens += t.tokenIds().length;
            } else if (event instanceof GenerationEvent.Finished f) {
                text.append(f.text());
                break;
            } else {
                assertInstanceOf(GenerationEvent.Started.class, event);
            }
        }
        assertEquals("complete", slow.next());
        assertEquals(24, tokens);
        assertEquals(blocking.text(), text.toString());
    }

    @Test
    void shouldEndARequestWhoseSubscriberOrFutureIsCancelled() throws Exception {
        Subscriber subscriber = new Subscriber();
        client.stream(question(2_000)).subscribe(subscriber);
        Flow.Subscription subscription = subscriber.subscription.join();
        subscription.request(3);
        assertInstanceOf(GenerationEvent.Started.class, subscriber.next());
        assertInstanceOf(GenerationEvent.Tokens.class, subscriber.next());
        subscription.cancel();
        CompletableFuture<GenerationResult> future =
                client.generateAsync(question(2_000)).toCompletableFuture();
        future.cancel(true);
        assertThrows(CancellationException.class, future::join);
        Poll.until(
                "no active request",
                () -> client.activeRequests() == 0,
                () -> client.clusterStatus().toString());
        Poll.until(
                "no block in use",
                () -> client.clusterStatus().workers().getFirst().stats().usedBlocks() == 0,
                () -> client.clusterStatus().toString());
    }

    @Test
    void shouldEndARequestWhoseObserverThrowsAndNoOther() throws Exception {
        for (Class<?> at : List.of(GenerationEvent.Started.class, GenerationEvent.Tokens.class)) {
            client.start(question(2_000), new TandemClient.GenerationObserver() {
                @Override
                public void onEvent(GenerationEvent event) {
                    if (at.isInstance(event)) {
                        throw new IllegalStateException("an observer must not throw");
                    }
                }

                @Override
                public void onError(GenerationException error) {
                    throw new IllegalStateException("nor here");
                }
            });
        }
        assertEquals(2, client.generate(question(2)).tokenIds().length);
        Poll.until(
                "no active request",
                () -> client.activeRequests() == 0
                        && client.admission().classes().stream().allMatch(c -> c.running() == 0),
                () -> client.admission().toString());
    }

    @Test
    void shouldRefuseASecondSubscriberAndADemandOfNothing() throws Exception {
        Flow.Publisher<GenerationEvent> stream = client.stream(question(2));
        Subscriber first = new Subscriber();
        Subscriber second = new Subscriber();
        stream.subscribe(first);
        stream.subscribe(second);
        assertInstanceOf(GenerationException.class, second.next());
        first.subscription.join().request(0);
        assertInstanceOf(GenerationException.class, first.next());
    }

    @Test
    void shouldEndAtAStopTextWithoutIt() {
        GenerationResult whole = client.generate(question(24));
        String stop = whole.text().substring(20, 26);
        GenerationRequest request = question(24);
        GenerationResult cut = client.generate(new GenerationRequest(
                model, request.prompt(), 24, request.sampling(), List.of(stop), false, "", Duration.ZERO));
        assertEquals(FinishReason.STOP, cut.reason());
        assertEquals(whole.text().substring(0, whole.text().indexOf(stop)), cut.text());
    }

    @Test
    void shouldRefuseWhatCannotBeServedWithTheFieldAtFault() {
        GenerationException unknown = assertThrows(
                GenerationException.class, () -> client.generate(GenerationRequest.chat("no-such-model", "x", 4)));
        assertEquals(GenerationException.Kind.MODEL_NOT_FOUND, unknown.kind());
        int[] tooMany = new int[20_000];
        GenerationException tooLong = assertThrows(
                GenerationException.class,
                () -> client.generate(new GenerationRequest(
                        model,
                        new GenerationRequest.TokenIds(tooMany),
                        4,
                        question(1).sampling(),
                        List.of(),
                        false,
                        "",
                        Duration.ZERO)));
        assertEquals(GenerationException.Kind.CONTEXT_OVERFLOW, tooLong.kind());
        assertEquals("prompt", tooLong.param());
        GenerationException tooLongChat = assertThrows(
                GenerationException.class,
                () -> client.generate(GenerationRequest.chat(model, "word ".repeat(20_000), 4)));
        assertEquals("messages", tooLongChat.param());
        for (Duration timeout : List.of(Duration.ofSeconds(-1), Duration.ofDays(365L * 300))) {
            GenerationException never = assertThrows(
                    GenerationException.class,
                    () -> client.generate(new GenerationRequest(
                            model, question(1).prompt(), 4, question(1).sampling(), List.of(), false, "", timeout)));
            assertEquals("timeout", never.param());
        }
        NullPointerException nothing =
                assertThrows(NullPointerException.class, () -> question(1).inSession(null));
        assertTrue(nothing.getMessage().startsWith("session"), nothing::getMessage);
        Poll.until("no place that a refused one holds", () -> client.activeRequests() == 0, () -> "");
    }
}
