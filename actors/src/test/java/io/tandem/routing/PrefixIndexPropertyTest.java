package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Random streams of events against {@link ReferenceIndex}: every answer, and every 16 events the whole state. */
class PrefixIndexPropertyTest {
    private static final int WORKERS = 7;

    private final PrefixIndex index = new PrefixIndex(WORKERS, 1 << 20);
    private final ReferenceIndex reference = new ReferenceIndex(WORKERS);
    private final PrefixMatch match = new PrefixMatch(WORKERS);

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void answersAsTheReferenceDoes(long seed) {
        Random random = new Random(seed);
        Chains chains = new Chains(random);
        int maxBlocks = seed % 2 == 0 ? 40 : 300;
        for (int event = 0; event < 4_000; event++) {
            long[] chain = chains.draw(maxBlocks);
            event(random, chain);
            checkLookUp(chain);
            if (event % 16 == 0) {
                checkState();
            }
        }
        for (int w = 0; w < WORKERS; w++) {
            index.clear(w);
            reference.clear(w);
        }
        checkState();
        assertEquals(0, index.blocks());
        assertEquals(0, index.runs());
    }

    private void event(Random random, long[] chain) {
        int worker = random.nextInt(WORKERS);
        int from = random.nextInt(chain.length);
        int to = from + 1 + random.nextInt(chain.length - from);
        switch (random.nextInt(16)) {
            case 0, 1, 2, 3, 4 -> store(worker, chain, reference.depth(worker, chain), chain.length, false);
            case 5, 6 -> store(worker, chain, from, to, true);
            case 7 -> store(worker, chain, from, to, false);
            case 8 -> store(worker, chain, 0, to, false);
            case 9, 10 -> remove(worker, Arrays.copyOfRange(chain, from, chain.length), true);
            case 11 -> remove(worker, Arrays.copyOfRange(chain, from, to), false);
            case 12 -> remove(worker, new long[] {chain[from], random.nextLong(), chain[to - 1], chain[0]}, false);
            case 13 -> remove(worker, shuffled(random, Arrays.copyOfRange(chain, from, to)), false);
            case 14 -> remove(worker, chain, true);
            default -> {
                if (random.nextInt(20) == 0) {
                    index.clear(worker);
                    reference.clear(worker);
                }
            }
        }
    }

    private void store(int worker, long[] chain, int from, int to, boolean unknownPosition) {
        if (from >= to) {
            return;
        }
        long parent = from == 0 ? 0 : chain[from - 1];
        int position = unknownPosition && from > 0 ? PrefixIndex.UNKNOWN_POSITION : from;
        long[] hashes = Arrays.copyOfRange(chain, from, to);
        assertEquals(
                reference.store(worker, parent, position, hashes),
                index.store(worker, parent, position, chain, from, to - from));
    }

    private void remove(int worker, long[] hashes, boolean lastFirst) {
        long[] order = hashes.clone();
        if (lastFirst) {
            for (int i = 0; i < order.length; i++) {
                order[i] = hashes[hashes.length - 1 - i];
            }
        }
        assertEquals(reference.remove(worker, order), index.remove(worker, order, 0, order.length));
    }

    private static long[] shuffled(Random random, long[] hashes) {
        for (int i = hashes.length - 1; i > 0; i--) {
            int j = random.nextInt(i + 1);
            long h = hashes[i];
            hashes[i] = hashes[j];
            hashes[j] = h;
        }
        return hashes;
    }

    private void checkLookUp(long[] chain) {
        index.find(chain, 0, chain.length, match);
        int best = 0;
        int holders = 0;
        for (int w = 0; w < WORKERS; w++) {
            int depth = reference.depth(w, chain);
            assertEquals(depth, match.depth(w));
            best = Math.max(best, depth);
            holders += depth > 0 ? 1 : 0;
        }
        assertEquals(best, match.best());
        assertEquals(holders, match.count());
    }

    private void checkState() {
        for (int w = 0; w < WORKERS; w++) {
            Set<Long> held = new HashSet<>();
            index.forEachHeld(w, (parent, position, hashes, from, count) -> {
                for (int i = 0; i < count; i++) {
                    held.add(hashes[from + i]);
                }
            });
            assertEquals(reference.held(w), held);
            assertEquals(held.size(), index.held(w));
        }
    }
}
