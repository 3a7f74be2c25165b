package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class PromptShareTest {
    private static final long STEP = 50_000_000;

    private final PromptShare share = new PromptShare();
    private long now = 1_000_000_000L;

    private void steps(int count, double promptNanos) {
        for (int i = 0; i < count; i++) {
            now += STEP;
            share.stepEnded(promptNanos, STEP, now);
        }
    }

    @Test
    void shouldSettleAtTheShareOfTheStepsThatPromptsTook() {
        steps(1000, 0.3 * STEP);
        assertEquals(0.3, share.share(now), 1e-4);
        steps(1000, 0);
        assertTrue(share.share(now) < 1e-3);
    }

    @Test
    void shouldFadeWhileNothingRunsAndCountThePauseWithTheNextStep() {
        steps(1000, STEP);
        assertEquals(1, share.share(now), 1e-4);
        double faded = share.share(now + 4_000_000_000L);
        assertEquals(Math.exp(-1), faded, 1e-4);
        now += 4_000_000_000L;
        share.stepEnded(0, STEP, now);
        assertEquals(faded, share.share(now), 1e-4);
    }

    @Test
    void shouldForgetWhatItWasInAnotherRole() {
        steps(1000, STEP);
        share.roleChanged(now);
        assertEquals(0, share.share(now));
        steps(1000, 0.3 * STEP);
        assertEquals(0.3, share.share(now), 1e-4);
    }

    @Test
    void shouldTakePromptsThatCostNothingForNone() {
        steps(10, -1e9);
        assertEquals(0, share.share(now));
    }
}
