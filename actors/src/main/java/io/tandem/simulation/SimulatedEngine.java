package io.tandem.simulation;

import io.tandem.simulation.EngineSequence.IdSource;
import io.tandem.simulation.EngineSequence.Work;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/**
 * One worker: continuous batching with chunked prefill, prefix caching, and preemption of the last one admitted when blocks
 * run out. A pass is decided at its start and becomes visible at its end. The scheduling rules are those of vLLM as
 * Dynamo's replay models it.
 */
final class SimulatedEngine {
    private final EngineSettings settings;
    private final PassTimer timer;
    private final IdSource generatedBlocks;
    private final ArrayDeque<EngineSequence> waiting = new ArrayDeque<>();
    private final ArrayDeque<EngineSequence> arrivedDecodes = new ArrayDeque<>();
    private final List<EngineSequence> running = new ArrayList<>();
    private final List<EngineSequence> emitting = new ArrayList<>();
    private int budget;
    private boolean preempted;
    private int reservedBlocks;

    final KvCacheModel cache;
    final PassShape pass = new PassShape();
    final int id;
    long passEndNanos = -1;
    long passNanos;
    long busyPrefillNanos;
    long busyNanos;
    long preemptions;

    /** Limits of an engine. */
    record EngineSettings(int blocks, int blockTokens, int maxSequences, int maxBatchTokens) {
        static final EngineSettings DYNAMO = new EngineSettings(16_384, 64, 256, 8_192);
    }

    SimulatedEngine(int id, EngineSettings settings, PassTimer timer, IdSource generatedBlocks) {
        this.id = id;
        this.settings = settings;
        this.timer = timer;
        this.generatedBlocks = generatedBlocks;
        cache = new KvCacheModel(settings.blocks());
    }

    boolean inPass() {
        return passEndNanos >= 0;
    }

    int runningCount() {
        return running.size();
    }

    int waitingCount() {
        return waiting.size() + arrivedDecodes.size();
    }

    /** False when the prompt alone is larger than the cache. */
    boolean enqueue(EngineSequence sequence) {
        if (blocksFor(sequence.promptTokens) > settings.blocks()) {
            return false;
        }
        waiting.addLast(sequence);
        return true;
    }

    /** Takes room for a prompt that is on its way; false when there is none. */
    boolean reserve(EngineSequence sequence) {
        int shared = 0;
        while (shared < sequence.promptBlocks() && cache.resident(sequence.promptBlockId(shared))) {
            shared++;
        }
        int need = blocksFor(sequence.inputTokens);
        if (need - usedAmong(sequence, shared) > cache.availableBlocks()) {
            return false;
        }
        acquire(sequence, shared);
        cache.allocate(need - shared);
        sequence.openBlocks = need - shared;
        reservedBlocks += need;
        return true;
    }

    /** The prompt of a reserved sequence has come; it decodes from the next pass on. */
    void activate(EngineSequence sequence) {
        reservedBlocks -= blocksFor(sequence.inputTokens);
        sequence.computed = sequence.inputTokens;
        publishWhole(sequence);
        arrivedDecodes.addLast(sequence);
    }

    private int blocksFor(int tokens) {
        return Math.ceilDiv(tokens, settings.blockTokens());
    }

    private int usedAmong(EngineSequence sequence, int blocks) {
        int used = 0;
        for (int b = 0; b < blocks; b++) {
            used += cache.inUse(sequence.promptBlockId(b)) ? 1 : 0;
        }
        return used;
    }

    private void acquire(EngineSequence sequence, int blocks) {
        for (int b = 0; b < blocks; b++) {
            cache.acquire(sequence.promptBlockId(b));
        }
        sequence.wholeBlocks = blocks;
    }

    /** Starts a pass if there is something to compute; the answer says whether there was. */
    boolean startPass(long now) {
        pass.clear();
        emitting.clear();
        budget = settings.maxBatchTokens();
        preempted = false;
        scheduleRunning();
        if (!preempted) {
            admitDecodes();
            admitWaiting(now);
        }
        if (pass.prefillSequences == 0 && pass.decodeSequences == 0) {
            return false;
        }
        passNanos = timer.passNanos(pass);
        passEndNanos = now + passNanos;
        busyNanos += passNanos;
        busyPrefillNanos += pass.newTokens > 0 ? passNanos : 0;
        return true;
    }

