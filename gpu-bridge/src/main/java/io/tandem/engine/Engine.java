package io.tandem.engine;

import io.tandem.compute.ComputeBackend;
import io.tandem.compute.ForwardBatch;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.kvcache.BlockEvents;
import io.tandem.kvcache.BlockHash;
import io.tandem.kvcache.BlockHashKey;
import io.tandem.kvcache.BlockPool;
import io.tandem.kvcache.FindableBlocks;
import io.tandem.kvcache.KvMemory;
import io.tandem.scheduling.Pass;
import io.tandem.scheduling.Scheduler;
import io.tandem.scheduling.Sequence;
import io.tandem.scheduling.Sequence.Phase;
import io.tandem.scheduling.Sequence.Purpose;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;

/**
 * The step loop of one GPU, single-threaded and without a clock of its own: {@link #apply} between steps, {@link #step}
 * for one forward pass. {@link EngineLoop} gives it a thread. Owns the KV memory; the backend belongs to the caller.
 */
public final class Engine implements AutoCloseable {
    /** About the blocks of one long prompt; more are handed out in parts. */
    private static final int BLOCK_EVENT_WORDS = 4096;

    private final EngineSettings settings;
    private final EngineListener listener;
    private final KvMemory kv;
    private final BlockPool pool;
    private final BlockEvents blockEvents;
    private final Scheduler scheduler;
    private final PrefillReports prefillReports;
    private final TokenChoice tokenChoice;
    private final PassPipeline pipeline;
    private final Map<Long, Sequence> sequences = new HashMap<>();
    private final LiveExports exports;
    private final SequenceChecks checks;
    private EngineRole role;
    private int held;
    private boolean roleIsNew;
    private long steps;
    private long computedTokens;
    private long generatedTokens;

    /**
     * @param modelFingerprint keeps block hashes of different models apart
     */
    public Engine(
            ComputeBackend backend,
            String modelFingerprint,
            EngineSettings settings,
            EngineRole role,
            EngineListener listener) {
        this(backend, modelFingerprint, settings, role, listener, System::nanoTime, BlockHashKey.PUBLIC);
    }

    /**
     * @param stopwatch measures the steps; nothing else depends on it
     * @param hashKey of the cluster's block hashes
     */
    public Engine(
            ComputeBackend backend,
            String modelFingerprint,
            EngineSettings settings,
            EngineRole role,
            EngineListener listener,
            LongSupplier stopwatch,
            BlockHashKey hashKey) {
        this.settings = settings;
        this.listener = listener;
        this.role = role;
        kv = backend.allocateKv(
                settings.kvBlocks() > 0
                        ? settings.kvBlocks()
                        : EngineSettings.blocks(
                                backend.kvLayout().blockBytes(), backend.kvMemoryBytes(settings.kvMemoryBytes())));
        blockEvents = new BlockEvents(BLOCK_EVENT_WORDS, listener::onBlockEvents);
        pool = new BlockPool(kv.blocks(), blockEvents);
        scheduler = new Scheduler(settings, pool, BlockHash.of(hashKey, modelFingerprint, settings.blockTokens()));
        exports = new LiveExports(pool, scheduler, settings.blockTokens(), listener);
        int batchTokens = Math.min(settings.maxBatchTokens(), backend.maxBatchTokens());
        pipeline = new PassPipeline(backend, kv, batchTokens, settings.maxSequences(), stopwatch);
        prefillReports = new PrefillReports(listener, scheduler, kv, settings.blockTokens());
        tokenChoice = new TokenChoice(backend, settings.maxSequences());
        long kvTokens = (long) kv.blocks() * settings.blockTokens();
        int maxTokens = (int) Math.min(backend.model().maxContextTokens(), kvTokens);
        checks = new SequenceChecks(listener, maxTokens, backend.model().vocabSize());
    }

    public KvMemory kvMemory() {
        return kv;
    }

    /** True when a step would do something. */
    public boolean hasWork() {
        return !scheduler.running().isEmpty() || !scheduler.waiting().isEmpty() || pipeline.isBusy();
    }

    /**
     * One step: schedule, forward, sample, publish. Where the backend overlaps passes, this starts one and takes the results
     * of the one before; else both are the same. Answers whether anything ran.
     */
    public boolean step(long nowNanos) {
        boolean starts = start(nowNanos);
        Pass over = pipeline.await();
        if (over != null) {
            complete(over, nowNanos);
            pipeline.taken(over);
            reportShape(over.batch);
        }
        blockEvents.flush();
        roleRuns();
        verifyWhenAsked();
        return starts || over != null;
    }

