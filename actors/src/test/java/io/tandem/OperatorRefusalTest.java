package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.GenerationException.Kind;
import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerFacts;
import io.tandem.worker.WorkerReport;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Whose fault it is when a worker does not do what an operator wants. */
class OperatorRefusalTest {
    private static WorkerDirectory.Entry worker(String gpu, boolean live) {
        WorkerReport report = new WorkerReport(
                gpu,
                "host:1",
                1,
                "model",
                "f",
                "kv",
                new BackendInfo("cpu-scalar", "1 thread", List.of(), true, 1024),
                "ipc",
                false,
                64,
                new EngineStats(EngineRole.DECODE, 0, 0, 0, 0, 0, 0, 40, 40, 0, 0, 0, 0, 0, 0, 0, 0),
                new WorkerFacts(16, 4, 16, 1, 0, null, 0));
        return new WorkerDirectory.Entry(report, live, 0);
    }

    @Test
    void shouldBlameTheOperatorForAnUnknownNameOnly() {
        List<WorkerDirectory.Entry> workers = List.of(worker("lives", true), worker("lost", false));
        GenerationException busy = ClusterClient.notDone("lives", "no answer in time: it is still busy", workers);
        assertEquals(Kind.DEADLINE, busy.kind());
        assertEquals("no answer in time: it is still busy", busy.getMessage());
        assertEquals(
                Kind.UNAVAILABLE,
                ClusterClient.notDone("lost", "no live worker", workers).kind());
        GenerationException unknown = ClusterClient.notDone("none", "no live worker", workers);
        assertEquals(Kind.INVALID_REQUEST, unknown.kind());
        assertEquals("gpu", unknown.param());
    }
}