    private void scheduleRunning() {
        for (int i = 0; i < running.size() && budget > 0; i++) {
            EngineSequence s = running.get(i);
            int tokens = s.prefilling() ? Math.min(s.promptTokens - s.computed, budget) : 1;
            if (!makeRoom(s, tokens)) {
                return;
            }
            schedule(s, tokens);
        }
    }

    /** Preempts from the end until {@code s} has room for {@code tokens} more; false when {@code s} went itself. */
    private boolean makeRoom(EngineSequence s, int tokens) {
        int more = blocksFor(s.computed + tokens) - s.wholeBlocks - s.openBlocks;
        while (more > 0 && !cache.allocate(more)) {
            EngineSequence last = running.removeLast();
            preempt(last);
            if (last == s) {
                return false;
            }
        }
        s.openBlocks += Math.max(0, more);
        return true;
    }

    private void preempt(EngineSequence s) {
        preempted = true;
        preemptions++;
        releaseBlocks(s);
        s.computed = 0;
        s.promptTokens = s.inputTokens + s.generated;
        waiting.addFirst(s);
    }

    private void schedule(EngineSequence s, int tokens) {
        if (s.prefilling()) {
            pass.addPrefill(s.computed, tokens);
        } else {
            pass.addDecode(s.inputTokens + s.generated);
        }
        budget -= tokens;
        s.computed += tokens;
        publishWhole(s);
        if (!s.prefilling()) {
            emitting.add(s);
        }
    }

    private void publishWhole(EngineSequence s) {
        int whole = s.computed / settings.blockTokens();
        while (s.wholeBlocks < whole) {
            cache.publish(s.blockId(s.wholeBlocks, generatedBlocks));
            s.wholeBlocks++;
            s.openBlocks--;
        }
    }

    private void admitDecodes() {
        while (!arrivedDecodes.isEmpty() && running.size() < settings.maxSequences() && budget > 0) {
            EngineSequence s = arrivedDecodes.removeFirst();
            running.add(s);
            // The last prompt token is computed again for the first output token: the context is the prompt.
            pass.addDecode(s.inputTokens + s.generated);
            budget--;
            emitting.add(s);
        }
    }

    private void admitWaiting(long now) {
        while (!waiting.isEmpty() && running.size() < settings.maxSequences() && budget > 0) {
            EngineSequence s = waiting.getFirst();
            int cached = cachedBlocks(s);
            int need = blocksFor(s.promptTokens) - usedAmong(s, cached);
            if (need > cache.availableBlocks()) {
                return;
            }
            waiting.removeFirst();
            admit(s, cached, now);
        }
    }

    private void admit(EngineSequence s, int cached, long now) {
        acquire(s, cached);
        s.computed = cached * settings.blockTokens();
        if (s.cachedTokens < 0) {
            s.cachedTokens = s.computed;
            s.firstAdmitNanos = now;
        }
        running.add(s);
        int tokens = Math.min(s.promptTokens - s.computed, budget);
        int more = blocksFor(s.computed + tokens) - s.wholeBlocks;
        cache.allocate(more);
        s.openBlocks = more;
        schedule(s, tokens);
    }

    private int cachedBlocks(EngineSequence s) {
        int limit = Math.min(s.promptBlocks(), (s.promptTokens - 1) / settings.blockTokens());
        int cached = 0;
        while (cached < limit && cache.resident(s.promptBlockId(cached))) {
            cached++;
        }
        return cached;
    }

    /** Ends the pass: {@code each} gets every sequence with a new token or a finished prompt. */
    void endPass(List<EngineSequence> out) {
        passEndNanos = -1;
        out.clear();
        out.addAll(emitting);
        for (int i = 0; i < emitting.size(); i++) {
            EngineSequence s = emitting.get(i);
            if (s.work != Work.PREFILL) {
                s.generated++;
            }
        }
    }

    boolean finished(EngineSequence s) {
        return s.work == Work.PREFILL || s.generated >= s.outputTokens;
    }

    /** Takes a sequence out of the batch; its blocks stay held. */
    void remove(EngineSequence s) {
        running.remove(s);
    }

    /** Frees a sequence's blocks, the last first, so that prefixes outlive what follows them. */
    void releaseBlocks(EngineSequence s) {
        cache.releaseAnonymous(s.openBlocks);
        s.openBlocks = 0;
        for (int b = s.wholeBlocks - 1; b >= 0; b--) {
            cache.release(s.blockId(b, generatedBlocks));
        }
        s.wholeBlocks = 0;
    }

    int reservedBlocks() {
        return reservedBlocks;
    }
}