    /** What a pass was made of, for whoever learns how long steps take. A sequence with one token counts as a decode. */
    private void reportShape(ForwardBatch batch) {
        int newTokens = 0;
        long before = 0;
        int decodes = 0;
        long context = 0;
        for (int i = 0; i < batch.sequences; i++) {
            if (batch.tokenCount[i] == 1) {
                decodes++;
                context += batch.contextStart[i] + 1;
            } else {
                newTokens += batch.tokenCount[i];
                before += batch.contextStart[i];
            }
        }
        listener.onStepTimed(newTokens, before, decodes, context, pipeline.lastStepNanos());
    }

    /** Schedules and starts a pass; false when nothing can run. */
    private boolean start(long nowNanos) {
        Pass pass = pipeline.next();
        scheduler.schedule(role, pass);
        if (pass.isEmpty()) {
            return false;
        }
        pipeline.submit(pass);
        pass.begin(nowNanos);
        if (kv.layerGroups() > 1) {
            prefillReports.onBegun(pass);
        }
        return true;
    }

    private void complete(Pass pass, long nowNanos) {
        StepTokens chosen = tokenChoice.tokens();
        chosen.clear();
        for (int row = 0; row < pass.batch.sequences; row++) {
            pass.sequences[row].underWay--;
            if (pass.sequences[row].phase != Phase.FINISHED) {
                advance(pass, row);
            }
        }
        steps++;
        computedTokens += pass.batch.tokens;
        generatedTokens += chosen.count;
        listener.onStep(chosen);
        for (int row = 0; row < pass.batch.sequences; row++) {
            if (pass.chosenAt[row] >= 0 && pass.sequences[row].phase != Phase.FINISHED) {
                settle(pass.sequences[row], pass.chosenAt[row], nowNanos);
                exports.onPassOver(pass.sequences[row]);
            }
        }
    }

    /** Books what a pass computed for one sequence and, when it reached its last token, chooses the next. */
    private void advance(Pass pass, int row) {
        Sequence s = pass.sequences[row];
        if (pass.isLive(row)) {
            s.written = pass.writtenAfter[row];
            scheduler.publish(s);
            if (s.purpose == Purpose.PREFILL_ONLY) {
                prefillReports.onProgress(s);
            }
        }
        int at = pass.chosenAt[row];
        if (at >= 0) {
            s.tokens[at] = tokenChoice.choose(s, at, pass.output, row);
        }
    }

    /** Ends a sequence that is over with the token at an index. */
    private void settle(Sequence s, int at, long nowNanos) {
        if (s.tokens[at] < 0) {
            finish(s, FinishReason.ERROR, nowNanos, "the model's logits hold a NaN or no finite value");
        } else if (contains(s.spec.stopTokenIds(), s.tokens[at])) {
            finish(s, FinishReason.STOP, nowNanos, "");
        } else if (at + 1 >= s.tokens.length) {
            finish(s, FinishReason.LENGTH, nowNanos, "");
        } else if (s.purpose == Purpose.PREFILL_ONLY && s.phase == Phase.RUNNING) {
            finish(s, FinishReason.PREFILLED, nowNanos, "");
        }
    }

    /**
     * Ends a sequence. The blocks of a prefill stay until they are released, whatever ended it: a transfer may read them.
     */
    private void finish(Sequence s, FinishReason reason, long nowNanos, String detail) {
        if (s.purpose == Purpose.PREFILL_ONLY && s.phase == Phase.RUNNING && reason != FinishReason.CANCELLED) {
            scheduler.hold(s);
            held++;
        } else {
            drop(s);
        }
        listener.onFinished(s.key, reason, s.stats(nowNanos), detail);
    }

    private void drop(Sequence s) {
        held -= s.phase == Phase.HELD ? 1 : 0;
        scheduler.drop(s);
        sequences.remove(s.key);
        exports.onDropped(s);
    }

    /** Ends every sequence whose deadline has passed; called from time to time, a scan each step is not needed. */
    public void endExpired(long nowNanos) {
        List<Sequence> expired = sequences.values().stream()
                .filter(s -> nowNanos - s.spec.deadlineNanos() >= 0)
                .toList();
        for (Sequence s : expired) {
            finish(s, FinishReason.DEADLINE, nowNanos, "");
        }
    }

