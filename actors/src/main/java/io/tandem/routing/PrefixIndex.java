package io.tandem.routing;

import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.Objects;

/**
 * Which worker holds which leading blocks of a prompt. Blocks are named by their sequence hash: a 64-bit hash that commits
 * to the block and to all before it. So equal hashes mean equal prefixes, and the index keeps chains as runs (stretches of
 * consecutive blocks, {@link RunStore}): a look-up compares the last block of a run and knows all of it, and takes one
 * probe of {@link HeadTable} a run, not a block. A branch begins a new run where it leaves the old one; nothing is split.
 *
 * <p>Exact. Each run says for each holder how many of its leading blocks it has; what a worker holds behind a gap (after
 * a removal in the middle) is kept aside. Depth stops at the gap, and storing the missing block gives the whole depth back.
 * A block that nobody holds any more stays known as long as a later block of its run is held.
 *
 * <p>One thread writes. Any thread looks up, without locks or writes, and sees the state of one moment: a look-up that meets
 * a change of what it read begins anew, and waits at most for the few stores of one change to one run.
 *
 * <p>Bounded: {@code maxBlocks} distinct blocks; the runs used least recently (an event on a run is a use of those before
 * it too) go first, for all workers. So a full index says too little, never too much.
 *
 * <p>Two different blocks with equal hashes: the first one stored stays, and a store that contradicts it in position or
 * parent ends there ({@link #conflicts()}). Such a collision can mislead a route, never an answer: engines compare the
 * 128-bit hash before they use a block.
 */
public final class PrefixIndex {
    /** For {@link #store}: the position follows from the parent, which the worker must hold. */
    public static final int UNKNOWN_POSITION = -1;

    /** Answer of {@link #store}: the worker does not hold the parent; nothing was changed. */
    public static final int UNKNOWN_PARENT = -1;

    private static final int RETRY = -1;
    private static final int END = 0;

    private final int maxWorkers;
    private final long maxBlocks;
    private final RunStore runs;
    private final BlockTable table;
    private final HeadTable heads;
    private final Holdings holdings;

    private long conflicts;
    private long evictedBlocks;

    /**
     * @param maxWorkers workers are named 0 to {@code maxWorkers - 1}
     * @param maxBlocks distinct blocks kept
     */
    public PrefixIndex(int maxWorkers, long maxBlocks) {
        if (maxWorkers < 1) {
            throw new IllegalArgumentException("maxWorkers must be positive, not " + maxWorkers);
        }
        if (maxBlocks < 1 || maxBlocks > 1 << 28) {
            throw new IllegalArgumentException("maxBlocks must be in 1..2^28, not " + maxBlocks);
        }
        this.maxWorkers = maxWorkers;
        this.maxBlocks = maxBlocks;
        runs = new RunStore(maxBlocks);
        table = new BlockTable(runs);
        heads = new HeadTable(runs);
        holdings = new Holdings(maxWorkers, runs, table, heads);
    }

    public int maxWorkers() {
        return maxWorkers;
    }

    /** Distinct blocks kept at most. */
    public long maxBlocks() {
        return maxBlocks;
    }

    // ---- look-up: any thread

