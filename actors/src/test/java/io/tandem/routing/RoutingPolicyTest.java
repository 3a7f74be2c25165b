package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.worker.TestWorker;
import io.tandem.worker.WorkerReport;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RoutingPolicyTest {
    private static final WorkerFacts FACTS = new WorkerFacts(512, 64, 16, 4096, 0, StepTimes.NOTHING, 0);

    private final RoutingPolicy policy = new RoutingPolicy(32, true);

    private static WorkerReport worker(String id, EngineRole role, int running) {
        EngineStats stats = new EngineStats(role, 0, running, 0, 0, 0, running, 0, 100, 100, 0, 0, 0, 0, 0, 0, 0);
        return TestWorker.named(id).maxTokens(1000).stats(stats).facts(FACTS).report();
    }

    @Test
    void shouldSplitALongPromptOverTheLeastLoadedOfEachRole() {
        List<WorkerReport> workers = List.of(
                worker("p0", EngineRole.PREFILL, 3),
                worker("p1", EngineRole.PREFILL, 0),
                worker("d0", EngineRole.DECODE, 1),
                worker("d1", EngineRole.DECODE, 5));
        Route route = policy.route(100, workers, gpu -> 0, Set.of()).orElseThrow();
        assertEquals("p1", route.prefillGpu());
        assertEquals("d0", route.decodeGpu());
        assertTrue(route.split());
    }

    @Test
    void shouldNotSplitAShortPrompt() {
        List<WorkerReport> workers = List.of(worker("p0", EngineRole.PREFILL, 0), worker("d0", EngineRole.DECODE, 9));
        Route route = policy.route(31, workers, gpu -> 0, Set.of()).orElseThrow();
        assertEquals("d0", route.decodeGpu());
        assertFalse(route.split());
    }

    @Test
    void shouldCountWorkThatReportsDoNotShowYet() {
        List<WorkerReport> workers = List.of(worker("d0", EngineRole.DECODE, 0), worker("d1", EngineRole.DECODE, 1));
        Route route = policy.route(5, workers, gpu -> gpu.equals("d0") ? 4 : 0, Set.of())
                .orElseThrow();
        assertEquals("d1", route.decodeGpu());
    }

    @Test
    void shouldAvoidWhoRefusedUnlessThereIsNobodyElse() {
        List<WorkerReport> workers = List.of(worker("d0", EngineRole.DECODE, 0), worker("d1", EngineRole.DECODE, 8));
        assertEquals(
                "d1",
                policy.route(5, workers, gpu -> 0, Set.of("d0")).orElseThrow().decodeGpu());
        assertEquals(
                "d0",
                policy.route(5, workers, gpu -> 0, Set.of("d0", "d1"))
                        .orElseThrow()
                        .decodeGpu());
        assertTrue(policy.route(5, List.of(), gpu -> 0, Set.of()).isEmpty());
    }
}
