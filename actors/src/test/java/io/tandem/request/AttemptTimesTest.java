package io.tandem.request;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class AttemptTimesTest {
    private final AttemptTimes times = new AttemptTimes(1_000);

    private void tokens(int count, long first, long gap) {
        for (int i = 0; i < count; i++) {
            assertFalse(times.token(first + i * gap));
        }
    }

    @Test
    void shouldMeasureTheFirstTokenFromTheDecisionAndTheMeanOfTheGaps() {
        assertEquals(0, times.observed().ttftNanos());
        assertTrue(times.token(6_000));
        tokens(7, 6_100, 100);
        assertEquals(5_000, times.observed().ttftNanos());
        assertEquals(0, times.observed().itlNanos(), "seven gaps");
        tokens(1, 7_000, 0);
        assertEquals(125, times.observed().itlNanos());
    }

    @Test
    void shouldNotCountWhatComesFromWhereItMovedTo() {
        assertTrue(times.token(2_000));
        tokens(10, 2_100, 100);
        times.moved();
        tokens(10, 9_000, 1_000);
        assertEquals(100, times.observed().itlNanos());
    }
}
