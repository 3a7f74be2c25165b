package io.tandem.simulation;

import org.agrona.collections.IntArrayList;

/** Which workers hold which prompt block, as their block events told so far. */
public final class BlockOwners {
    private final int words;
    private final long[] owners;
    private final int blocksPerNode;
    private final long[] walking;

    BlockOwners(Trace trace, int workers, int blockTokens) {
        words = Math.ceilDiv(workers, Long.SIZE);
        blocksPerNode = trace.prefixBlockTokens() / blockTokens;
        owners = new long[Math.multiplyExact(Math.multiplyExact(trace.nodeCount(), blocksPerNode), words)];
        walking = new long[words];
    }

    /** Applies a worker's events: an id is stored, {@code ~id} removed. */
    void apply(int worker, IntArrayList events) {
        int word = worker / Long.SIZE;
        long bit = 1L << worker;
        for (int i = 0; i < events.size(); i++) {
            int event = events.getInt(i);
            if (event >= 0) {
                owners[event * words + word] |= bit;
            } else {
                owners[~event * words + word] &= ~bit;
            }
        }
    }

    /** Fills {@code depths} with the number of leading blocks of the prompt that each worker holds. */
    public void depths(int[] nodes, int blocks, int[] depths) {
        int workers = depths.length;
        java.util.Arrays.fill(depths, 0);
        for (int w = 0; w < words; w++) {
            int bits = Math.min(Long.SIZE, workers - w * Long.SIZE);
            walking[w] = bits == Long.SIZE ? -1L : (1L << bits) - 1;
        }
        for (int b = 0; b < blocks; b++) {
            int at = (nodes[b / blocksPerNode] * blocksPerNode + b % blocksPerNode) * words;
            long any = 0;
            for (int w = 0; w < words; w++) {
                long dropped = walking[w] & ~owners[at + w];
                walking[w] &= owners[at + w];
                any |= walking[w];
                for (; dropped != 0; dropped &= dropped - 1) {
                    depths[w * Long.SIZE + Long.numberOfTrailingZeros(dropped)] = b;
                }
            }
            if (any == 0) {
                return;
            }
        }
        for (int w = 0; w < words; w++) {
            for (long left = walking[w]; left != 0; left &= left - 1) {
                depths[w * Long.SIZE + Long.numberOfTrailingZeros(left)] = blocks;
            }
        }
    }
}