    /** Finds for each worker the leading blocks of a prompt it holds; {@code hashes[from..from+count)} is the chain. */
    public void find(long[] hashes, int from, int count, PrefixMatch match) {
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

    // ---- changes: the one writer

    /**
     * A worker holds blocks from now on; what it holds already stays.
     *
     * @param parent hash of the block before the first one; ignored at position 0
     * @param position index of the first block in its chain, or {@link #UNKNOWN_POSITION}
     * @param hashes {@code hashes[from..from+count)}, consecutive blocks of one chain
     * @return blocks taken from the front: {@code count}, or less when a hash contradicts what is known or the limit is
     *     reached; {@link #UNKNOWN_PARENT} when the position is unknown and the worker does not hold the parent
     */
    public int store(int worker, long parent, int position, long[] hashes, int from, int count) {
        checkWorker(worker);
        Objects.checkFromIndexSize(from, count, hashes.length);
        if (position < UNKNOWN_POSITION || position > Integer.MAX_VALUE - count) {
            throw new IllegalArgumentException("position must be in -1..2^31-1-count, not " + position);
        }
        int run = RunStore.NONE;
        int offset = 0;
        int first = position;
        if (position != 0) {
            long place = table.find(parent);
            if (place != BlockTable.MISSING) {
                run = BlockTable.run(place);
                offset = BlockTable.offset(place);
                first = runs.start(run) + offset + 1;
            }
            if (position == UNKNOWN_POSITION) {
                if (run == RunStore.NONE || !holdings.holds(worker, run, offset)) {
                    return UNKNOWN_PARENT;
                }
            } else if (run != RunStore.NONE && first != position) {
                conflicts++;
                return 0;
            }
        }
        return new Walk(worker, hashes, from, count, parent, first, run, offset).store();
    }

    /** A store under way: where it stands in its input and in the index. */
    private final class Walk {
        private final int worker;
        private final long[] hashes;
        private final int from;
        private final int count;
        private final long parent;
        private final int position;

        /** Where the block before the next one is; no run when it is not known or there is none. */
        private int run;

        private int offset;
        private int done;

        Walk(int worker, long[] hashes, int from, int count, long parent, int position, int run, int offset) {
            this.worker = worker;
            this.hashes = hashes;
            this.from = from;
            this.count = count;
            this.parent = parent;
            this.position = position;
            this.run = run;
            this.offset = offset;
        }

        int store() {
            boolean goesOn = true;
            while (done < count && goesOn) {
                goesOn = along() || known() || fresh();
            }
            touch(run);
            return done;
        }

        /** Blocks that follow in the run at hand. */
        private boolean along() {
            if (run == RunStore.NONE || offset + 1 >= runs.length(run)) {
                return false;
            }
            return mark(offset + 1) > 0;
        }

        /** Blocks of another run, which begins here. */
        private boolean known() {
            long place = table.find(hashes[from + done]);
            if (place == BlockTable.MISSING) {
                return false;
            }
            int other = BlockTable.run(place);
            boolean follows = BlockTable.offset(place) == 0
                    && runs.start(other) == position + done
                    && (position + done == 0 || runs.parent(other) == before());
            if (!follows) {
                conflicts++;
                return false;
            }
            run = other;
            return mark(0) > 0;
        }

        private long before() {
            return done == 0 ? parent : hashes[from + done - 1];
        }

        /** Marks the blocks of the run, from an offset on, that the input goes along with. */
        private int mark(int at) {
            int limit = Math.min(runs.length(run) - at, count - done);
            int index = runs.index(run) + at;
            int differs =
                    Arrays.mismatch(runs.chunk(run), index, index + limit, hashes, from + done, from + done + limit);
            int equal = differs < 0 ? limit : differs;
            if (equal > 0) {
                holdings.hold(worker, run, at, at + equal);
                offset = at + equal - 1;
                done += equal;
            }
            return equal;
        }

        /** New blocks: at the end of the run at hand when we stand there, else in a run of their own. */
        private boolean fresh() {
            if (table.find(hashes[from + done]) != BlockTable.MISSING) {
                return false; // a conflict
            }
            boolean append =
                    run != RunStore.NONE && offset + 1 == runs.length(run) && offset + 1 < RunStore.MAX_RUN_BLOCKS;
            int at = append ? offset + 1 : 0;
            int room = makeRoom(Math.min(count - done, RunStore.MAX_RUN_BLOCKS - at), run);
            if (room == 0) {
                return false;
            }
            if (append) {
                runs.ensureCapacity(run, at + room);
            } else if (!begin(room)) {
                return false;
            }
            int entered = enter(at, room);
            runs.begin(run);
            runs.setLength(run, at + entered);
            runs.end(run);
            holdings.hold(worker, run, at, at + entered);
            if (!append) {
                heads.add(runs.hash(run, 0), run);
            }
            runs.trim(run);
            offset = at + entered - 1;
            done += entered;
            return true;
        }

        /** A run for the next blocks, which branches off the one at hand. */
        private boolean begin(int room) {
            int created = runs.create(position + done, position + done == 0 ? 0 : before(), run, room);
            if (created == RunStore.NONE) {
                return false;
            }
            if (run != RunStore.NONE && offset + 1 < runs.length(run)) {
                runs.setFork(run, offset + 1);
            }
            run = created;
            return true;
        }

        /** Enters blocks into the table, up to one that is there already; readers do not see them yet. */
        private int enter(int at, int room) {
            table.reserve(room);
            System.arraycopy(hashes, from + done, runs.chunk(run), runs.index(run) + at, room);
            int first = from + done;
            for (int entered = 0; entered < room; entered++) {
                if (entered % BlockTable.BATCH == 0) {
                    table.fetch(hashes, first + entered, Math.min(BlockTable.BATCH, room - entered));
                }
                if (table.claim(hashes[first + entered], run, at + entered) != BlockTable.MISSING) {
                    return entered;
                }
            }
            return room;
        }
    }

    /**
     * A worker no longer holds blocks.
     *
     * @return how many of them it held
     */
    public int remove(int worker, long[] hashes, int from, int count) {
        checkWorker(worker);
        Objects.checkFromIndexSize(from, count, hashes.length);
        int removed = 0;
        int i = 0;
        while (i < count) {
            long place = table.find(hashes[from + i]);
            if (place == BlockTable.MISSING) {
                i++;
                continue;
            }
            int run = BlockTable.run(place);
            int offset = BlockTable.offset(place);
            int descending = descending(run, offset, hashes, from + i, count - i);
            int ascending = descending > 1 ? 1 : ascending(run, offset, hashes, from + i, count - i);
            removed += holdings.release(worker, run, offset - descending + 1, offset + ascending);
            i += Math.max(descending, ascending);
        }
        return removed;
    }

    private int descending(int run, int offset, long[] hashes, int from, int count) {
        long[] chunk = runs.chunk(run);
        int index = runs.index(run) + offset;
        int limit = Math.min(count, offset + 1);
        int equal = 1;
        while (equal < limit && chunk[index - equal] == hashes[from + equal]) {
            equal++;
        }
        return equal;
    }

    private int ascending(int run, int offset, long[] hashes, int from, int count) {
        int index = runs.index(run) + offset;
        int limit = Math.min(count, runs.length(run) - offset);
        int differs = Arrays.mismatch(runs.chunk(run), index, index + limit, hashes, from, from + limit);
        return differs < 0 ? limit : differs;
    }

    /** A worker holds nothing any more: it cleared its cache, left, or begins a new incarnation. */
    public void clear(int worker) {
        checkWorker(worker);
        int run = runs.first();
        while (run != RunStore.NONE && holdings.held(worker) > 0) {
            int next = runs.next(run);
            if (runs.holderOf(run, worker) >= 0) {
                holdings.release(worker, run, 0, runs.length(run));
            }
            run = next;
        }
    }

    private void checkWorker(int worker) {
        if (worker < 0 || worker >= maxWorkers) {
            throw new IllegalArgumentException("worker must be in 0.." + (maxWorkers - 1) + ", not " + worker);
        }
    }

    // ---- the limit

    /** A run is used, and so are those before it. */
    private void touch(int last) {
        for (int run = last; run != RunStore.NONE; run = runs.parentRun(run)) {
            runs.touch(run);
        }
    }

    /** Evicts until so many blocks more may come, or as many as can be had without the run that is being extended. */
    private int makeRoom(int wanted, int keep) {
        if (table.live() + (long) wanted <= maxBlocks) {
            return wanted;
        }
        touch(keep);
        while (table.live() + (long) wanted > maxBlocks) {
            int victim = runs.first();
            if (victim == keep || victim == RunStore.NONE) {
                return (int) Math.max(0, maxBlocks - table.live());
            }
            evict(victim);
        }
        return wanted;
    }

    private void evict(int run) {
        evictedBlocks += runs.length(run);
        holdings.releaseAll(run);
    }

    // ---- what there is

    /** Receives what a worker holds: consecutive blocks {@code hashes[from..from+count)} and where they belong. */
    @FunctionalInterface
    public interface HeldBlocks {
        void accept(long parent, int position, long[] hashes, int from, int count);
    }

    /** Everything a worker holds, in stretches that {@link #store} takes as they come. */
    public void forEachHeld(int worker, HeldBlocks visitor) {
        holdings.forEach(worker, visitor);
    }

    /** Blocks that a worker holds. */
    public int held(int worker) {
        return holdings.held(worker);
    }

    /** Distinct blocks known. */
    public int blocks() {
        return table.live();
    }

    public int runs() {
        return runs.live();
    }

    /** Stores that ended early at a hash that contradicts what is known. */
    public long conflicts() {
        return conflicts;
    }

    /** Distinct blocks forgotten for want of room. */
    public long evictedBlocks() {
        return evictedBlocks;
    }

    /** Hashes that memory is set aside for; none when nobody holds anything. */
    long hashesInUse() {
        return runs.arena().longsInUse();
    }

    /** Memory in use. */
    public long bytes() {
        return table.bytes() + heads.bytes() + runs.bytes() + 4L * maxWorkers;
    }
}
