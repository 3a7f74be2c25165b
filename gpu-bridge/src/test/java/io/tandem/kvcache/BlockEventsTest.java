package io.tandem.kvcache;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BlockEventsTest {

    /** What a router knows from events alone: key to (parent, position). */
    private static final class Mirror implements BlockEvents.Visitor {
        final TreeMap<Long, List<Long>> blocks = new TreeMap<>();
        int events;

        @Override
        public void stored(long parent, int position, long[] keys, int from, int count) {
            events++;
            for (int i = 0; i < count; i++) {
                long before = i == 0 ? parent : keys[from + i - 1];
                blocks.put(keys[from + i], List.of(before, (long) position + i));
            }
        }

        @Override
        public void removed(long[] keys, int from, int count) {
            events++;
            for (int i = 0; i < count; i++) {
                assertTrue(blocks.remove(keys[from + i]) != null, "removed but never stored");
            }
        }

        @Override
        public void cleared() {
            events++;
            blocks.clear();
        }
    }

    @Test
    void shouldJoinConsecutiveBlocksAndConsecutiveRemovals() {
        List<long[]> taken = new ArrayList<>();
        BlockEvents events = new BlockEvents(64, (words, length) -> taken.add(Arrays.copyOf(words, length)));
        events.stored(0, 0, 11);
        events.stored(11, 1, 12);
        events.stored(12, 2, 13);
        events.stored(99, 3, 14);
        events.removed(13);
        events.removed(12);
        events.stored(11, 1, 12);
        events.flush();
        events.flush();
        assertEquals(1, taken.size());
        assertEquals(2 + 3 + 2 + 1 + 1 + 2 + 2 + 1, taken.getFirst().length);
        Mirror mirror = new Mirror();
        BlockEvents.read(taken.getFirst(), taken.getFirst().length, mirror);
        assertEquals(4, mirror.events);
        assertArrayEquals(new Long[] {11L, 12L, 14L}, mirror.blocks.keySet().toArray(Long[]::new));
        assertEquals(List.of(99L, 3L), mirror.blocks.get(14L));
    }

    /** Prompts of shared prefixes through a small pool; whatever the buffer's size, the events tell all. */
    @ParameterizedTest
    @ValueSource(ints = {16, 17, 40, 4096})
    void shouldTellEverythingWhateverTheBufferHolds(int words) {
        Mirror mirror = new Mirror();
        BlockEvents events = new BlockEvents(words, (array, length) -> BlockEvents.read(array, length, mirror));
        BlockPool pool = new BlockPool(64, events);
        Random random = new Random(words);
        for (int round = 0; round < 3_000; round++) {
            run(pool, random);
            if (random.nextInt(200) == 0) {
                pool.clearCache();
            }
            pool.verify();
            events.flush();
            FindableBlocks truth = pool.findableBlocks();
            TreeMap<Long, List<Long>> expected = new TreeMap<>();
            for (int i = 0; i < truth.keys().length; i++) {
                expected.put(truth.keys()[i], List.of(truth.parents()[i], (long) truth.positions()[i]));
            }
            assertEquals(expected, mirror.blocks, "round " + round);
        }
        assertTrue(pool.evictions() > 1_000);
    }

    /** One sequence: takes what is cached, computes the rest, lets go from the end. */
    private static void run(BlockPool pool, Random random) {
        int[] held = new int[1 + random.nextInt(24)];
        long parent = 0;
        long chain = random.nextInt(4);
        int count = 0;
        while (count < held.length) {
            chain = chain * 0x9E3779B97F4A7C15L + 1 + (random.nextInt(6) == 0 ? random.nextInt(3) : 0);
            int block = pool.find(chain, chain);
            if (block == BlockPool.NONE) {
                block = pool.allocate();
                pool.publish(block, chain, chain, parent, count);
            } else {
                pool.retain(block);
            }
            parent = chain;
            held[count++] = block;
        }
        while (count > 0) {
            pool.release(held[--count]);
        }
    }

    @Test
    void shouldRefuseWordsThatAreNoEvents() {
        Mirror mirror = new Mirror();
        for (long[] bad :
                new long[][] {{0}, {1L << 62 | 5L << 32}, {2L << 62}, {3L << 62 | 1L << 32, 7}, {-1L, 1, 2}}) {
            assertThrows(
                    IllegalArgumentException.class,
                    () -> BlockEvents.read(bad, bad.length, mirror),
                    Arrays.toString(bad));
        }
    }
}
