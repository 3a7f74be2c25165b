package io.tandem.request;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.RequestReport;
import io.tandem.RouteDecision;
import io.tandem.TandemClient.GenerationObserver;
import io.tandem.admission.ServiceClass;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.model.ModelBundle;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.Route;
import io.tandem.routing.Routed;
import io.tandem.routing.RoutingDecision;
import io.tandem.sampling.SamplingParams;
import io.tandem.tokenizer.IncrementalDetokenizer;
import io.tandem.tokenizer.Tokenizer;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.WorkerMessage;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** The actor around the lifecycle, with workers that are this test. */
class RequestActorTest {
    private static final int GUARD_SECONDS = 60;
    private static final ActorTestKit KIT =
            ActorTestKit.create(ConfigFactory.parseString("pekko.actor.provider = local"));

    private final LinkedBlockingQueue<WorkerMessage.Dispatch> dispatched = new LinkedBlockingQueue<>();
    private final LinkedBlockingQueue<WorkerMessage.CancelWork> cancelled = new LinkedBlockingQueue<>();
    private final LinkedBlockingQueue<Object> observed = new LinkedBlockingQueue<>();
    private final LinkedBlockingQueue<RequestReport> kept = new LinkedBlockingQueue<>();
    private final LinkedBlockingQueue<String> requestsOver = new LinkedBlockingQueue<>();
    private final AtomicInteger transfers = new AtomicInteger();
    private final AtomicInteger attemptsOver = new AtomicInteger();
    private boolean routes = true;
    private boolean decodes = true;
    private volatile boolean readable = true;

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private final RequestServices services = (RequestServices) Proxy.newProxyInstance(
            RequestServices.class.getClassLoader(),
            new Class<?>[] {RequestServices.class},
            (proxy, method, args) -> service(method.getName(), args));

    private Object service(String name, Object[] args) {
        switch (name) {
            case "settings" -> {
                return RequestSettings.from(
                        ConfigFactory.parseString("tandem.request { retry-delay = 10ms, ask-interval = 1m }")
                                .withFallback(ConfigFactory.load()));
            }
            case "route" -> {
                return route();
            }
            case "tellWorker" -> {
                if (args[1] instanceof WorkerMessage.Dispatch d) {
                    dispatched.add(d);
                } else if (args[1] instanceof WorkerMessage.CancelWork c) {
                    cancelled.add(c);
                }
            }
            case "keep" -> kept.add((RequestReport) args[0]);
            case "transferred" -> transfers.incrementAndGet();
            case "attemptOver" -> attemptsOver.incrementAndGet();
            case "onRequestOver" -> requestsOver.add(name);
            default -> {}
        }
        return null;
    }

    private Optional<Routed> route() {
        if (!routes) {
            throw new IllegalStateException("no router");
        }
        return Optional.of(new Routed(
                new Route("g", 1, "g", 1, "test"),
                new RoutingDecision(
                        List.of(new RoutingDecision.Plan("g", "g", 0, 3, 1, 1, 1, 0, 0, 0, 0, attemptsOver.get())),
                        0,
                        "test")));
    }

    private final GenerationObserver observer = new GenerationObserver() {
        @Override
        public void onEvent(GenerationEvent event) {
            observed.add(event);
        }

        @Override
        public void onError(GenerationException error) {
            observed.add(error);
        }
    };

    private Tokenizer tokenizer() {
        IncrementalDetokenizer letters = new IncrementalDetokenizer() {
            @Override
            public String append(int token) {
                return text("x");
            }

            @Override
            public String finish() {
                return text("");
            }

            private String text(String piece) {
                if (!readable) {
                    throw new IllegalStateException("no such token");
                }
                return piece;
            }
        };
        return (Tokenizer) Proxy.newProxyInstance(
                Tokenizer.class.getClassLoader(), new Class<?>[] {Tokenizer.class}, (proxy, method, args) -> {
                    if (!decodes) {
                        throw new IllegalStateException("no detokenizer");
                    }
                    return letters;
                });
    }

    private ActorRef<RequestActor.Message> start() {
        return KIT.spawn(RequestActor.create(
                launch(1), KIT.<RequestMessage>createTestProbe().getRef(), services));
    }

    private RequestHub.Launch launch(long id) {
        ModelBundle model = new ModelBundle("m", Path.of("m"), null, tokenizer(), Optional.empty(), "f", 1);
        return new RequestHub.Launch(
                id,
                "r-" + id,
                new SequenceSpec(new int[] {5, 6, 7}, 3, 8, SamplingParams.greedy(), new int[] {0}, 0, 0),
                List.of(),
                model,
                PromptKeys.NONE,
                "",
                new ServiceClass("default", 1_000_000_000L, 1_000_000_000L, 1, 1, false, 10),
                System.nanoTime(),
                TimeUnit.MINUTES.toNanos(5),
                0,
                Optional.empty(),
                observer);
    }

    private static <T> T next(LinkedBlockingQueue<T> queue) throws InterruptedException {
        T next = queue.poll(GUARD_SECONDS, TimeUnit.SECONDS);
        assertTrue(next != null, "nothing came");
        return next;
    }

