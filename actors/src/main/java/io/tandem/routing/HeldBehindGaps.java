package io.tandem.routing;

import java.util.Arrays;
import java.util.BitSet;

/**
 * Blocks of a run that a worker holds behind one that it does not hold: after a removal in the middle, or when an engine
 * kept a block whose predecessor it dropped. Rare, and read by the writer alone, since depth ends at the gap anyway. Per
 * run a short list.
 */
final class HeldBehindGaps {
    private static final class Entry {
        final int worker;
        final BitSet blocks = new BitSet();
        Entry next;

        Entry(int worker, Entry next) {
            this.worker = worker;
            this.next = next;
        }
    }

    /** By run id. */
    private Entry[] byRun = new Entry[0];

    private Entry entry(int run, int worker) {
        Entry e = run < byRun.length ? byRun[run] : null;
        while (e != null && e.worker != worker) {
            e = e.next;
        }
        return e;
    }

    /** Offsets held behind a gap, or null when there are none. */
    BitSet of(int run, int worker) {
        Entry e = entry(run, worker);
        return e == null ? null : e.blocks;
    }

    boolean contains(int run, int worker, int offset) {
        Entry e = entry(run, worker);
        return e != null && e.blocks.get(offset);
    }

    /** The end of the stretch held from {@code from} on, {@code from} itself when that is not held. */
    int reach(int run, int worker, int from) {
        Entry e = entry(run, worker);
        return e == null ? from : e.blocks.nextClearBit(from);
    }

    /** Adds offsets {@code from..to-1}; answers how many were not there. */
    int add(int run, int worker, int from, int to) {
        Entry e = entry(run, worker);
        if (e == null) {
            if (run >= byRun.length) {
                byRun = Arrays.copyOf(byRun, Math.max(run + 1, byRun.length * 2));
            }
            e = new Entry(worker, byRun[run]);
            byRun[run] = e;
        }
        int before = e.blocks.cardinality();
        e.blocks.set(from, to);
        return e.blocks.cardinality() - before;
    }

    /** Removes offsets {@code from..to-1}; answers how many were there. */
    int remove(int run, int worker, int from, int to) {
        Entry e = entry(run, worker);
        if (e == null || from >= to) {
            return 0;
        }
        int before = e.blocks.cardinality();
        e.blocks.clear(from, to);
        int removed = before - e.blocks.cardinality();
        dropIfEmpty(run, worker);
        return removed;
    }

    private void dropIfEmpty(int run, int worker) {
        Entry e = entry(run, worker);
        if (e == null || !e.blocks.isEmpty()) {
            return;
        }
        if (byRun[run] == e) {
            byRun[run] = e.next;
            return;
        }
        Entry previous = byRun[run];
        while (previous.next != e) {
            previous = previous.next;
        }
        previous.next = e.next;
    }

    /** One past the last offset of the run that anybody holds behind a gap. */
    int end(int run) {
        int end = 0;
        for (Entry e = run < byRun.length ? byRun[run] : null; e != null; e = e.next) {
            end = Math.max(end, e.blocks.length());
        }
        return end;
    }
}
