package io.tandem.routing;

import java.util.Arrays;

/**
 * What a look-up found: for each worker the leading blocks of the prompt that it holds. Belongs to its caller, who uses it
 * again and again, so that a look-up allocates nothing; not thread-safe.
 */
public final class PrefixMatch {
    /** Leading blocks held, by worker. */
    private final int[] depth;

    /** Workers with a depth above 0, in no order. */
    private final int[] workers;

    private int count;
    private int best;

    /** Runs that the look-up rests on, each with the version it had. */
    private int[] runs = new int[32];

    private long[] versions = new long[32];
    private int visited;
    private long retries;

    public PrefixMatch(int maxWorkers) {
        depth = new int[maxWorkers];
        workers = new int[maxWorkers];
    }

    /** Leading blocks that a worker holds. */
    public int depth(int worker) {
        return depth[worker];
    }

    /** The largest depth of any worker. */
    public int best() {
        return best;
    }

    /** Workers that hold at least the first block. */
    public int count() {
        return count;
    }

    /** One of the {@link #count()} workers that hold at least the first block. */
    public int worker(int number) {
        return workers[number];
    }

    /** Look-ups begun anew because the index changed under them, since this object was made. */
    public long retries() {
        return retries;
    }

    void clear() {
        for (int i = 0; i < count; i++) {
            depth[workers[i]] = 0;
        }
        count = 0;
        best = 0;
        visited = 0;
    }

    void retry() {
        retries++;
    }

    /**
     * Takes in the holders of a run whose first {@code matched} blocks continue the prompt at {@code position}. Answers
     * whether anybody holds everything up to the end of them.
     */
    boolean extend(long[] holders, int from, int to, int position, int matched) {
        return position == 0 ? begin(holders, from, to, matched) : goOn(holders, from, to, position, matched);
    }

    private boolean begin(long[] holders, int from, int to, int matched) {
        int deepest = 0;
        int found = 0;
        for (int i = from; i < to; i++) {
            long holder = holders[i];
            int leading = Math.min(RunStore.leading(holder), matched);
            if (leading > 0) {
                int worker = RunStore.worker(holder);
                workers[found++] = worker;
                depth[worker] = leading;
                deepest = Math.max(deepest, leading);
            }
        }
        count = found;
        best = deepest;
        return deepest == matched;
    }

    private boolean goOn(long[] holders, int from, int to, int position, int matched) {
        int deepest = best;
        for (int i = from; i < to; i++) {
            long holder = holders[i];
            int worker = RunStore.worker(holder);
            if (depth[worker] == position) {
                int reached = position + Math.min(RunStore.leading(holder), matched);
                depth[worker] = reached;
                deepest = Math.max(deepest, reached);
            }
        }
        best = deepest;
        return deepest == position + matched;
    }

    void visit(int run, long version) {
        if (visited == runs.length) {
            runs = Arrays.copyOf(runs, visited * 2);
            versions = Arrays.copyOf(versions, visited * 2);
        }
        runs[visited] = run;
        versions[visited++] = version;
    }

    /** True when no run that the look-up rests on has changed since. */
    boolean holds(RunStore store) {
        for (int i = 0; i < visited; i++) {
            if (RunStore.version(store.record(runs[i]), RunStore.recordIndex(runs[i])) != versions[i]) {
                return false;
            }
        }
        return true;
    }
}
