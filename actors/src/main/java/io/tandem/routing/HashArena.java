package io.tandem.routing;

import java.util.Arrays;

/**
 * Memory for runs of block hashes: extents of longs inside chunks that stay where they are for as long as they are in use,
 * so that a reader can follow a position without a lock. Extents come in size classes, four to a doubling, with a free
 * list each; a larger free extent is split when its class is wanted. One writer.
 */
final class HashArena {
    /** Longs of a chunk, and so of the longest extent: 256 KiB. */
    static final int CHUNK_LONGS = 1 << 15;

    /** Answer of {@link #allocate} when the chunks in use have no room. */
    static final int NONE = -1;

    private static final int CHUNK_BITS = 15;
    private static final int CLASSES = 56;
    private static final int SMALL = 8;
    private static final long[] NO_CHUNK = {};

    /** By chunk number; {@link #NO_CHUNK} where there is none. */
    private final long[][] chunks;

    private final int[][] free = new int[CLASSES][];
    private final int[] freeCount = new int[CLASSES];

    /** Bit c: class c has a free extent. */
    private long freeClasses;

    private long freeLongs;
    private int chunksInUse;
    private int bumpChunk = NONE;
    private int bumpAt = CHUNK_LONGS;

    HashArena(long maxLongs) {
        long directory = 2 * (maxLongs / CHUNK_LONGS) + 16;
        if (directory > 1 << (31 - CHUNK_BITS)) {
            throw new IllegalArgumentException("an arena of " + maxLongs + " hashes is beyond 2^30");
        }
        chunks = new long[(int) directory][];
        Arrays.fill(chunks, NO_CHUNK);
        Arrays.fill(free, new int[0]);
    }

    /** The chunk of a position; empty when the writer has given it back, which only a late reader can see. */
    long[] chunk(int position) {
        return chunks[position >>> CHUNK_BITS];
    }

    /** Index of a position within its chunk. */
    static int index(int position) {
        return position & (CHUNK_LONGS - 1);
    }

    /** The smallest class of at least {@code longs} longs. */
    static int classOf(int longs) {
        if (longs <= SMALL) {
            return Math.max(longs, 1) - 1;
        }
        int exponent = 31 - Integer.numberOfLeadingZeros(longs - 1);
        return SMALL + (exponent - 3) * 4 + ((longs - 1 - (1 << exponent)) >>> (exponent - 2));
    }

    /** Longs of an extent of a class. */
    static int longsOf(int sizeClass) {
        if (sizeClass < SMALL) {
            return sizeClass + 1;
        }
        int exponent = 3 + (sizeClass - SMALL) / 4;
        return (1 << exponent) + ((sizeClass - SMALL) % 4 + 1) * (1 << (exponent - 2));
    }

    /** An extent of a class, or {@link #NONE} when a chunk must be added first. */
    int allocate(int sizeClass) {
        if (freeCount[sizeClass] > 0) {
            return pop(sizeClass);
        }
        int longs = longsOf(sizeClass);
        if (bumpAt + longs <= CHUNK_LONGS) {
            int position = (bumpChunk << CHUNK_BITS) + bumpAt;
            bumpAt += longs;
            return position;
        }
        long larger = freeClasses & -(1L << sizeClass);
        if (larger == 0) {
            return NONE;
        }
        int found = Long.numberOfTrailingZeros(larger);
        int position = pop(found);
        scatter(position + longs, longsOf(found) - longs);
        return position;
    }

    void release(int position, int sizeClass) {
        int count = freeCount[sizeClass];
        if (count == free[sizeClass].length) {
            free[sizeClass] = Arrays.copyOf(free[sizeClass], Math.max(8, count * 2));
        }
        free[sizeClass][count] = position;
        freeCount[sizeClass] = count + 1;
        freeClasses |= 1L << sizeClass;
        freeLongs += longsOf(sizeClass);
    }

    private int pop(int sizeClass) {
        int position = free[sizeClass][--freeCount[sizeClass]];
        if (freeCount[sizeClass] == 0) {
            freeClasses &= ~(1L << sizeClass);
        }
        freeLongs -= longsOf(sizeClass);
        return position;
    }

    /** Puts a stretch of any length on the free lists. */
    private void scatter(int position, int longs) {
        int at = position;
        int left = longs;
        while (left > 0) {
            int sizeClass = classOf(left);
            if (longsOf(sizeClass) > left) {
                sizeClass--;
            }
            release(at, sizeClass);
            at += longsOf(sizeClass);
            left -= longsOf(sizeClass);
        }
    }

    /** Adds a chunk to allocate from. */
    void addChunk() {
        scatter((bumpChunk << CHUNK_BITS) + bumpAt, CHUNK_LONGS - bumpAt);
        int number = 0;
        while (number < chunks.length && chunks[number].length > 0) {
            number++;
        }
        if (number == chunks.length) {
            throw new IllegalStateException("the hash arena is full: its owner let more in than it was made for");
        }
        chunks[number] = new long[CHUNK_LONGS];
        chunksInUse++;
        bumpChunk = number;
        bumpAt = 0;
    }

    /** True when so much lies free in pieces that moving everything together is better than one more chunk. */
    boolean wantsCompaction() {
        return freeLongs > 4 * CHUNK_LONGS && freeLongs * 3 > (long) chunksInUse * CHUNK_LONGS;
    }

    /** Starts afresh; answers which chunks are the old ones, for {@link #endCompaction} once all has moved. */
    boolean[] beginCompaction() {
        boolean[] old = new boolean[chunks.length];
        for (int i = 0; i < old.length; i++) {
            old[i] = chunks[i].length > 0;
        }
        Arrays.fill(freeCount, 0);
        freeClasses = 0;
        freeLongs = 0;
        bumpChunk = NONE;
        bumpAt = CHUNK_LONGS;
        return old;
    }

    void endCompaction(boolean[] old) {
        for (int i = 0; i < old.length; i++) {
            if (old[i]) {
                chunks[i] = NO_CHUNK;
                chunksInUse--;
            }
        }
    }

    /** Longs in extents that are allocated. */
    long longsInUse() {
        long bumpLeft = bumpChunk == NONE ? 0 : CHUNK_LONGS - bumpAt;
        return (long) chunksInUse * CHUNK_LONGS - freeLongs - bumpLeft;
    }

    long bytes() {
        long lists = 0;
        for (int[] list : free) {
            lists += 4L * list.length;
        }
        return 8L * CHUNK_LONGS * chunksInUse + 4L * chunks.length + lists;
    }
}
