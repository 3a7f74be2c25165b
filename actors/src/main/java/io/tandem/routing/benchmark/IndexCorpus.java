package io.tandem.routing.benchmark;

import io.tandem.kvcache.Xxh3;
import io.tandem.simulation.Trace;
import java.util.Arrays;

/**
 * Look-ups and block events made of a trace: request r goes to worker r mod N; a worker keeps its blocks in LRU order and
 * says what it evicts and what it stores. A prompt's tokens are the numbers of its nodes, each repeated over the node, and
 * its blocks are named by chained XXH3 hashes.
 */
final class IndexCorpus {
    /** Blocks that a worker holds from now on. */
    record Stored(int worker, long parent, int position, long[] hashes) {}

    /** Blocks that a worker holds no longer. */
    record Removed(int worker, long[] hashes) {}

    /** What there is, in numbers. */
    record Totals(
            long storedEvents,
            long removedEvents,
            long requestBlocks,
            long storedBlocks,
            long removedBlocks,
            long hitBlocks) {
        long blockOperations() {
            return requestBlocks + storedBlocks + removedBlocks;
        }
    }

    /** Sequence hashes of a prompt's whole blocks, by request. */
    final long[][] prompts;

    /** By request; null where it stores nothing. */
    final Stored[] stored;

    /** By request; null where it evicts nothing. */
    final Removed[] removed;

    final Totals totals;

    private IndexCorpus(long[][] prompts, Stored[] stored, Removed[] removed, Totals totals) {
        this.prompts = prompts;
        this.stored = stored;
        this.removed = removed;
        this.totals = totals;
    }

    /**
     * @param prompts from {@link #sequences}
     * @param capBlocks blocks a worker can keep, 0 = without limit
     */
    static IndexCorpus of(long[][] prompts, int workers, int capBlocks) {
        LruCache[] caches = new LruCache[workers];
        Arrays.setAll(caches, w -> new LruCache(capBlocks));
        Stored[] stored = new Stored[prompts.length];
        Removed[] removed = new Removed[prompts.length];
        long[] sums = new long[6];
        for (int r = 0; r < prompts.length; r++) {
            long[] blocks = prompts[r];
            int worker = r % workers;
            int kept = capBlocks == 0 ? blocks.length : Math.min(capBlocks, blocks.length);
            int hit = caches[worker].leading(blocks, kept);
            caches[worker].touch(blocks, kept);
            long[] evicted = caches[worker].evict();
            if (evicted.length > 0) {
                removed[r] = new Removed(worker, evicted);
                sums[1]++;
                sums[4] += evicted.length;
            }
            if (hit < kept) {
                stored[r] =
                        new Stored(worker, hit == 0 ? 0 : blocks[hit - 1], hit, Arrays.copyOfRange(blocks, hit, kept));
                sums[0]++;
                sums[3] += kept - hit;
            }
            sums[2] += blocks.length;
            sums[5] += hit;
        }
        return new IndexCorpus(
                prompts, stored, removed, new Totals(sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]));
    }

    /** The block hashes of each request of a trace, without the chain. */
    static long[][] locals(Trace trace, int blockTokens) {
        if (trace.prefixBlockTokens() % blockTokens != 0) {
            throw new IllegalArgumentException("blockTokens must divide the trace's prefix blocks of "
                    + trace.prefixBlockTokens() + " tokens, not " + blockTokens);
        }
        int perNode = trace.prefixBlockTokens() / blockTokens;
        Xxh3 xxh3 = new Xxh3(Xxh3.BLOCK_SEED);
        int[] tokens = new int[blockTokens];
        long[][] locals = new long[trace.size()][];
        for (int r = 0; r < locals.length; r++) {
            locals[r] = new long[trace.inputTokens()[r] / blockTokens];
            for (int b = 0; b < locals[r].length; b += perNode) {
                Arrays.fill(tokens, trace.nodes()[r][b / perNode]);
                int end = Math.min(locals[r].length, b + perNode);
                Arrays.fill(locals[r], b, end, xxh3.tokens(tokens, 0, blockTokens));
            }
        }
        return locals;
    }

    /** Chains block hashes to sequence hashes. */
    static long[][] sequences(long[][] locals) {
        Xxh3 xxh3 = new Xxh3(Xxh3.BLOCK_SEED);
        long[][] sequences = new long[locals.length][];
        for (int r = 0; r < locals.length; r++) {
            sequences[r] = new long[locals[r].length];
            xxh3.chain(locals[r], locals[r].length, sequences[r]);
        }
        return sequences;
    }
}
