package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.CostSettings;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.Routed;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.StepTimes;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerFacts;
import io.tandem.worker.TestWorker;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;

class AdmissionDoorTest {
    private static final Config CONFIG = ConfigFactory.parseString("tandem.admission.cold-requests-per-worker = 1")
            .withFallback(ConfigFactory.load());

    private final WorkerDirectory directory = new WorkerDirectory();
    private final RequestRouter router = new RequestRouter(
            directory,
            new BlockFeed(new PrefixIndex(8, 10_000), 1),
            RoutingSettings.from(CONFIG),
            CostSettings.DEFAULT,
            7);
    private final List<String> left = new ArrayList<>();
    private boolean broken;

    private final AdmissionDoor.Exits<Long> exits = new AdmissionDoor.Exits<>() {
        @Override
        public void dispatched(Long id, Optional<Routed> route, long queuedNanos) {
            left.add(id + " dispatched");
        }

        @Override
        public void refused(Long id, Verdict.Reject verdict) {
            left.add(id + " refused");
        }

        @Override
        public void expired(Long id, long queuedNanos) {
            left.add(id + " expired");
        }

        @Override
        public void cancelled(Long id) {
            left.add(id + " cancelled");
        }
    };

    private RouteQuery query(long id) {
        if (broken && id == 3) {
            throw new IllegalStateException("something that nobody thought of");
        }
        return new RouteQuery(id, "f", 8, 4, PromptKeys.NONE, "", Set.of(), 1_000_000_000L, 50_000_000L, 50_000_000L);
    }

    /** The router outlives the door: what was booked there for a request that never left would count for ever. */
    @Test
    void shouldEndTheBookingsOfADoorThatIsGivenUp() {
        directory.publish(List.of(TestWorker.named("g")
                .maxTokens(4_096)
                .facts(new WorkerFacts(16, 4, 16, 1, 0, StepTimes.NOTHING, 0))
                .live()));
        AdmissionSettings settings = AdmissionSettings.from(CONFIG);
        AdmissionDoor<Long> door = new AdmissionDoor<>(settings, router, this::query, exits);
        for (long id = 1; id <= 3; id++) {
            door.arrive(id, new Applicant(id, "t", settings.classes().getFirst(), 8, 4, 0, 60_000_000_000L), 0);
        }
        assertEquals(List.of("1 dispatched"), left);
        broken = true;
        router.over(1, 1);
        door.ended(1, 4, true);
        assertThrows(IllegalStateException.class, () -> door.pump(1));
        assertFalse(router.outlook(query(4), 1).orElseThrow().idle(), "the second is booked");
        door.abandon(1);
        assertEquals(List.of("1 dispatched", "2 cancelled", "3 cancelled"), left);
        assertTrue(router.outlook(query(4), 1).orElseThrow().idle(), "its booking stays");
    }
}