    /** Carries a command out. Never throws for what a caller can get wrong: it is refused through the listener. */
    public void apply(EngineCommand command, long nowNanos) {
        switch (command) {
            case EngineCommand.Generate c -> submit(c.key(), c.spec(), Purpose.GENERATE, nowNanos);
            case EngineCommand.Prefill c -> submit(c.key(), c.spec(), Purpose.PREFILL_ONLY, nowNanos);
            case EngineCommand.Reserve c -> reserve(c.key(), c.spec(), c.moreTokens(), nowNanos);
            case EngineCommand.Adopt c -> adopt(c.key(), c.nextTokens(), nowNanos);
            case EngineCommand.Cancel c -> cancel(c.key(), nowNanos);
            case EngineCommand.Release c -> release(c.key());
            case EngineCommand.Export c -> exports.begin(c.exportKey(), sequences.get(c.key()));
            case EngineCommand.Pause c -> exports.pause(c.exportKey(), sequences.get(c.key()));
            case EngineCommand.Resume c -> exports.resume(sequences.get(c.key()));
            case EngineCommand.EndExport c -> exports.end(c.exportKey());
            case EngineCommand.Shed c -> List.copyOf(scheduler.waiting()).forEach(s -> giveBack(s, nowNanos));
            case EngineCommand.GiveBack c -> giveBack(sequences.get(c.key()), nowNanos);
            case EngineCommand.SetRole c -> setRole(c.role());
            case EngineCommand.ClearPrefixCache c -> pool.clearCache();
            case EngineCommand.ListBlocks c -> {
                blockEvents.flush();
                listener.onBlocksListed(pool.findableBlocks());
            }
        }
        if (!hasWork()) {
            roleRuns();
        }
        blockEvents.flush();
        verifyWhenAsked();
    }

    private void submit(long key, SequenceSpec spec, Purpose purpose, long nowNanos) {
        if (!admissible(key, spec)) {
            return;
        }
        if (scheduler.waiting().size() >= settings.maxWaitingSequences()) {
            listener.onRefused(
                    key,
                    RefusalReason.TOO_MANY_SEQUENCES,
                    "waiting sequences are at their limit of " + settings.maxWaitingSequences());
            return;
        }
        Sequence s = newSequence(key, spec, purpose, nowNanos);
        sequences.put(key, s);
        scheduler.waiting().addLast(s);
    }

    private void reserve(long key, SequenceSpec spec, int moreTokens, long nowNanos) {
        if (!admissible(key, spec)) {
            return;
        }
        if (scheduler.reserved() + scheduler.running().size() >= settings.maxSequences()) {
            listener.onRefused(
                    key,
                    RefusalReason.TOO_MANY_SEQUENCES,
                    "running and reserved sequences are at their limit of " + settings.maxSequences());
            return;
        }
        Sequence s = newSequence(key, spec, Purpose.ADOPTED, nowNanos);
        if (!scheduler.reserve(s, moreTokens)) {
            listener.onRefused(
                    key, RefusalReason.NO_BLOCKS, "no room for " + scheduler.blocksFor(s.length) + " KV blocks now");
            return;
        }
        sequences.put(key, s);
        listener.onReserved(key, s.computed / settings.blockTokens(), Arrays.copyOf(s.blockTable, s.blocks));
    }

    private void adopt(long key, int[] nextTokens, long nowNanos) {
        Sequence s = sequences.get(key);
        if (s == null || s.phase != Phase.RESERVED) {
            listener.onRefused(key, RefusalReason.BAD_KEY, "no reservation to adopt");
            return;
        }
        for (int token : nextTokens) {
            if (s.length < s.tokens.length) {
                s.tokens[s.length++] = token;
            }
        }
        // Whoever computed the blocks has run every token but the last, which it had just chosen.
        s.computed = s.length - 1;
        s.written = s.computed;
        scheduler.publish(s);
        if (s.length >= s.tokens.length) {
            finish(s, FinishReason.LENGTH, nowNanos, "");
            return;
        }
        scheduler.adopt(s);
    }

    private void setRole(EngineRole next) {
        role = next;
        roleIsNew = true;
    }

    private void roleRuns() {
        if (roleIsNew) {
            roleIsNew = false;
            listener.onRoleRuns(role);
        }
    }

    private void giveBack(Sequence s, long nowNanos) {
        if (s != null && s.phase == Phase.WAITING && s.underWay == 0) {
            finish(s, FinishReason.SHED, nowNanos, "");
        }
    }

    private boolean admissible(long key, SequenceSpec spec) {
        if (sequences.containsKey(key)) {
            listener.onRefused(key, RefusalReason.BAD_KEY, "key " + key + " is in use");
            return false;
        }
        return checks.canRun(key, spec);
    }