    @Test
    void shouldKeepFewDecisionsOfARequestThatWaitsForRoom() throws InterruptedException {
        ActorRef<RequestActor.Message> request = start();
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        int attempt = next(dispatched).target().attempt();
        request.tell(new RequestActor.Token("g", attempt, 9, 0, Float.NaN, null, null));
        assertInstanceOf(GenerationEvent.Tokens.class, next(observed));
        for (int i = 0; i < 50; i++) {
            request.tell(new RequestActor.FromWorker(
                    new RequestMessage.Refused("g", 1, attempt, RefusalReason.NO_BLOCKS, "full")));
            attempt = next(dispatched).target().attempt();
        }
        request.tell(new RequestActor.Cancelled());
        assertInstanceOf(GenerationEvent.Finished.class, next(observed));
        List<RouteDecision> decisions = next(kept).decisions();
        assertEquals(RequestActor.DECISIONS_KEPT, decisions.size());
        assertEquals(0, decisions.getFirst().plan().cost());
        assertEquals(50, decisions.getLast().plan().cost());
        assertEquals(51, attemptsOver.get());
    }

    @Test
    void shouldTakeRequestsAfterAMessageThatTheHubCannotRead() throws InterruptedException {
        ActorRef<RequestMessage> hub = KIT.spawn(RequestHub.create(services));
        hub.tell(launch(1));
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        int[] none = {};
        hub.tell(new RequestMessage.Tokens(
                "g", new long[] {1}, none, none, none, new float[0], new int[0][], new float[0][]));
        GenerationEvent.Finished end = assertInstanceOf(GenerationEvent.Finished.class, next(observed));
        assertEquals(FinishReason.CANCELLED, end.reason());
        next(requestsOver);
        hub.tell(launch(2));
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        hub.tell(new RequestHub.Cancel(2));
        assertInstanceOf(GenerationEvent.Finished.class, next(observed));
        next(requestsOver);
        assertTrue(requestsOver.isEmpty(), "a request was counted twice");
        KIT.stop(hub);
    }

    @Test
    void shouldEndTheBookingOfARequestThatTheHubCannotStart() throws InterruptedException {
        ActorRef<RequestMessage> hub = KIT.spawn(RequestHub.create(services));
        hub.tell(launch(1));
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        hub.tell(launch(1));
        GenerationException refused = assertInstanceOf(GenerationException.class, next(observed));
        assertTrue(refused.getMessage().contains("cannot start"), refused.getMessage());
        next(requestsOver);
        assertEquals(1, attemptsOver.get());
        KIT.stop(hub);
    }

    @Test
    void shouldTellItsObserverWhenItCannotStart() throws InterruptedException {
        decodes = false;
        start();
        GenerationException early = assertInstanceOf(GenerationException.class, next(observed));
        assertEquals(GenerationException.Kind.INTERNAL, early.kind());
        assertTrue(attemptsOver.get() > 0, "its booking stays");

        decodes = true;
        routes = false;
        start();
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        GenerationException late = assertInstanceOf(GenerationException.class, next(observed));
        assertTrue(late.getMessage().contains("no router"), late.getMessage());
        assertEquals("r-1", next(kept).requestId());
    }

    @Test
    void shouldFailARequestWhoseTokenBreaksIt() throws InterruptedException {
        for (int token : new int[] {9, 0}) {
            readable = true;
            ActorRef<RequestActor.Message> request = start();
            assertInstanceOf(GenerationEvent.Started.class, next(observed));
            int attempt = next(dispatched).target().attempt();
            request.tell(new RequestActor.Token("g", attempt, 9, 0, Float.NaN, null, null));
            assertInstanceOf(GenerationEvent.Tokens.class, next(observed));
            readable = false;
            request.tell(new RequestActor.Token("g", attempt, token, 1, Float.NaN, null, null));
            GenerationException end = assertInstanceOf(GenerationException.class, next(observed));
            assertEquals(GenerationException.Kind.INTERNAL, end.kind());
            assertTrue(end.getMessage().contains("no such token"), end.getMessage());
            assertEquals(1, next(cancelled).target().requestId(), "its worker goes on");
            assertEquals("r-1", next(kept).requestId());
        }
    }

    /** A worker that is asked what it has says so again. */
    @Test
    void shouldMeasureATransferOnce() throws InterruptedException {
        ActorRef<RequestActor.Message> request = start();
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        int attempt = next(dispatched).target().attempt();
        for (int i = 0; i < 3; i++) {
            request.tell(new RequestActor.FromWorker(
                    new RequestMessage.KvAdopted("g", 1, attempt, new TransferStats(1, 64, 9, 0))));
        }
        request.tell(new RequestActor.Cancelled());
        assertInstanceOf(GenerationEvent.Finished.class, next(observed));
        assertEquals(1, transfers.get());
    }

    @Test
    void shouldEndARequestWhoseTextHasNoEnd() throws InterruptedException {
        ActorRef<RequestActor.Message> request = start();
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        next(dispatched);
        readable = false;
        request.tell(new RequestActor.Cancelled());
        assertInstanceOf(GenerationException.class, next(observed));
    }

    @Test
    void shouldFailARequestThatNoRouterTakesASecondTime() throws InterruptedException {
        ActorRef<RequestActor.Message> request = start();
        assertInstanceOf(GenerationEvent.Started.class, next(observed));
        int attempt = next(dispatched).target().attempt();
        routes = false;
        request.tell(new RequestActor.FromWorker(
                new RequestMessage.Refused("g", 1, attempt, RefusalReason.NO_BLOCKS, "full")));
        GenerationException end = assertInstanceOf(GenerationException.class, next(observed));
        assertTrue(end.getMessage().contains("no router"), end.getMessage());
    }
}
