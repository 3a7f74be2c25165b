package io.tandem.scheduling;

import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;

/**
 * One forward pass from its schedule to its results: the batch, whose each row is, and what the row stands for. Filled anew
 * for each step; allocates nothing.
 */
public final class Pass {
    public final ForwardBatch batch;
    public final ForwardOutput output;

    /** Sequence of each row of the batch. */
    public final Sequence[] sequences;

    /** {@link Sequence#preemptions} of each when the pass began; what one wrote that lost its blocks since is gone. */
    public final int[] lives;

    /** Tokens of the sequence in KV once the pass is over. */
    public final int[] writtenAfter;

    /** Index in the sequence's tokens of the one that the row chooses; -1 = the row chooses none. */
    public final int[] chosenAt;

    /** When its schedule began, by {@link System#nanoTime()}. */
    public long begunNanos;

    public Pass(ForwardBatch batch, ForwardOutput output) {
        this.batch = batch;
        this.output = output;
        sequences = new Sequence[batch.maxSequences];
        lives = new int[batch.maxSequences];
        writtenAfter = new int[batch.maxSequences];
        chosenAt = new int[batch.maxSequences];
    }

    public boolean isEmpty() {
        return batch.isEmpty();
    }

    /** Adds the next {@code count} tokens of a sequence. */
    void add(Sequence s, int count) {
        int row = batch.sequences;
        boolean last = s.computed + count == s.length;
        batch.add(
                s.tokens,
                s.computed,
                count,
                s.blockTable,
                last,
                s.key,
                s.slot,
                s.spec.sampling(),
                s.spec.promptTokens());
        sequences[row] = s;
        lives[row] = s.preemptions;
        writtenAfter[row] = s.computed + count;
        chosenAt[row] = last ? s.length : -1;
    }

    /**
     * Books the pass as begun: the tokens count as computed, and where one will be chosen a placeholder takes its place, so
     * that the next pass can be made ready before this one is over.
     */
    public void begin(long nowNanos) {
        for (int row = 0; row < batch.sequences; row++) {
            Sequence s = sequences[row];
            if (s.startedNanos == 0) {
                s.startedNanos = nowNanos;
            }
            int count = batch.tokenCount[row];
            s.computed += count;
            s.computedTokens += count;
            s.underWay++;
            if (chosenAt[row] >= 0) {
                s.tokens[s.length++] = -1 - s.slot;
            }
        }
    }

    /** The row's sequence still holds the blocks it wrote. */
    public boolean isLive(int row) {
        return lives[row] == sequences[row].preemptions;
    }

    /** Forgets the sequences, so that what is over can be collected. */
    public void clear() {
        for (int row = 0; row < batch.sequences; row++) {
            sequences[row] = null;
        }
        batch.clear();
    }
}
