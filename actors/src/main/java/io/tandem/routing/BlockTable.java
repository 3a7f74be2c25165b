package io.tandem.routing;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Where each block is: an open-addressing table from a block's hash to its run and its offset in the run. A slot is one
 * long, {@code [tag 22][run 26][offset 16]}; the hash itself is in the run, so a slot costs 8 bytes. Entries never move
 * within an array, and removal leaves a mark, so a reader that probes while the one writer works misses nothing that
 * stays; a rebuild publishes a new array.
 */
final class BlockTable {
    static final long EMPTY = 0;

    /** Answer of {@link #find} and {@link #claim} when the hash is not there. */
    static final long MISSING = 0;

    private static final long REMOVED = -1;
    private static final int TAG_SHIFT = 42;
    private static final int OFFSET_BITS = 16;
    private static final long PLACE_MASK = (1L << TAG_SHIFT) - 1;
    private static final int MIN_CAPACITY = 1 << 10;
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);

    private final RunStore runs;
    private volatile long[] slots = new long[MIN_CAPACITY];

    /** The writer's own view of {@link #slots}. */
    private long[] own = slots;

    private int live;
    private int removed;

    BlockTable(RunStore runs) {
        this.runs = runs;
    }

    /** The array for one look-up. */
    long[] slots() {
        return slots;
    }

    @SuppressWarnings("ReferenceEquality") // the very array is meant
    boolean isCurrent(long[] array) {
        return slots == array;
    }

    int live() {
        return live;
    }

    /** Spreads a hash; any 64-bit key will do, uniform or not. */
    static long mix(long hash) {
        long h = hash * 0x9E3779B97F4A7C15L;
        return h ^ (h >>> 32);
    }

    static int home(long mixed, int length) {
        return (int) mixed & (length - 1);
    }

    /** The slot at an index, read so that what it refers to is visible. */
    static long slot(long[] slots, int index) {
        return (long) LONGS.getAcquire(slots, index);
    }

    static boolean tagged(long slot, long mixed) {
        return (slot ^ mixed) >>> TAG_SHIFT == 0 && slot != REMOVED;
    }

    static long place(int run, int offset) {
        return ((long) run << OFFSET_BITS) | offset;
    }

    static int run(long place) {
        return (int) ((place & PLACE_MASK) >>> OFFSET_BITS);
    }

    static int offset(long place) {
        return (int) place & ((1 << OFFSET_BITS) - 1);
    }

    /** For the writer: the place of a hash, or {@link #MISSING}. */
    long find(long hash) {
        int index = indexOf(hash);
        return index < 0 ? MISSING : own[index] & PLACE_MASK;
    }

    private int indexOf(long hash) {
        long mixed = mix(hash);
        long[] table = own;
        for (int i = home(mixed, table.length); table[i] != EMPTY; i = (i + 1) & (table.length - 1)) {
            if (tagged(table[i], mixed) && runs.hash(run(table[i]), offset(table[i])) == hash) {
                return i;
            }
        }
        return -1;
    }

    /** Enters a hash unless it is there: answers {@link #MISSING} when it was entered, else the place it has. */
    long claim(long hash, int run, int offset) {
        long mixed = mix(hash);
        long[] table = own;
        int mask = table.length - 1;
        int vacant = -1;
        int i = (int) mixed & mask;
        for (long slot; (slot = table[i]) != EMPTY; i = (i + 1) & mask) {
            if (slot == REMOVED) {
                vacant = vacant < 0 ? i : vacant;
            } else if (tagged(slot, mixed) && runs.hash(run(slot), offset(slot)) == hash) {
                return slot & PLACE_MASK;
            }
        }
        if (vacant >= 0) {
            removed--;
            i = vacant;
        }
        LONGS.setRelease(table, i, (mixed & ~PLACE_MASK) | place(run, offset));
        live++;
        return MISSING;
    }

    /** Removes a hash that is there. */
    void remove(long hash) {
        int index = indexOf(hash);
        if (index < 0) {
            throw new IllegalStateException("block " + Long.toUnsignedString(hash) + " is not in the table");
        }
        live--;
        int mask = own.length - 1;
        if (own[(index + 1) & mask] != EMPTY) {
            LONGS.setRelease(own, index, REMOVED);
            removed++;
            return;
        }
        LONGS.setRelease(own, index, EMPTY);
        for (int i = (index - 1) & mask; own[i] == REMOVED; i = (i - 1) & mask) {
            LONGS.setRelease(own, i, EMPTY);
            removed--;
        }
    }

    /** Makes room for so many more hashes; may rebuild. */
    void reserve(int more) {
        if (live + removed + (long) more <= limit(own.length)) {
            return;
        }
        int capacity = own.length;
        while (live + (long) more > (removed > 0 ? capacity / 20L * 11 : limit(capacity))) {
            if (capacity == 1 << 30) {
                throw new IllegalStateException("the block table is at its limit of 2^30 slots");
            }
            capacity <<= 1;
        }
        rebuild(capacity);
    }

    private static long limit(int capacity) {
        return capacity * 7L / 10;
    }

    private void rebuild(int capacity) {
        long[] table = new long[capacity];
        int mask = capacity - 1;
        for (int run = runs.first(); run != RunStore.NONE; run = runs.next(run)) {
            long[] hashes = runs.chunk(run);
            int base = runs.index(run);
            int length = runs.length(run);
            for (int offset = 0; offset < length; offset++) {
                long mixed = mix(hashes[base + offset]);
                int i = (int) mixed & mask;
                while (table[i] != EMPTY) {
                    i = (i + 1) & mask;
                }
                table[i] = (mixed & ~PLACE_MASK) | place(run, offset);
            }
        }
        removed = 0;
        own = table;
        slots = table;
    }

    long bytes() {
        return 8L * own.length;
    }
}
