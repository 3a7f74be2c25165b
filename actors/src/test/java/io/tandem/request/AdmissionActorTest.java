package io.tandem.request;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.TandemClient.GenerationObserver;
import io.tandem.admission.AdmissionSettings;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.CostSettings;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.StepTimes;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerFacts;
import io.tandem.sampling.SamplingParams;
import io.tandem.worker.TestWorker;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.pekko.actor.testkit.typed.javadsl.ActorTestKit;
import org.apache.pekko.actor.testkit.typed.javadsl.TestProbe;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.Test;

class AdmissionActorTest {
    private static final int GUARD_SECONDS = 60;
    private static final Config CONFIG = ConfigFactory.load();

    private final AdmissionSettings settings = AdmissionSettings.from(CONFIG);
    private final WorkerDirectory directory = new WorkerDirectory();
    private final BlockFeed feed = new BlockFeed(new PrefixIndex(8, 10_000), 1);
    private final RequestRouter router =
            new RequestRouter(directory, feed, RoutingSettings.from(CONFIG), CostSettings.DEFAULT, 7);
    private final LinkedBlockingQueue<GenerationEvent> heard = new LinkedBlockingQueue<>();

    private final GenerationObserver observer = new GenerationObserver() {
        @Override
        public void onEvent(GenerationEvent event) {
            heard.add(event);
        }

        @Override
        public void onError(GenerationException error) {
            throw new AssertionError(error);
        }
    };

    private final AtomicInteger over = new AtomicInteger();
    private final LinkedBlockingQueue<Integer> letIn = new LinkedBlockingQueue<>();

    private final AdmissionServices services = (AdmissionServices) Proxy.newProxyInstance(
            AdmissionServices.class.getClassLoader(),
            new Class<?>[] {AdmissionServices.class},
            (proxy, method, args) -> switch (method.getName()) {
                case "router" -> router;
                case "query" -> query((RequestHub.Launch) args[0]);
                case "onDispatched" -> letIn.add((Integer) args[0]);
                case "onRequestOver" -> {
                    over.incrementAndGet();
                    yield null;
                }
                default -> null;
            });

    private static RouteQuery query(RequestHub.Launch launch) {
        if (launch.session().equals("broken")) {
            throw new IllegalStateException("something that nobody thought of");
        }
        return new RouteQuery(
                launch.requestId(),
                "f",
                launch.spec().promptTokens(),
                8,
                launch.keys(),
                "",
                Set.of(),
                1_000_000_000L,
                50_000_000L,
                50_000_000L);
    }

    private RequestHub.Launch launch(long id, String session) {
        return launch(id, new int[] {5, 6, 7}, PromptKeys.NONE, session);
    }

    private RequestHub.Launch launch(long id, int[] prompt, PromptKeys keys, String session) {
        return new RequestHub.Launch(
                id,
                "r-" + id,
                new SequenceSpec(prompt, prompt.length, 8, SamplingParams.greedy(), new int[] {0}, 0, 0),
                List.of(),
                null,
                keys,
                session,
                settings.classes().getFirst(),
                System.nanoTime(),
                TimeUnit.MINUTES.toNanos(5),
                0,
                Optional.empty(),
                observer);
    }

    /** The supervisor reckons with what is to be computed, prompt by prompt: a mean of all would have none that is long. */
    @Test
    void shouldCountOfAPromptWhatNoCacheHolds() throws InterruptedException {
        WorkerFacts facts = new WorkerFacts(16, 4, 16, 1, 0, StepTimes.NOTHING, 0);
        directory.publish(
                List.of(TestWorker.named("g").maxTokens(4_096).facts(facts).live()));
        int[] prompt = new int[100];
        PromptKeys keys = PromptKeys.of("f", 16, 0, prompt);
        long[] twoBlocks = {1L << 62 | 2L << 32, 0, keys.hashes()[0], keys.hashes()[1]};
        feed.onWorkers(directory.entries(), 0);
        feed.onSnapshot(new BlockFeedMessage.Snapshot("g", 1, 0, 0, 1, twoBlocks), 0);
        ActorTestKit kit = ActorTestKit.create(ConfigFactory.parseString("pekko.actor.provider = local"));
        try {
            TestProbe<RequestMessage> hub = kit.createTestProbe();
            ActorRef<AdmissionActor.Message> door = kit.spawn(AdmissionActor.create(settings, services, hub.getRef()));
            door.tell(new AdmissionActor.Arrive(launch(1, prompt, keys, ""), "tenant"));
            assertEquals(68, letIn.poll(GUARD_SECONDS, TimeUnit.SECONDS));
        } finally {
            kit.shutdownTestKit();
        }
    }

    @Test
    void shouldGoOnTakingRequestsAfterOneThatBreaksTheDoor() throws InterruptedException {
        ActorTestKit kit = ActorTestKit.create(ConfigFactory.parseString("pekko.actor.provider = local"));
        try {
            TestProbe<RequestMessage> hub = kit.createTestProbe();
            ActorRef<AdmissionActor.Message> door = kit.spawn(AdmissionActor.create(settings, services, hub.getRef()));
            door.tell(new AdmissionActor.Arrive(launch(1, "broken"), "tenant"));
            GenerationEvent end = heard.poll(GUARD_SECONDS, TimeUnit.SECONDS);
            assertTrue(
                    end instanceof GenerationEvent.Finished f && f.reason() == FinishReason.CANCELLED,
                    () -> String.valueOf(end));
            assertEquals(1, over.get(), "its place is free");
            door.tell(new AdmissionActor.Arrive(launch(2, ""), "tenant"));
            assertEquals(
                    2,
                    hub.expectMessageClass(RequestHub.Launch.class, Duration.ofSeconds(GUARD_SECONDS))
                            .requestId());
        } finally {
            kit.shutdownTestKit();
        }
    }
}
