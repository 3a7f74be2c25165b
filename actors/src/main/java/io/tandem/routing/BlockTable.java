package io.tandem.routing;

/**
 * Where each block is: an open-addressing table from a block's hash to its run and its offset in the run; for the writer
 * alone. A slot is one long, {@code [displacement 6][tag 17][run 26][offset 15]}; the hash itself is in the run, so a slot costs
 * 8 bytes. Removal moves the slots behind it up, so there are no marks to sweep; the displacement says how far a slot is
 * from where its hash belongs, so that the move needs no look at the hash.
 *
 * <p>Every access to a big table misses the caches. So callers that have many hashes announce them with {@link #fetch}: the misses of
 * the whole batch then overlap.
 */
final class BlockTable {
    /** Answer of {@link #find} and {@link #claim} when the hash is not there. */
    static final long MISSING = 0;

    /** Hashes to {@link #fetch} at a time: their cache lines stay in the first level. */
    static final int BATCH = 128;

    private static final long EMPTY = 0;
    private static final int OFFSET_BITS = 15;
    private static final int TAG_SHIFT = 41;
    private static final int DISPLACEMENT_SHIFT = 58;
    private static final int MAX_DISPLACEMENT = 63;
    private static final long PLACE_MASK = (1L << TAG_SHIFT) - 1;
    private static final long TAG_MASK = (1L << DISPLACEMENT_SHIFT) - 1 & ~PLACE_MASK;
    private static final int MIN_CAPACITY = 1 << 12;
    private static final int MAX_CAPACITY = 1 << 30;

    /** Below this many slots the table grows four times at once, to be copied less often. */
    private static final int SMALL_CAPACITY = 1 << 20;

    private final RunStore runs;
    private final long[] fetched = new long[BATCH];
    private long[] slots = new long[MIN_CAPACITY];
    private int live;

    BlockTable(RunStore runs) {
        this.runs = runs;
    }

    int live() {
        return live;
    }

    /** Spreads a hash; any 64-bit key will do, uniform or not. */
    static long mix(long hash) {
        long h = hash * 0x9E3779B97F4A7C15L;
        return h ^ (h >>> 32);
    }

    private static long place(int run, int offset) {
        return ((long) run << OFFSET_BITS) | offset;
    }

    static int run(long place) {
        return (int) ((place & PLACE_MASK) >>> OFFSET_BITS);
    }

    static int offset(long place) {
        return (int) place & ((1 << OFFSET_BITS) - 1);
    }

    /** Brings the slots of at most {@link #BATCH} hashes near; changes nothing. */
    void fetch(long[] hashes, int from, int count) {
        long[] table = slots;
        int mask = table.length - 1;
        for (int i = 0; i < count; i++) {
            fetched[i] = table[(int) mix(hashes[from + i]) & mask];
        }
    }

    /** The place of a hash, or {@link #MISSING}. */
    long find(long hash) {
        int index = indexOf(hash);
        return index < 0 ? MISSING : slots[index] & PLACE_MASK;
    }

    private int indexOf(long hash) {
        long mixed = mix(hash);
        long[] table = slots;
        int mask = table.length - 1;
        int i = (int) mixed & mask;
        for (long slot; (slot = table[i]) != EMPTY; i = (i + 1) & mask) {
            if (holds(slot, mixed, hash)) {
                return i;
            }
        }
        return -1;
    }

    private boolean holds(long slot, long mixed, long hash) {
        return ((slot ^ mixed) & TAG_MASK) == 0 && runs.hash(run(slot), offset(slot)) == hash;
    }

    /** Enters a hash unless it is there: answers {@link #MISSING} when it was entered, else the place it has. */
    long claim(long hash, int run, int offset) {
        long mixed = mix(hash);
        long[] table = slots;
        int mask = table.length - 1;
        int home = (int) mixed & mask;
        int i = home;
        for (long slot; (slot = table[i]) != EMPTY; i = (i + 1) & mask) {
            if (holds(slot, mixed, hash)) {
                return slot & PLACE_MASK;
            }
        }
        table[i] = slot(mixed, i - home & mask, run, offset);
        live++;
        return MISSING;
    }

    private static long slot(long mixed, int displacement, int run, int offset) {
        long distance = Math.min(displacement, MAX_DISPLACEMENT);
        return distance << DISPLACEMENT_SHIFT | mixed & TAG_MASK | place(run, offset);
    }

    /** Removes a hash that is there. */
    void remove(long hash) {
        int hole = indexOf(hash);
        if (hole < 0) {
            throw new IllegalStateException("block " + Long.toUnsignedString(hash) + " is not in the table");
        }
        live--;
        long[] table = slots;
        int mask = table.length - 1;
        int i = hole + 1 & mask;
        for (long slot; (slot = table[i]) != EMPTY; i = (i + 1) & mask) {
            int shift = i - hole & mask;
            int displacement = displacement(slot, i);
            if (displacement >= shift) {
                long distance = Math.min(displacement - shift, MAX_DISPLACEMENT);
                table[hole] = slot & (1L << DISPLACEMENT_SHIFT) - 1 | distance << DISPLACEMENT_SHIFT;
                hole = i;
            }
        }
        table[hole] = EMPTY;
    }

    private int displacement(long slot, int index) {
        int displacement = (int) (slot >>> DISPLACEMENT_SHIFT);
        if (displacement < MAX_DISPLACEMENT) {
            return displacement;
        }
        return index - (int) mix(runs.hash(run(slot), offset(slot))) & slots.length - 1;
    }

    /** Makes room for so many more hashes; may rebuild. */
    void reserve(int more) {
        int capacity = slots.length;
        while (live + (long) more > limit(capacity)) {
            if (capacity == MAX_CAPACITY) {
                throw new IllegalStateException("the block table is at its limit of 2^30 slots");
            }
            capacity <<= capacity < SMALL_CAPACITY ? 2 : 1;
        }
        if (capacity > slots.length) {
            rebuild(capacity);
        }
    }

    private static long limit(int capacity) {
        return capacity * 7L / 10;
    }

    private void rebuild(int capacity) {
        slots = new long[capacity];
        for (int run = runs.first(); run != RunStore.NONE; run = runs.next(run)) {
            long[] hashes = runs.chunk(run);
            int base = runs.index(run);
            int length = runs.length(run);
            for (int from = 0; from < length; from += BATCH) {
                int to = Math.min(length, from + BATCH);
                fetch(hashes, base + from, to - from);
                for (int offset = from; offset < to; offset++) {
                    insert(BlockTable.mix(hashes[base + offset]), run, offset);
                }
            }
        }
    }

    /** Enters a hash that is not there. */
    private void insert(long mixed, int run, int offset) {
        long[] table = slots;
        int mask = table.length - 1;
        int home = (int) mixed & mask;
        int i = home;
        while (table[i] != EMPTY) {
            i = (i + 1) & mask;
        }
        table[i] = slot(mixed, i - home & mask, run, offset);
    }

    long bytes() {
        return 8L * (slots.length + fetched.length);
    }
}
