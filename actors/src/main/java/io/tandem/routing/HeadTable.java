package io.tandem.routing;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Where runs begin: an open-addressing table from the hash of a run's first block to the run. This is all of the index that a
 * look-up probes, and it is small: a slot for each run, not for each block, one long, {@code [tag 38][run 26]}.
 *
 * <p>One thread writes, any reads. Entries never move within an array, and removal leaves a mark, so a reader that probes while
 * the writer works misses nothing that stays; a rebuild publishes a new array.
 */
final class HeadTable {
    static final long EMPTY = 0;

    private static final long REMOVED = -1;
    private static final int RUN_BITS = 26;
    private static final long RUN_MASK = (1L << RUN_BITS) - 1;
    private static final int MIN_CAPACITY = 1 << 8;
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);

    private final RunStore runs;
    private volatile long[] slots = new long[MIN_CAPACITY];

    /** The writer's own view of {@link #slots}. */
    private long[] own = slots;

    private int live;
    private int removed;

    HeadTable(RunStore runs) {
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

    static int home(long mixed, int length) {
        return (int) mixed & (length - 1);
    }

    /** The slot at an index, read so that what it refers to is visible. */
    static long slot(long[] slots, int index) {
        return (long) LONGS.getAcquire(slots, index);
    }

    static boolean tagged(long slot, long mixed) {
        return (slot ^ mixed) >>> RUN_BITS == 0 && slot != REMOVED;
    }

    static int run(long slot) {
        return (int) (slot & RUN_MASK);
    }

    /** Enters a run under its first hash, which must not be there. From now on readers see the run. */
    void add(long hash, int run) {
        reserve();
        long mixed = BlockTable.mix(hash);
        int i = home(mixed, own.length);
        while (own[i] != EMPTY && own[i] != REMOVED) {
            i = (i + 1) & (own.length - 1);
        }
        if (own[i] == REMOVED) {
            removed--;
        }
        LONGS.setRelease(own, i, mixed & ~RUN_MASK | run);
        live++;
    }

    /** Removes a run that is there. */
    void remove(long hash, int run) {
        int mask = own.length - 1;
        int index = home(BlockTable.mix(hash), own.length);
        while (run(own[index]) != run) {
            if (own[index] == EMPTY) {
                throw new IllegalStateException("run " + run + " is not in the table");
            }
            index = (index + 1) & mask;
        }
        live--;
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

    /** Keeps at least half of the slots empty. */
    private void reserve() {
        if (2L * (live + removed + 1) > own.length) {
            rebuild(3L * (live + 1) > own.length ? own.length * 2 : own.length);
        }
    }

    private void rebuild(int capacity) {
        long[] table = new long[capacity];
        for (long slot : own) {
            if (slot != EMPTY && slot != REMOVED) {
                long mixed = BlockTable.mix(runs.hash(run(slot), 0));
                int i = home(mixed, capacity);
                while (table[i] != EMPTY) {
                    i = (i + 1) & (capacity - 1);
                }
                table[i] = slot;
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
