package io.tandem.kvcache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BlockPoolTest {

    @Test
    void shouldEvictTheBlockUnusedForLongestAndNeverOneInUse() {
        BlockPool pool = new BlockPool(3);
        int a = cached(pool, 1);
        int b = cached(pool, 2);
        int c = cached(pool, 3);
        pool.retain(pool.find(1, 1));
        pool.release(a);
        assertEquals(b, pool.allocate());
        assertEquals(BlockPool.NONE, pool.find(2, 2));
        assertEquals(c, pool.allocate());
        assertEquals(a, pool.allocate());
        assertEquals(BlockPool.NONE, pool.allocate());
        assertEquals(3, pool.evictions());
        pool.verify();
    }

    private static int cached(BlockPool pool, long content) {
        int block = pool.allocate();
        pool.publish(block, content, content, 0, 0);
        pool.release(block);
        return block;
    }

    @Test
    void shouldKeepTheFirstBlockOfAContentAndFreeTheSecond() {
        BlockPool pool = new BlockPool(4);
        int first = pool.allocate();
        int second = pool.allocate();
        pool.publish(first, 9, 9, 0, 0);
        pool.publish(second, 9, 9, 0, 0);
        assertEquals(first, pool.find(9, 9));
        pool.release(second);
        assertEquals(3, pool.freeBlocks());
        pool.release(first);
        assertEquals(1, pool.cachedBlocks());
        pool.verify();
    }

    @Test
    void shouldRefuseToReleaseOrPublishWhatNobodyHolds() {
        BlockPool pool = new BlockPool(2);
        int block = pool.allocate();
        pool.release(block);
        assertThrows(IllegalStateException.class, () -> pool.release(block));
        assertThrows(IllegalStateException.class, () -> pool.retain(block));
        assertThrows(IllegalStateException.class, () -> pool.publish(block, 1, 1, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> new BlockPool(0));
    }

    /** Against plain maps, with hashes that collide in the table. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void shouldAgreeWithASimpleModel(long seed) {
        Random random = new Random(seed);
        int blocks = 1 + random.nextInt(40);
        BlockPool pool = new BlockPool(blocks);
        Map<Integer, Integer> references = new HashMap<>();
        LinkedHashMap<Integer, Long> idle = new LinkedHashMap<>();
        Map<Long, Integer> contents = new HashMap<>();
        for (int step = 0; step < 5_000; step++) {
            List<Integer> held = new ArrayList<>(references.keySet());
            switch (random.nextInt(4)) {
                case 0 -> {
                    int block = pool.allocate();
                    assertEquals(references.size() == blocks, block == BlockPool.NONE);
                    if (block != BlockPool.NONE) {
                        Long evicted = idle.remove(block);
                        if (evicted != null) {
                            contents.remove(evicted);
                        }
                        references.put(block, 1);
                    }
                }
                case 1 -> {
                    long content = random.nextInt(60);
                    int block = pool.find(content, content * 64);
                    assertEquals(contents.getOrDefault(content, BlockPool.NONE), block);
                    if (block != BlockPool.NONE) {
                        pool.retain(block);
                        idle.remove(block);
                        references.merge(block, 1, Integer::sum);
                    }
                }
                case 2 -> {
                    if (!held.isEmpty()) {
                        int block = held.get(random.nextInt(held.size()));
                        pool.release(block);
                        if (references.merge(block, -1, Integer::sum) == 0) {
                            references.remove(block);
                            contents.forEach((content, b) -> {
                                if (b == block) {
                                    idle.put(block, content);
                                }
                            });
                        }
                    }
                }
                default -> {
                    if (!held.isEmpty()) {
                        int block = held.get(random.nextInt(held.size()));
                        long content = random.nextInt(60);
                        pool.publish(block, content, content * 64, 0, 0);
                        if (!contents.containsValue(block)) {
                            contents.putIfAbsent(content, block);
                        }
                    }
                }
            }
            pool.verify();
            assertEquals(idle.size(), pool.cachedBlocks());
            assertEquals(blocks - references.size(), pool.availableBlocks());
        }
        assertTrue(pool.evictions() > 0);
    }

    @Test
    void shouldHashEqualPrefixesEquallyAndNothingElse() {
        BlockHash one = BlockHash.of("model", 4);
        BlockHash two = BlockHash.of("model", 4);
        int[] tokens = {1, 2, 3, 4, 5, 6, 7, 8};
        one.root(0);
        one.next(tokens, 0);
        one.next(tokens, 4);
        two.root(0);
        two.next(tokens, 0);
        long low = two.low();
        long[] state = new long[BlockHash.STATE_WORDS];
        two.save(state);
        two.root(0);
        two.restore(state);
        two.next(tokens, 4);
        assertEquals(one.high(), two.high());
        assertEquals(one.low(), two.low());
        two.root(7);
        two.next(tokens, 0);
        assertNotEquals(low, two.low(), "another tenant's salt");
        two.root(0);
        two.next(tokens, 4);
        assertNotEquals(one.low(), two.low(), "the same tokens after another prefix");
        BlockHash other = BlockHash.of("another model", 4);
        other.root(0);
        other.next(tokens, 0);
        assertNotEquals(low, other.low(), "another model");
    }
}
