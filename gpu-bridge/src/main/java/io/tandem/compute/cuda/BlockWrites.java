package io.tandem.compute.cuda;

import io.tandem.compute.ForwardBatch;

/**
 * Which pass wrote to a block last. A sequence that ends gives its blocks back while a pass may still write to them, so a copy to
 * a block waits for that pass; one that wrote to none of its targets it need not wait for. The engine's thread writes, in
 * passes' order; others ask for blocks that were given to them since.
 */
final class BlockWrites {
    private final int blockTokens;
    private final long[] lastPass;
    private long begun;
    private volatile long over;

    BlockWrites(int blocks, int blockTokens) {
        this.blockTokens = blockTokens;
        lastPass = new long[blocks];
    }

    /** A pass is about to run. */
    void begin(ForwardBatch batch) {
        begun++;
        for (int s = 0; s < batch.sequences; s++) {
            int[] table = batch.blockTables[s];
            int last = (batch.contextStart[s] + batch.tokenCount[s] - 1) / blockTokens;
            for (int b = batch.contextStart[s] / blockTokens; b <= last; b++) {
                lastPass[table[b]] = begun;
            }
        }
    }

    /** The oldest pass under way is over. */
    void end() {
        over++;
    }

    /** Whether a pass that may still run writes to one of these blocks. */
    boolean pending(int[] blocks) {
        long done = over;
        for (int block : blocks) {
            if (lastPass[block] > done) {
                return true;
            }
        }
        return false;
    }
}
