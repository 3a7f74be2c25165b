package io.tandem.transfer;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class RestingIdleStrategyTest {
    private final AtomicLong now = new AtomicLong(5);
    private final RestingIdleStrategy idle = new RestingIdleStrategy(1_000, 2_000, now::get);

    @Test
    void shouldRestOnlyAfterASecondWithoutTraffic() {
        now.addAndGet(1_000_000_000);
        idle.idle(0);
        assertFalse(idle.resting());
        now.addAndGet(1);
        assertTrue(idle.resting());
        idle.idle(0);
        assertTrue(idle.resting());
        idle.idle(3);
        idle.idle(1);
        idle.idle(1);
        assertFalse(idle.resting());
    }

    @Test
    void shouldTakeSingleCyclesWithWorkForTimers() {
        now.addAndGet(2_000_000_000);
        for (int i = 0; i < 10; i++) {
            idle.idle(1);
            idle.idle(1);
            idle.idle(0);
        }
        assertTrue(idle.resting());
    }

    @Test
    void shouldComeBackFromItsRest() {
        now.addAndGet(2_000_000_000);
        for (int i = 0; i < 100; i++) {
            idle.idle(0);
        }
        assertTrue(idle.resting());
    }

    @Test
    void shouldBeWokenByWhoHasWork() throws InterruptedException {
        RestingIdleStrategy sleepy = new RestingIdleStrategy(1_000, TimeUnit.HOURS.toNanos(1), now::get);
        now.addAndGet(2_000_000_000);
        Thread agent = Thread.ofPlatform().start(sleepy::idle);
        while (agent.isAlive()) {
            sleepy.wake();
            agent.join(1);
        }
        assertFalse(sleepy.resting());
    }
}
