package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PrefixIndexTest {
    private static final int UNKNOWN = PrefixIndex.UNKNOWN_POSITION;

    private final PrefixIndex index = new PrefixIndex(300, 1 << 20);
    private final PrefixMatch match = new PrefixMatch(300);
    private final long[] chain = Chains.chain(1, 100);

    private int store(int worker, long[] blocks) {
        return index.store(worker, 0, 0, blocks, 0, blocks.length);
    }

    private int store(int worker, long[] blocks, int from, int to) {
        return index.store(worker, from == 0 ? 0 : blocks[from - 1], from == 0 ? 0 : UNKNOWN, blocks, from, to - from);
    }

    private int remove(int worker, long... hashes) {
        return index.remove(worker, hashes, 0, hashes.length);
    }

    private int depth(int worker, long[] blocks) {
        index.find(blocks, 0, blocks.length, match);
        return match.depth(worker);
    }

    @Test
    void findsWhatIsStoredAndNothingElse() {
        assertEquals(100, store(3, chain));
        assertEquals(100, depth(3, chain));
        assertEquals(0, match.depth(2));
        assertEquals(1, match.count());
        assertEquals(3, match.worker(0));
        assertEquals(60, depth(3, Arrays.copyOf(chain, 60)));
        assertEquals(60, depth(3, Chains.continued(Arrays.copyOf(chain, 60), 9, 30)));
        assertEquals(0, depth(3, Chains.chain(2, 10)));
        assertEquals(0, match.count());
        index.find(chain, 5, 0, match);
        assertEquals(0, match.best());
    }

    @Test
    void anEmptyIndexFindsNothing() {
        assertEquals(0, depth(0, chain));
        assertEquals(0, index.remove(0, chain, 0, 100));
        index.clear(0);
        assertEquals(0, index.blocks());
    }

    @Test
    void storingTwiceChangesNothing() {
        store(1, chain);
        assertEquals(100, store(1, chain));
        assertEquals(100, index.held(1));
        assertEquals(100, index.blocks());
        assertEquals(1, index.runs());
    }

    @Test
    void goesOnFromAParent() {
        store(1, chain, 0, 30);
        assertEquals(70, store(1, chain, 30, 100));
        assertEquals(100, depth(1, chain));
        assertEquals(1, index.runs());
    }

    @Test
    void refusesAParentThisWorkerDoesNotHold() {
        store(1, chain, 0, 30);
        assertEquals(PrefixIndex.UNKNOWN_PARENT, store(2, chain, 30, 100));
        assertEquals(PrefixIndex.UNKNOWN_PARENT, store(1, chain, 50, 100));
        assertEquals(30, index.blocks());
        assertEquals(0, index.held(2));
    }

    @Test
    void takesAKnownPositionWithoutTheParent() {
        assertEquals(50, index.store(1, chain[49], 50, chain, 50, 50));
        assertEquals(0, depth(1, chain));
        assertEquals(50, store(1, chain, 0, 50));
        assertEquals(100, depth(1, chain));
    }

    @Test
    void refusesAStoreThatNamesItselfAsParent() {
        store(1, chain, 0, 10);
        assertEquals(0, index.store(1, chain[9], UNKNOWN, chain, 9, 1));
        assertEquals(10, index.held(1));
        assertEquals(1, index.conflicts());
    }

    @Test
    void stopsAtAHashThatComesTwiceInOneStore() {
        long[] looped = {chain[0], chain[1], chain[2], chain[1], chain[3]};
        assertEquals(3, store(1, looped));
        assertEquals(3, index.held(1));
    }

    @Test
    void theFirstOfTwoCollidingBlocksStays() {
        long[] other = Chains.chain(7, 20);
        other[12] = chain[12];
        store(1, chain);
        assertEquals(12, store(2, other));
        assertEquals(12, depth(2, other));
        assertEquals(100, depth(1, chain));
        assertEquals(0, match.depth(2));
        long[] shifted = Chains.chain(8, 20);
        shifted[5] = chain[40];
        assertEquals(5, store(2, shifted));
        assertEquals(2, index.conflicts());
    }

    @Test
    void refusesAPositionThatContradictsTheParent() {
        store(1, chain, 0, 10);
        assertEquals(0, index.store(1, chain[9], 11, chain, 10, 5));
        assertEquals(10, index.held(1));
    }

    @Test
    void namesWhatIsWrong() {
        assertTrue(assertThrows(IllegalArgumentException.class, () -> store(300, chain))
                .getMessage()
                .contains("0..299"));
        assertThrows(IllegalArgumentException.class, () -> index.store(0, 0, -2, chain, 0, 1));
        assertThrows(IndexOutOfBoundsException.class, () -> index.store(0, 0, 0, chain, 90, 11));
        assertThrows(IllegalArgumentException.class, () -> new PrefixIndex(0, 1));
        assertThrows(IllegalArgumentException.class, () -> new PrefixIndex(1, 0));
    }

    @Test
    void tellsWorkersOfASharedPrefixApart() {
        for (int w = 0; w < 200; w++) {
            store(w, Arrays.copyOf(chain, w + 1 > 100 ? 100 : w + 1));
        }
        index.find(chain, 0, 100, match);
        for (int w = 0; w < 200; w++) {
            assertEquals(Math.min(w + 1, 100), match.depth(w));
        }
        assertEquals(200, match.count());
        for (int w = 0; w < 197; w++) {
            assertEquals(Math.min(w + 1, 100), index.remove(w, chain, 0, 100));
        }
        assertEquals(100, depth(198, chain));
        assertEquals(3, match.count());
    }

    @Test
    void aRemovedTailEndsThere() {
        store(1, chain);
        assertEquals(1, remove(1, chain[99]));
        assertEquals(99, depth(1, chain));
        assertEquals(99, index.blocks());
        assertEquals(0, remove(1, chain[99]));
    }

    @Test
    void depthStopsAtAHoleAndComesBackWithIt() {
        store(1, chain);
        store(2, chain);
        remove(1, chain[40]);
        assertEquals(40, depth(1, chain));
        assertEquals(100, match.depth(2));
        assertEquals(99, index.held(1));
        assertEquals(1, store(1, chain, 40, 41));
        assertEquals(100, depth(1, chain));
    }

    @Test
    void aHoleThatNobodyHoldsIsKnownStill() {
        store(1, chain);
        remove(1, chain[0], chain[50], chain[51]);
        assertEquals(0, depth(1, chain));
        store(1, chain, 0, 1);
        assertEquals(50, depth(1, chain));
        assertEquals(1, store(1, chain, 50, 51));
        assertEquals(51, depth(1, chain));
        assertEquals(1, store(1, chain, 51, 52));
        assertEquals(100, depth(1, chain));
    }

    @Test
    void whatHangsOnARemovedParentStays() {
        long[] branch = Chains.continued(Arrays.copyOf(chain, 30), 5, 20);
        store(1, chain);
        store(1, branch, 30, 50);
        for (int i = 99; i >= 25; i--) {
            remove(1, chain[i]);
        }
        assertEquals(25, depth(1, branch));
        assertEquals(25 + 20, index.held(1));
        assertEquals(45, index.blocks());
        assertEquals(PrefixIndex.UNKNOWN_PARENT, store(1, branch, 30, 31));
        assertEquals(5, store(1, chain, 25, 30));
        assertEquals(50, depth(1, branch));
    }

    @Test
    void workerSetsOfEqualSizeAreNotTakenForEqual() {
        long[] longer = Chains.continued(chain, 3, 20);
        store(1, chain);
        store(2, chain);
        store(1, longer, 100, 120);
        store(3, longer);
        remove(2, chain);
        remove(1, longer[0]);
        assertEquals(120, depth(3, longer));
        assertEquals(0, match.depth(1));
        assertEquals(0, match.depth(2));
        store(1, chain, 0, 1);
        assertEquals(120, depth(1, longer));
    }

    @Test
    void unknownBlocksOfABatchDoNotStopTheRest() {
        store(1, chain);
        assertEquals(2, remove(1, 42, chain[99], 43, chain[98], 44));
        assertEquals(98, depth(1, chain));
        assertEquals(0, remove(2, chain[97]));
    }

    @Test
    void batchedRemovalEqualsSerialInAnyOrder() {
        List<Integer> order = new ArrayList<>();
        for (int i = 20; i < 80; i++) {
            order.add(i);
        }
        for (int round = 0; round < 20; round++) {
            java.util.Collections.shuffle(order, new Random(round));
            store(1, chain);
            store(2, chain);
            long[] batch = order.stream().mapToLong(i -> chain[i]).toArray();
            assertEquals(60, remove(1, batch));
            for (long hash : batch) {
                assertEquals(1, remove(2, hash));
            }
            assertEquals(20, depth(1, chain));
            assertEquals(20, match.depth(2));
            assertEquals(40, index.held(1));
            assertEquals(40, index.held(2));
        }
    }

    @Test
    void clearTouchesOneWorkerAndTheIndexCanBeUsedAgain() {
        store(1, chain);
        store(2, chain);
        index.clear(1);
        assertEquals(0, depth(1, chain));
        assertEquals(100, match.depth(2));
        store(1, chain);
        assertEquals(100, depth(1, chain));
        index.clear(1);
        index.clear(2);
        assertEquals(0, index.blocks());
        assertEquals(0, index.runs());
    }

    @Test
    void branchesAtEveryBoundary() {
        long[] trunk = Chains.chain(1, 1_300);
        store(0, trunk);
        int worker = 1;
        for (int at : new int[] {1, 30, 31, 32, 33, 63, 64, 65, 96, 1_023, 1_024, 1_299, 1_300}) {
            long[] branch = Chains.continued(Arrays.copyOf(trunk, at), 77, 40);
            store(worker, branch);
            assertEquals(at + 40, depth(worker, branch));
            assertEquals(at, match.depth(0));
            assertEquals(at, depth(worker, Arrays.copyOf(trunk, at)));
            worker++;
        }
    }

    @Test
    void aChainGrownBlockByBlockIsOneRun() {
        long[] grown = Chains.chain(4, 5_000);
        for (int i = 0; i < 5_000; i++) {
            assertEquals(1, store(1, grown, i, i + 1));
        }
        assertEquals(5_000, depth(1, grown));
        assertEquals(1, index.runs());
    }

    @Test
    void aVeryLongChainTakesSeveralRuns() {
        long[] deep = Chains.chain(4, 100_000);
        assertEquals(100_000, store(1, deep));
        assertEquals(100_000, depth(1, deep));
        assertEquals(4, index.runs());
        assertEquals(100_000, index.remove(1, deep, 0, 100_000));
        assertEquals(0, index.blocks());
    }

    @Test
    void whatIsHeldFillsAnotherIndexAlike() {
        Random random = new Random(5);
        Chains chains = new Chains(random);
        for (int i = 0; i < 500; i++) {
            long[] drawn = chains.draw(60);
            store(random.nextInt(3), drawn);
            remove(random.nextInt(3), drawn[random.nextInt(drawn.length)]);
        }
        PrefixIndex copy = new PrefixIndex(300, 1 << 20);
        for (int w = 0; w < 3; w++) {
            int worker = w;
            index.forEachHeld(
                    w,
                    (parent, position, hashes, from, count) ->
                            assertEquals(count, copy.store(worker, parent, position, hashes, from, count)));
            assertEquals(index.held(w), copy.held(w));
            assertArrayEquals(dump(index, w), dump(copy, w));
        }
    }

    private static long[] dump(PrefixIndex index, int worker) {
        List<Long> hashes = new ArrayList<>();
        index.forEachHeld(worker, (parent, position, array, from, count) -> {
            for (int i = from; i < from + count; i++) {
                hashes.add(array[i]);
            }
        });
        return hashes.stream().mapToLong(Long::longValue).sorted().toArray();
    }

    @Test
    void aFullIndexForgetsWhatWasUsedLeastRecently() {
        PrefixIndex small = new PrefixIndex(2, 1_000);
        long[] hot = Chains.chain(100, 100);
        small.store(0, 0, 0, hot, 0, 100);
        for (int seed = 0; seed < 50; seed++) {
            long[] cold = Chains.chain(seed, 100);
            assertEquals(100, small.store(0, 0, 0, cold, 0, 100));
            long[] branch = Chains.continued(hot, seed, 10);
            assertEquals(10, small.store(1, hot[99], 100, branch, 100, 10));
            assertTrue(small.blocks() <= 1_000);
        }
        PrefixMatch found = new PrefixMatch(2);
        small.find(hot, 0, 100, found);
        assertEquals(100, found.depth(0));
        long[] newest = Chains.chain(49, 100);
        small.find(newest, 0, 100, found);
        assertEquals(100, found.depth(0));
        assertTrue(small.evictedBlocks() > 4_000);
        assertEquals(1_000, small.store(0, 0, 0, Chains.chain(999, 2_000), 0, 2_000));
        assertEquals(1_000, small.blocks());
    }

    @Test
    void churnStaysWithinItsMemory() {
        PrefixIndex small = new PrefixIndex(4, 50_000);
        Random random = new Random(9);
        Chains chains = new Chains(random);
        long bytes = 0;
        for (int i = 0; i < 60_000; i++) {
            long[] drawn = i % 3 == 0 ? Chains.chain(random.nextLong(), 1 + random.nextInt(400)) : chains.draw(400);
            int worker = random.nextInt(4);
            small.store(worker, 0, 0, drawn, 0, drawn.length);
            if (i % 2 == 0) {
                int from = random.nextInt(drawn.length);
                small.remove(worker, drawn, from, drawn.length - from);
            }
            bytes = Math.max(bytes, small.bytes());
        }
        assertTrue(small.blocks() <= 50_000);
        assertTrue(bytes < 50_000L * 64, bytes + " bytes");
    }

    @Test
    void interleavedAndBatchedCyclesEndAlike() {
        long[] branch = Chains.continued(Arrays.copyOf(chain, 60), 5, 30);
        PrefixIndex batched = new PrefixIndex(300, 1 << 20);
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < 100; i++) {
                store(1, chain, i, i + 1);
                if (i % 3 == 0) {
                    remove(1, chain[i]);
                    store(1, chain, i, i + 1);
                }
            }
            store(1, branch, 60, 90);
            remove(1, chain[99], branch[89], chain[98]);
            batched.store(1, 0, 0, branch, 0, 90);
            batched.store(1, 0, 0, chain, 0, 98);
            batched.remove(1, new long[] {branch[89]}, 0, 1);
            assertArrayEquals(dump(batched, 1), dump(index, 1));
        }
        assertEquals(batched.blocks(), index.blocks());
    }

    @Test
    void manyBranchesAtOnePlaceAreAllFound() {
        store(0, chain);
        long[][] branches = new long[1_000][];
        for (int i = 0; i < branches.length; i++) {
            branches[i] = Chains.continued(Arrays.copyOf(chain, 50), 1_000 + i, 1 + i % 7);
            store(i % 300, branches[i]);
        }
        remove(0, Arrays.copyOfRange(chain, 50, 100));
        for (int i = 0; i < branches.length; i++) {
            assertEquals(branches[i].length, depth(i % 300, branches[i]));
        }
        assertEquals(50, depth(0, chain));
        assertEquals(1_001, index.runs());
    }

    @Test
    void aLeafGrowsInPlaceAndABranchLeavesItWhole() {
        store(1, chain, 0, 40);
        store(2, chain, 0, 40);
        store(1, chain, 40, 70);
        assertEquals(1, index.runs());
        long[] branch = Chains.continued(Arrays.copyOf(chain, 55), 5, 20);
        store(2, branch);
        assertEquals(2, index.runs());
        store(1, chain, 70, 100);
        assertEquals(2, index.runs());
        assertEquals(100, depth(1, chain));
        assertEquals(55, match.depth(2));
        assertEquals(75, depth(2, branch));
        assertEquals(55, match.depth(1));
    }

    @Test
    void promptsPartAtThePlaceOfABranchAndAtAnyOther() {
        store(1, chain);
        store(1, Chains.continued(Arrays.copyOf(chain, 40), 5, 20));
        for (int same = 1; same <= 100; same++) {
            assertEquals(same, depth(1, Chains.continued(Arrays.copyOf(chain, same), 6, 10)));
            assertEquals(same, depth(1, Chains.continued(Arrays.copyOf(chain, same), 6, 200)));
            assertEquals(same, depth(1, Arrays.copyOf(chain, same)));
        }
        remove(1, Arrays.copyOfRange(chain, 30, 100));
        assertEquals(30, depth(1, chain));
    }

    @Test
    void lookUpsChangeNothing() {
        Chains chains = new Chains(new Random(6));
        for (int i = 0; i < 300; i++) {
            store(i % 9, chains.draw(60));
        }
        long[] before = dump(index, 4);
        long bytes = index.bytes();
        int runs = index.runs();
        for (int i = 0; i < 1_000; i++) {
            depth(i % 9, chains.draw(80));
        }
        assertArrayEquals(before, dump(index, 4));
        assertEquals(bytes, index.bytes());
        assertEquals(runs, index.runs());
        assertEquals(0, index.conflicts());
        assertEquals(0, match.retries());
    }

    /** Every hash belongs into the same slot of the block table, so each search and each removal goes along all of them. */
    @Test
    void hashesThatAllCrowdIntoOnePlaceAreToldApart() {
        long inverse = inverse(0x9E3779B97F4A7C15L);
        long[] crowd = new long[500];
        for (int i = 0; i < crowd.length; i++) {
            long x = 77L * (i + 1);
            crowd[i] = (x << 32 | x) * inverse;
            assertEquals(0, (int) BlockTable.mix(crowd[i]));
        }
        store(1, crowd);
        assertEquals(500, depth(1, crowd));
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < 500; i++) {
            order.add(i);
        }
        java.util.Collections.shuffle(order, new Random(8));
        for (int i : order) {
            assertEquals(1, remove(1, crowd[i]));
            assertEquals(0, remove(1, crowd[i]));
        }
        assertEquals(0, index.blocks());
    }

    private static long inverse(long odd) {
        long x = odd;
        for (int i = 0; i < 6; i++) {
            x *= 2 - odd * x;
        }
        return x;
    }

    @Test
    void allMemoryIsFreeAgainWhenNobodyHoldsAnything() {
        Random random = new Random(5);
        Chains chains = new Chains(random);
        for (int i = 0; i < 2_000; i++) {
            long[] drawn = chains.draw(200);
            store(random.nextInt(20), drawn);
            remove(random.nextInt(20), drawn[random.nextInt(drawn.length)]);
        }
        assertTrue(index.hashesInUse() >= index.blocks());
        for (int w = 0; w < 20; w++) {
            index.clear(w);
            assertEquals(0, index.held(w));
        }
        assertEquals(0, index.runs());
        assertEquals(0, index.blocks());
        assertEquals(0, index.hashesInUse());
    }
}
