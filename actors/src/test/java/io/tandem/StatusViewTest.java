package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import java.util.List;
import org.junit.jupiter.api.Test;

class StatusViewTest {
    private static final BackendInfo CPU = new BackendInfo("cpu-vector", "", List.of(), true, 0);

    private static ClusterStatus.Worker worker(EngineRole role, boolean draining, boolean live) {
        EngineStats stats = new EngineStats(role, 0, 0, 0, 0, 0, 0, 0, 8, 8, 0, 0, 0, 0, 0, 0, 0);
        return new ClusterStatus.Worker("gpu", "host:1", 1, "m", "f", "kv", CPU, "udp", "", draining, live, stats);
    }

    private static String missing(ClusterStatus.Worker... workers) {
        return StatusView.missing(true, List.of(workers), "m");
    }

    @Test
    void shouldBeReadyWhileAnyWorkerServes() {
        for (EngineRole role : EngineRole.values()) {
            assertEquals("", missing(worker(role, false, true)), "requests run whole on " + role);
        }
        assertEquals(
                "",
                missing(worker(EngineRole.PREFILL, false, true), worker(EngineRole.DECODE, false, false)),
                "the other one is lost");
    }

    @Test
    void shouldSayWhyNobodyServes() {
        assertEquals("no worker serves m", missing());
        assertEquals("no worker serves m", missing(worker(EngineRole.MIXED, false, false)));
        assertEquals("every worker of m is drained", missing(worker(EngineRole.MIXED, true, true)));
        assertEquals(
                "this node has not joined the cluster yet",
                StatusView.missing(false, List.of(worker(EngineRole.MIXED, false, true)), "m"));
    }
}
