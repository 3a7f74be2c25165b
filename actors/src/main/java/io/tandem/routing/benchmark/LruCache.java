package io.tandem.routing.benchmark;

import java.util.Arrays;
import org.agrona.collections.Long2LongHashMap;

/** The blocks of a worker, the ones touched longest ago first out. */
final class LruCache {
    private static final long ABSENT = -1;

    private final int capBlocks;

    /** Stamp of the latest touch, by block. */
    private final Long2LongHashMap stamps = new Long2LongHashMap(ABSENT);

    /** Blocks by stamp; those touched again later are passed over. Kept only when there is a limit. */
    private long[] touched = new long[64];

    private long nextStamp;
    private int oldest;

    /** @param capBlocks 0 = no limit */
    LruCache(int capBlocks) {
        this.capBlocks = capBlocks;
    }

    boolean contains(long block) {
        return stamps.containsKey(block);
    }

    /** The leading blocks of a prompt that are here. */
    int leading(long[] blocks, int count) {
        int hit = 0;
        while (hit < count && contains(blocks[hit])) {
            hit++;
        }
        return hit;
    }

    /** Touches blocks from the last to the first, so that leaves leave before what they hang on. */
    void touch(long[] blocks, int count) {
        for (int i = count - 1; i >= 0; i--) {
            stamps.put(blocks[i], nextStamp);
            if (capBlocks > 0) {
                if (nextStamp == touched.length) {
                    touched = Arrays.copyOf(touched, touched.length * 2);
                }
                touched[(int) nextStamp] = blocks[i];
            }
            nextStamp++;
        }
    }

    /** Evicts down to the limit; the evicted blocks, oldest first. */
    long[] evict() {
        long[] evicted = new long[capBlocks == 0 ? 0 : Math.max(0, stamps.size() - capBlocks)];
        for (int i = 0; i < evicted.length; oldest++) {
            if (stamps.get(touched[oldest]) == oldest) {
                evicted[i++] = touched[oldest];
                stamps.remove(touched[oldest]);
            }
        }
        return evicted;
    }
}