    private Sequence newSequence(long key, SequenceSpec spec, Purpose purpose, long nowNanos) {
        int capacity = (int) Math.min((long) spec.promptTokens() + spec.maxNewTokens(), checks.maxTokens());
        return new Sequence(
                key, spec, purpose, settings.blockTokens(), Math.max(capacity, spec.tokens().length + 1), nowNanos);
    }

    private void cancel(long key, long nowNanos) {
        Sequence s = sequences.get(key);
        if (s != null) {
            finish(s, FinishReason.CANCELLED, nowNanos, "");
        }
    }

    private void release(long key) {
        Sequence s = sequences.get(key);
        if (s != null && s.phase == Phase.HELD) {
            drop(s);
        }
    }

    /**
     * Ends every sequence that runs or waits for a token of the failed step: preempted and paused ones too, whose token nobody knows
     * now. The engine goes on.
     */
    public void failStep(String detail, long nowNanos) {
        List<Pass> lost = pipeline.abandon();
        for (Sequence s : List.copyOf(scheduler.running())) {
            finish(s, FinishReason.ERROR, nowNanos, detail);
        }
        lost.forEach(pass -> failRows(pass, detail, nowNanos));
        blockEvents.flush();
    }

    private void failRows(Pass pass, String detail, long nowNanos) {
        for (int row = 0; row < pass.batch.sequences; row++) {
            Sequence s = pass.sequences[row];
            if (s.phase == Phase.WAITING || s.phase == Phase.PAUSED) {
                finish(s, FinishReason.ERROR, nowNanos, detail);
            }
        }
    }

    /**
     * A command threw on its way: its sequence ends with an error, or is refused where nothing is held for it, so that nobody waits for
     * what will not come. False when the command is about no sequence, and there is nobody to tell.
     */
    public boolean failCommand(EngineCommand command, String detail, long nowNanos) {
        if (!(command instanceof EngineCommand.OfSequence c)) {
            return false;
        }
        Sequence s = sequences.get(c.key());
        if (s == null) {
            listener.onRefused(c.key(), RefusalReason.FAILED, detail);
        } else {
            finish(s, FinishReason.ERROR, nowNanos, detail);
        }
        if (c instanceof EngineCommand.OfExport export) {
            listener.onRefused(export.exportKey(), RefusalReason.FAILED, detail);
        }
        blockEvents.flush();
        return true;
    }

    /** Ends every sequence in every phase: the device is lost. */
    public void failAll(String detail, long nowNanos) {
        pipeline.forget();
        for (Sequence s : List.copyOf(sequences.values())) {
            finish(s, FinishReason.ERROR, nowNanos, detail);
        }
    }

    private void verifyWhenAsked() {
        if (settings.verifyEachStep()) {
            pool.verify();
        }
    }

    /** Whether the engine holds anything for that sequence. */
    public boolean holds(long key) {
        return sequences.containsKey(key);
    }

    /** Whether blocks are pinned for that export. */
    public boolean exports(long exportKey) {
        return exports.isPinned(exportKey);
    }

    /** What the prefix cache holds now. */
    public FindableBlocks findableBlocks() {
        return pool.findableBlocks();
    }

    /** Checks the block accounting; throws when it is inconsistent. */
    public void verify() {
        pool.verify();
    }

    public EngineStats stats() {
        long waitingPromptTokens = 0;
        for (Sequence s : scheduler.waiting()) {
            waitingPromptTokens += s.pending();
        }
        for (Sequence s : scheduler.running()) {
            waitingPromptTokens += s.isDecoding() ? 0 : s.pending();
        }
        int decodes = 0;
        long contextTokens = 0;
        for (Sequence s : sequences.values()) {
            if (s.purpose != Purpose.PREFILL_ONLY) {
                decodes++;
                contextTokens += s.length;
            }
        }
        return new EngineStats(
                role,
                scheduler.waiting().size(),
                scheduler.running().size(),
                scheduler.reserved(),
                held,
                waitingPromptTokens,
                decodes,
                contextTokens,
                pool.blocks(),
                pool.freeBlocks(),
                pool.cachedBlocks(),
                steps,
                computedTokens,
                generatedTokens,
                scheduler.cacheHitTokens(),
                scheduler.preemptions(),
                pipeline.lastStepNanos());
    }

    private static boolean contains(int[] ids, int id) {
        for (int candidate : ids) {
            if (candidate == id) {
                return true;
            }
        }
        return false;
    }

    @Override
    public void close() {
        kv.close();
    }
}
