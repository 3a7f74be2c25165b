package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.GenerationException.Kind;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.TestWorker;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Whose fault it is when a worker does not do what an operator wants. */
class OperatorRefusalTest {
    @Test
    void shouldBlameTheOperatorForAnUnknownNameOnly() {
        List<WorkerDirectory.Entry> workers = List.of(
                TestWorker.named("lives").live(), TestWorker.named("lost").lost());
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
