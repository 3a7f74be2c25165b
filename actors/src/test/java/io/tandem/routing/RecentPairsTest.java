package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RecentPairsTest {
    @Test
    void shouldKnowAPairOneWayForItsTime() {
        RecentPairs pairs = new RecentPairs(100);
        pairs.add("a", "b", 10);
        assertTrue(pairs.contains("a", "b", 109));
        assertFalse(pairs.contains("b", "a", 109));
        assertFalse(pairs.contains("a", "b", 110));
        pairs.add("a", "b", 60);
        assertTrue(pairs.contains("a", "b", 159), "seen again");
        pairs.remove("a", "b");
        assertTrue(pairs.isEmpty());
    }

    @Test
    void shouldKnowNothingWhenItIsToForgetAtOnce() {
        RecentPairs pairs = new RecentPairs(0);
        pairs.add("a", "b", 10);
        assertFalse(pairs.contains("a", "b", 10));
        assertTrue(pairs.isEmpty());
    }

    @Test
    void shouldForgetTheOldestOfTooMany() {
        RecentPairs pairs = new RecentPairs(1_000_000);
        IntStream.range(0, 5_000).forEach(i -> pairs.add("a", "b" + i, i));
        assertEquals(
                4_096,
                IntStream.range(0, 5_000)
                        .filter(i -> pairs.contains("a", "b" + i, 5_000))
                        .count());
        assertTrue(pairs.contains("a", "b4999", 5_000));
    }
}
