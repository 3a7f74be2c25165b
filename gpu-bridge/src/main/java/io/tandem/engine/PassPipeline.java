package io.tandem.engine;

import io.tandem.compute.ComputeBackend;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.kvcache.KvMemory;
import io.tandem.scheduling.Pass;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * The passes of an engine on their way through the backend: one at a time or, where the backend overlaps them, the next one begun
 * before the results of the one before are taken. Single-threaded.
 */
final class PassPipeline {
    private final ComputeBackend backend;
    private final KvMemory kv;
    private final LongSupplier stopwatch;
    private final Pass[] passes;
    private int turn;

    /** What the backend has taken in this step. */
    private Pass started;

    /** What it computes while the step before is taken. */
    private Pass underWay;

    /** What has its results taken. */
    private Pass ending;

    private long lastStepNanos;
    private long lastCompletionNanos = Long.MIN_VALUE;

    PassPipeline(ComputeBackend backend, KvMemory kv, int batchTokens, int maxSequences, LongSupplier stopwatch) {
        this.backend = backend;
        this.kv = kv;
        this.stopwatch = stopwatch;
        passes = new Pass[backend.overlapsPasses() ? 2 : 1];
        for (int i = 0; i < passes.length; i++) {
            passes[i] = new Pass(
                    new ForwardBatch(batchTokens, maxSequences),
                    new ForwardOutput(maxSequences, backend.model().vocabSize(), !backend.choosesTokens()));
        }
    }

    /** Whether a pass is computed whose results are to be taken by a later step. */
    boolean isBusy() {
        return underWay != null;
    }

    /** The pass to be filled for this step. */
    Pass next() {
        Pass pass = passes[turn];
        pass.begunNanos = stopwatch.getAsLong();
        return pass;
    }

    /** Gives it to the backend. */
    void submit(Pass pass) {
        turn = (turn + 1) % passes.length;
        backend.submit(pass.batch, kv, pass.output);
        started = pass;
    }

    /** The pass whose results this step is to take, once they are there; null when there is none. */
    Pass await() {
        Pass over = started;
        if (backend.overlapsPasses()) {
            over = underWay;
            underWay = started;
        }
        started = null;
        ending = over;
        if (over != null) {
            backend.await();
        }
        return over;
    }

    /** They are taken. */
    void taken(Pass pass) {
        ending = null;
        long now = stopwatch.getAsLong();
        lastStepNanos = now - Math.max(pass.begunNanos, lastCompletionNanos);
        lastCompletionNanos = now;
    }

    /** How long the latest pass took, or what of it the one before left. */
    long lastStepNanos() {
        return lastStepNanos;
    }

    /** A step failed: waits for what the backend still computes, and answers the passes whose results nobody will have. */
    List<Pass> abandon() {
        List<Pass> lost = new ArrayList<>(2);
        if (ending != null) {
            lost.add(ending);
        }
        if (underWay != null) {
            lost.add(underWay);
        }
        int toAwait = (underWay == null ? 0 : 1) + (started == null ? 0 : 1);
        forget();
        for (int i = 0; i < toAwait; i++) {
            backend.await();
        }
        return lost;
    }

    /** The backend will give no results any more. */
    void forget() {
        ending = null;
        underWay = null;
        started = null;
    }
}
