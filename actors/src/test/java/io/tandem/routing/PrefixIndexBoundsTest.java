package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Where the index may know less than {@link ReferenceIndex}: when it is full, and when hashes collide. Full, it says too little, never
 * too much. In both cases its counts agree with each other, and all memory comes back.
 */
class PrefixIndexBoundsTest {
    private static final int WORKERS = 5;

    private final ReferenceIndex reference = new ReferenceIndex(WORKERS);
    private final PrefixMatch match = new PrefixMatch(WORKERS);

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void aFullIndexSaysTooLittleNeverTooMuch(long seed) {
        int maxBlocks = seed % 2 == 0 ? 200 : 2_000;
        PrefixIndex index = new PrefixIndex(WORKERS, maxBlocks);
        churn(index, seed, ~0L, true);
        assertTrue(index.evictedBlocks() > 0);
        empty(index);
    }

    /** A few bits of hash: different blocks of different chains often have the same. */
    @ParameterizedTest
    @ValueSource(longs = {11, 12, 13, 14})
    void collidingHashesLeaveTheIndexWhole(long seed) {
        PrefixIndex index = new PrefixIndex(WORKERS, 1 << 16);
        churn(index, seed, seed % 2 == 0 ? 0xFFFL : 0x3FL, false);
        assertTrue(index.conflicts() > 0);
        empty(index);
    }

    private void churn(PrefixIndex index, long seed, long hashMask, boolean exact) {
        Random random = new Random(seed);
        Chains chains = new Chains(random);
        for (int event = 0; event < 3_000; event++) {
            long[] chain =
                    Arrays.stream(chains.draw(120)).map(h -> h & hashMask).toArray();
            int worker = random.nextInt(WORKERS);
            int from = random.nextInt(chain.length);
            switch (random.nextInt(8)) {
                case 0, 1, 2 -> store(index, worker, chain, 0);
                case 3 -> store(index, worker, chain, from);
                case 4, 5 -> remove(index, worker, Arrays.copyOfRange(chain, from, chain.length));
                case 6 -> remove(index, worker, new long[] {chain[from]});
                default -> {
                    if (random.nextInt(30) == 0) {
                        index.clear(worker);
                        reference.clear(worker);
                    }
                }
            }
            index.find(chain, 0, chain.length, match);
            for (int w = 0; w < WORKERS; w++) {
                assertTrue(match.depth(w) <= (exact ? reference.depth(w, chain) : chain.length));
            }
            if (event % 16 == 0) {
                checkCounts(index);
            }
        }
    }

    private void store(PrefixIndex index, int worker, long[] chain, int from) {
        long parent = from == 0 ? 0 : chain[from - 1];
        int taken = index.store(worker, parent, from, chain, from, chain.length - from);
        assertTrue(taken >= 0 && taken <= chain.length - from);
        reference.store(worker, parent, from, Arrays.copyOfRange(chain, from, chain.length));
    }

    private void remove(PrefixIndex index, int worker, long[] hashes) {
        int removed = index.remove(worker, hashes, 0, hashes.length);
        assertTrue(removed <= reference.remove(worker, hashes));
    }

    private void checkCounts(PrefixIndex index) {
        assertTrue(index.blocks() <= index.maxBlocks());
        for (int w = 0; w < WORKERS; w++) {
            int worker = w;
            int[] visited = new int[1];
            index.forEachHeld(w, (parent, position, hashes, from, count) -> {
                for (int i = from; i < from + count; i++) {
                    assertTrue(reference.held(worker).contains(hashes[i]));
                    visited[0]++;
                }
            });
            assertEquals(index.held(w), visited[0]);
        }
    }

    private static void empty(PrefixIndex index) {
        for (int w = 0; w < WORKERS; w++) {
            index.clear(w);
        }
        assertEquals(0, index.blocks());
        assertEquals(0, index.runs());
        assertEquals(0, index.hashesInUse(), "all of the hash memory is free again");
    }
}
