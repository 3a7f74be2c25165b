package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.engine.EngineRole;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.TestWorker;
import java.util.List;
import org.junit.jupiter.api.Test;

class StatusViewTest {

    private static TestWorker worker(String gpu) {
        return TestWorker.named(gpu).role(EngineRole.MIXED);
    }

    private static String unserved(WorkerDirectory.Entry... workers) {
        String fingerprint = worker("any").report().modelFingerprint();
        return StatusView.unserved(List.of(workers), "m", fingerprint);
    }

    @Test
    void shouldBeReadyWhileAnyWorkerServes() {
        for (EngineRole role : EngineRole.values()) {
            assertEquals("", unserved(worker("a").role(role).live()), "requests run whole on " + role);
        }
        assertEquals(
                "",
                unserved(
                        worker("a").role(EngineRole.PREFILL).live(),
                        worker("b").role(EngineRole.DECODE).lost(),
                        worker("c").draining(true).live()),
                "the other ones are lost or drained");
    }

    @Test
    void shouldSayWhyNobodyServes() {
        assertEquals("no worker serves m", unserved());
        assertEquals(
                "no worker serves m; lost: a, b",
                unserved(worker("a").lost(), worker("b").lost()));
        WorkerDirectory.Entry drained = worker("b").draining(true).live();
        assertEquals("every worker of m is drained: b", unserved(drained));
        assertEquals(
                "every worker of m is drained: b; lost: a", unserved(worker("a").lost(), drained));
    }

    /** A node of the same cluster that was given another file is nobody's worker here. */
    @Test
    void shouldNotTakeWorkersOfAnotherModelForItsOwn() {
        List<WorkerDirectory.Entry> others = List.of(worker("a").live());
        assertEquals("no worker serves m; with another model file: a", StatusView.unserved(others, "m", "another"));
    }
}
