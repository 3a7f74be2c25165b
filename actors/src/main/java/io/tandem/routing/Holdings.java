package io.tandem.routing;

import io.tandem.routing.PrefixIndex.HeldBlocks;
import java.util.BitSet;

/**
 * Which worker holds which blocks of each run: the leading ones as a number in the run's record, where readers see it, those behind
 * a gap aside. What nobody holds any more is forgotten from the end of its run on. For the writer of {@link PrefixIndex} alone.
 */
final class Holdings {
    private final RunStore runs;
    private final BlockTable table;
    private final HeadTable heads;
    private final HeldBehindGaps behindGaps = new HeldBehindGaps();

    /** Blocks by worker. */
    private final int[] held;

    Holdings(int maxWorkers, RunStore runs, BlockTable table, HeadTable heads) {
        this.runs = runs;
        this.table = table;
        this.heads = heads;
        held = new int[maxWorkers];
    }

    /** Blocks that a worker holds. */
    int held(int worker) {
        return held[worker];
    }

    /** Whether the worker holds a block of the run. */
    boolean holds(int worker, int run, int offset) {
        int number = runs.holderOf(run, worker);
        return number >= 0
                && (offset < RunStore.leading(runs.holder(run, number)) || behindGaps.contains(run, worker, offset));
    }

    /** The worker holds blocks {@code from..to-1} of the run. */
    void hold(int worker, int run, int from, int to) {
        int number = runs.holderOf(run, worker);
        int leading = number < 0 ? 0 : RunStore.leading(runs.holder(run, number));
        if (from > leading) {
            held[worker] += behindGaps.add(run, worker, from, to);
            if (number < 0) {
                setLeading(run, number, worker, 0);
            }
        } else if (to > leading) {
            int reach = behindGaps.reach(run, worker, to);
            held[worker] += reach - leading - behindGaps.remove(run, worker, leading, reach);
            setLeading(run, number, worker, reach);
        }
    }

    private void setLeading(int run, int number, int worker, int leading) {
        runs.begin(run);
        if (number < 0) {
            runs.addHolder(run, worker, leading);
        } else {
            runs.setHolder(run, number, worker, leading);
        }
        runs.end(run);
    }

    /** The worker loses blocks {@code from..to-1} of the run; answers how many of them it held. */
    int release(int worker, int run, int from, int to) {
        int number = runs.holderOf(run, worker);
        if (number < 0) {
            return 0;
        }
        int leading = RunStore.leading(runs.holder(run, number));
        int released = behindGaps.remove(run, worker, Math.max(from, leading), to);
        if (from < leading) {
            released += Math.min(to, leading) - from;
            if (to < leading) {
                behindGaps.add(run, worker, to, leading);
            }
            leading = from;
            setLeading(run, number, worker, leading);
        }
        if (leading == 0 && behindGaps.of(run, worker) == null) {
            runs.begin(run);
            runs.removeHolder(run, number);
            runs.end(run);
        }
        held[worker] -= released;
        shrink(run);
        return released;
    }

    /** Forgets the last blocks of a run as far as nobody holds them. */
    private void shrink(int run) {
        int needed = behindGaps.end(run);
        for (int i = runs.holders(run) - 1; i >= 0; i--) {
            needed = Math.max(needed, RunStore.leading(runs.holder(run, i)));
        }
        int length = runs.length(run);
        if (needed == length) {
            return;
        }
        long[] chunk = runs.chunk(run);
        int index = runs.index(run);
        if (needed == 0) {
            heads.remove(chunk[index], run);
        }
        for (int i = needed; i < length; i++) {
            if ((i - needed) % BlockTable.BATCH == 0) {
                table.fetch(chunk, index + i, Math.min(BlockTable.BATCH, length - i));
            }
            table.remove(chunk[index + i]);
        }
        if (needed == 0) {
            runs.free(run);
            return;
        }
        runs.begin(run);
        runs.setLength(run, needed);
        runs.end(run);
        runs.trim(run);
    }

    /** Everybody loses all blocks of the run. */
    void releaseAll(int run) {
        for (int i = runs.holders(run) - 1; i >= 0; i--) {
            release(RunStore.worker(runs.holder(run, i)), run, 0, runs.length(run));
        }
    }

    /** Everything a worker holds, in stretches that {@link PrefixIndex#store} takes as they come. */
    void forEach(int worker, HeldBlocks visitor) {
        for (int run = runs.first(); run != RunStore.NONE; run = runs.next(run)) {
            int number = runs.holderOf(run, worker);
            if (number >= 0) {
                visit(run, 0, RunStore.leading(runs.holder(run, number)), visitor);
                BitSet behind = behindGaps.of(run, worker);
                for (int a = behind == null ? -1 : behind.nextSetBit(0); a >= 0; ) {
                    int b = behind.nextClearBit(a);
                    visit(run, a, b, visitor);
                    a = behind.nextSetBit(b);
                }
            }
        }
    }

    private void visit(int run, int from, int to, HeldBlocks visitor) {
        if (to > from) {
            long parent = from == 0 ? runs.parent(run) : runs.hash(run, from - 1);
            visitor.accept(parent, runs.start(run) + from, runs.chunk(run), runs.index(run) + from, to - from);
        }
    }
}
