package io.tandem.supervisor;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineRole;
import org.junit.jupiter.api.Test;

class AdviceLogTest {
    private static RebalancePolicy.Flip flip(String gpu) {
        return new RebalancePolicy.Flip(gpu, EngineRole.DECODE, EngineRole.PREFILL);
    }

    @Test
    void shouldSayTheSameAdviceOnceInAWhile() {
        AdviceLog log = new AdviceLog();
        long repeat = AdviceLog.REPEAT.toNanos();
        assertTrue(log.isNew(flip("gpu-1"), 1));
        assertFalse(log.isNew(flip("gpu-1"), repeat));
        assertTrue(log.isNew(flip("gpu-1"), repeat + 1), "it still holds");
        assertTrue(log.isNew(flip("gpu-2"), repeat + 2), "another one");
        assertTrue(log.isNew(flip("gpu-1"), repeat + 3), "it changed its mind");
    }
}
