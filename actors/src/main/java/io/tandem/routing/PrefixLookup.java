package io.tandem.routing;

import java.lang.invoke.VarHandle;

/**
 * The readers' side of {@link PrefixIndex}: finds the runs of a prompt while the writer changes them. It writes nothing; what
 * it read is checked by the runs' versions, and a look-up that met a change begins anew. Any number of threads.
 */
final class PrefixLookup {
    private static final int RETRY = -1;
    private static final int END = 0;

    private final RunStore runs;
    private final HeadTable heads;

    PrefixLookup(RunStore runs, HeadTable heads) {
        this.runs = runs;
        this.heads = heads;
    }

    /** Finds for each worker the leading blocks of a prompt it holds; {@code hashes[from..from+count)} is the chain. */
    void find(long[] hashes, int from, int count, PrefixMatch match) {
        while (!attempt(hashes, from, count, match)) {
            match.retry();
            Thread.onSpinWait();
        }
    }

    private boolean attempt(long[] hashes, int from, int count, PrefixMatch match) {
        long[] slots = heads.slots();
        match.clear();
        int position = 0;
        while (position < count) {
            int matched = follow(slots, hashes, from + position, count - position, position, match);
            if (matched == RETRY) {
                return false;
            }
            if (matched == END) {
                break;
            }
            position += matched;
        }
        VarHandle.acquireFence();
        return match.holds(runs) && heads.isCurrent(slots);
    }

    /**
     * One run of the prompt: the rest of it is {@code hashes[from..from+count)}, from {@code position} on. Answers the blocks
     * matched, {@link #END} when nobody's prefix goes on after it.
     */
    private int follow(long[] slots, long[] hashes, int from, int count, int position, PrefixMatch match) {
        long wanted = hashes[from];
        long key = RunStore.key(wanted, position == 0 ? 0 : hashes[from - 1]);
        long mixed = BlockTable.mix(wanted);
        int i = HeadTable.home(mixed, slots.length);
        for (long slot; (slot = HeadTable.slot(slots, i)) != HeadTable.EMPTY; i = (i + 1) & (slots.length - 1)) {
            if (!HeadTable.tagged(slot, mixed)) {
                continue;
            }
            int run = HeadTable.run(slot);
            long[] record = runs.record(run);
            int at = RunStore.recordIndex(run);
            long version = RunStore.version(record, at);
            if ((version & 1) != 0) {
                return RETRY;
            }
            long extent = record[at + RunStore.EXTENT];
            if (record[at + RunStore.KEY] != key || RunStore.blocks(extent) == 0) {
                continue;
            }
            match.visit(run, version);
            long place = record[at + RunStore.PLACE];
            if ((int) (place >>> 32) != position) {
                return END;
            }
            int matched = matching(extent, record[at + RunStore.LAST], hashes, from, count);
            return matched == RETRY ? RETRY : take(run, record, at, (int) place, position, matched, match);
        }
        return END;
    }

    private int take(int run, long[] record, int at, int holders, int position, int matched, PrefixMatch match) {
        boolean whole;
        if (holders <= RunStore.INLINE_HOLDERS) {
            int first = at + RunStore.HOLDERS;
            whole = match.extend(record, first, first + holders, position, matched);
        } else {
            long[] spill = runs.spill(run);
            if (spill == null || spill.length < holders) {
                return RETRY;
            }
            whole = match.extend(spill, 0, holders, position, matched);
        }
        return whole ? matched : END;
    }

    /**
     * Equal leading hashes of a run and a prompt, of which the first is equal. Hashes commit to all before them, so a few
     * comparisons do: at the fork, where prompts part most often; at the end; and, rarely, by halving what is between.
     */
    private int matching(long extent, long last, long[] hashes, int from, int count) {
        int blocks = RunStore.blocks(extent);
        int fork = RunStore.fork(extent);
        int limit = Math.min(blocks, count);
        boolean forks = fork > 0 && fork < limit;
        if (!forks && limit == blocks && last == hashes[from + limit - 1]) {
            return limit;
        }
        long[] run = runs.arena().chunk(RunStore.position(extent));
        if (run.length == 0) {
            return RETRY;
        }
        int index = HashArena.index(RunStore.position(extent));
        int equal = 0;
        int different = limit;
        if (forks) {
            if (run[index + fork] == hashes[from + fork]) {
                equal = fork;
            } else if (run[index + fork - 1] == hashes[from + fork - 1]) {
                return fork;
            } else {
                different = fork - 1;
            }
        }
        if (different == limit) {
            if (run[index + limit - 1] == hashes[from + limit - 1]) {
                return limit;
            }
            different = limit - 1;
        }
        while (different - equal > 1) {
            int middle = (equal + different) >>> 1;
            if (run[index + middle] == hashes[from + middle]) {
                equal = middle;
            } else {
                different = middle;
            }
        }
        return different;
    }
}
