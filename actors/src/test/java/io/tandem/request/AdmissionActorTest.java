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
import io.tandem.routing.CostSettings;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerDirectory;
import io.tandem.sampling.SamplingParams;
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
    private final RequestRouter router = new RequestRouter(
            new WorkerDirectory(),
            new BlockFeed(new PrefixIndex(8, 10_000), 1),
            RoutingSettings.from(CONFIG),
            CostSettings.DEFAULT,
            7);
    private final AtomicInteger over = new AtomicInteger();

    private final AdmissionServices services = (AdmissionServices) Proxy.newProxyInstance(
            AdmissionServices.class.getClassLoader(),
            new Class<?>[] {AdmissionServices.class},
            (proxy, method, args) -> switch (method.getName()) {
                case "router" -> router;
                case "query" -> query((RequestHub.Launch) args[0]);
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
                launch.requestId(), "f", 3, 8, PromptKeys.NONE, "", Set.of(), 1_000_000_000L, 50_000_000L, 50_000_000L);
    }

    private RequestHub.Launch launch(long id, String session, GenerationObserver observer) {
        return new RequestHub.Launch(
                id,
                "r-" + id,
                new SequenceSpec(new int[] {5, 6, 7}, 3, 8, SamplingParams.greedy(), new int[] {0}, 0, 0),
                List.of(),
                null,
                PromptKeys.NONE,
                session,
                settings.classes().getFirst(),
                System.nanoTime(),
                TimeUnit.MINUTES.toNanos(5),
                0,
                Optional.empty(),
                observer);
    }

    @Test
    void shouldGoOnTakingRequestsAfterOneThatBreaksTheDoor() throws InterruptedException {
        LinkedBlockingQueue<GenerationEvent> heard = new LinkedBlockingQueue<>();
        GenerationObserver observer = new GenerationObserver() {
            @Override
            public void onEvent(GenerationEvent event) {
                heard.add(event);
            }

            @Override
            public void onError(GenerationException error) {
                throw new AssertionError(error);
            }
        };
        ActorTestKit kit = ActorTestKit.create(ConfigFactory.parseString("pekko.actor.provider = local"));
        try {
            TestProbe<RequestMessage> hub = kit.createTestProbe();
            ActorRef<AdmissionActor.Message> door = kit.spawn(AdmissionActor.create(settings, services, hub.getRef()));
            door.tell(new AdmissionActor.Arrive(launch(1, "broken", observer), "tenant"));
            GenerationEvent end = heard.poll(GUARD_SECONDS, TimeUnit.SECONDS);
            assertTrue(
                    end instanceof GenerationEvent.Finished f && f.reason() == FinishReason.CANCELLED,
                    () -> String.valueOf(end));
            assertEquals(1, over.get(), "its place is free");
            door.tell(new AdmissionActor.Arrive(launch(2, "", observer), "tenant"));
            assertEquals(
                    2,
                    hub.expectMessageClass(RequestHub.Launch.class, Duration.ofSeconds(GUARD_SECONDS))
                            .requestId());
        } finally {
            kit.shutdownTestKit();
        }
    }
}
