package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class SizeGuardTest {
    private static final long SECOND = 1_000_000_000L;

    private final SizeGuard guard = new SizeGuard(new SizeLimit.Settings(0.9, 0.02, 1.5), 2e9, 50e6, 0.95);

    @Test
    void shouldFallOnlyForWhatAnIdleClusterServesInTime() {
        guard.missed(1.95e9, SECOND);
        assertFalse(guard.refuses(0, 1e12, 3e9, 50e6, SECOND), "it was late by itself");
        guard.missed(1.5e9, SECOND);
        assertTrue(guard.refuses(0.5e9, 2.3e9, 3e9, 50e6, SECOND));
        assertFalse(guard.refuses(0.5e9, 2.1e9, 3e9, 50e6, SECOND));
        assertEquals(Math.log(1 / 0.9) / 0.02 * 1e9, guard.untilAdmittedNanos(1e12), 1e6);
    }

    @Test
    void shouldRiseAtOnceWhenWhatIsKeptOutHadRoomToSpare() {
        guard.missed(1e9, SECOND);
        assertTrue(guard.refuses(0.5e9, 2.3e9, 1.1e9, 20e6, SECOND), "no room to spare");
        assertTrue(guard.refuses(0.5e9, 2.3e9, 1.1e9, 20e6, SECOND));
        assertTrue(guard.refuses(0.5e9, 2.3e9, 0.9e9, 48e6, SECOND), "tokens would just be in time");
        assertTrue(guard.refuses(0.5e9, 2.3e9, 0.9e9, 20e6, SECOND));
        assertFalse(guard.refuses(0.5e9, 2.3e9, 0.9e9, 20e6, SECOND), "its size has room now");
    }

    /** Its prompt alone takes more than half of the target, which says nothing of the room that there is. */
    @Test
    void shouldSeeRoomForALargePromptThatHardlyWaits() {
        guard.missed(1.5e9, SECOND);
        assertTrue(guard.refuses(1.2e9, 1.6e9, 1.3e9, 20e6, SECOND), "it waits an eighth of what is left");
        assertTrue(guard.refuses(1.2e9, 1.6e9, 1.3e9, 20e6, SECOND));
        assertTrue(guard.refuses(1.2e9, 1.6e9, 1.25e9, 20e6, SECOND));
        assertFalse(guard.refuses(1.2e9, 1.6e9, 1.25e9, 20e6, SECOND), "its size has room now");
    }
}
