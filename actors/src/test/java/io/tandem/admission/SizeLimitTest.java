package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class SizeLimitTest {
    private static final long SECOND = 1_000_000_000L;

    private final SizeLimit limit = new SizeLimit(0.9, 0.02, 3e9);

    @Test
    void shouldLetEverythingInWhileThereIsRoom() {
        assertTrue(limit.admits(1e12, 0));
        assertTrue(limit.admits(1e12, 100 * SECOND));
    }

    @Test
    void shouldRefuseTheLargestFirst() {
        limit.noRoom(SECOND);
        assertFalse(limit.admits(2.9e9, SECOND));
        assertTrue(limit.admits(2.6e9, SECOND));
    }

    @Test
    void shouldFallOnceAPauseHoweverManyFindNoRoom() {
        for (int i = 0; i < 1000; i++) {
            limit.noRoom(SECOND + i);
        }
        assertEquals(2.7e9, limit.limitNanos(), 1);
        limit.noRoom(2 * SECOND);
        assertEquals(2.43e9, limit.limitNanos(), 1);
    }

    @Test
    void shouldRiseAtOnceWhenWhatItKeepsOutHasRoom() {
        limit.noRoom(SECOND);
        limit.noRoom(2 * SECOND);
        assertFalse(limit.admits(2.9e9, 2 * SECOND));
        limit.roomToSpare(2 * SECOND);
        limit.roomToSpare(2 * SECOND + 1);
        assertFalse(limit.admits(2.9e9, 2 * SECOND), "one step a pause");
        limit.roomToSpare(3 * SECOND);
        assertTrue(limit.admits(2.9e9, 3 * SECOND));
    }

    @Test
    void shouldRiseAgainAndNeverShutCompletely() {
        for (int i = 1; i < 1000; i++) {
            limit.admits(0, i * SECOND);
            limit.noRoom(i * SECOND);
        }
        assertTrue(limit.limitNanos() > 0.01 * 3e9, "small requests still come in");
        assertFalse(limit.admits(1e9, 1000 * SECOND));
        assertTrue(limit.admits(1e12, 1300 * SECOND), "after five minutes with room");
    }

    @Test
    void shouldRefuseSettingsThatMakeNoSense() {
        assertThrows(IllegalArgumentException.class, () -> new SizeLimit(0, 0.02, 1e9));
        assertThrows(IllegalArgumentException.class, () -> new SizeLimit(1.1, 0.02, 1e9));
        assertThrows(IllegalArgumentException.class, () -> new SizeLimit(0.9, 0, 1e9));
    }
}
