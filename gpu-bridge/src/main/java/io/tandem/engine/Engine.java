package io.tandem.engine;

import io.tandem.compute.ComputeBackend;
import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.kvcache.BlockEvents;
import io.tandem.kvcache.BlockHash;
import io.tandem.kvcache.BlockPool;
import io.tandem.kvcache.KvMemory;
import io.tandem.sampling.Sampler;
import io.tandem.scheduling.Scheduler;
import io.tandem.scheduling.Sequence;
import io.tandem.scheduling.Sequence.Phase;
import io.tandem.scheduling.Sequence.Purpose;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The step loop of one GPU, single-threaded and without a clock of its own: {@link #apply} between steps, {@link #step}
 * for one forward pass. {@link EngineLoop} gives it a thread. Owns the KV memory; the backend belongs to the caller.
 */
public final class Engine implements AutoCloseable {
    /** About the blocks of one long prompt; more are handed out in parts. */
    private static final int BLOCK_EVENT_WORDS = 4096;

    private final ComputeBackend backend;
    private final EngineSettings settings;
    private final EngineListener listener;
    private final KvMemory kv;
    private final BlockPool pool;
    private final BlockEvents blockEvents;
    private final Scheduler scheduler;
    private final Sampler sampler;
    private final ForwardBatch batch;
    private final ForwardOutput output;
    private final StepTokens stepTokens;
    private final Map<Long, Sequence> sequences = new HashMap<>();
    private final int maxTokens;
    private EngineRole role;
    private int held;
    private long steps;
    private long computedTokens;
    private long generatedTokens;
    private long lastStepNanos;

    /**
     * @param modelFingerprint keeps block hashes of different models apart
     */
    public Engine(
            ComputeBackend backend,
            String modelFingerprint,
            EngineSettings settings,
            EngineRole role,
            EngineListener listener) {
        this.backend = backend;
        this.settings = settings;
        this.listener = listener;
        this.role = role;
        kv = backend.allocateKv(settings.blocks(backend.kvLayout().blockBytes()));
        blockEvents = new BlockEvents(BLOCK_EVENT_WORDS, listener::onBlockEvents);
        pool = new BlockPool(kv.blocks(), blockEvents);
        scheduler = new Scheduler(settings, pool, new BlockHash(modelFingerprint, settings.blockTokens()));
        int batchTokens = Math.min(settings.maxBatchTokens(), backend.maxBatchTokens());
        batch = new ForwardBatch(batchTokens, settings.maxSequences());
        int vocabSize = backend.model().vocabSize();
        output = new ForwardOutput(settings.maxSequences(), vocabSize, !backend.choosesTokens());
        sampler = new Sampler(backend.choosesTokens() ? 1 : vocabSize);
        stepTokens = new StepTokens(settings.maxSequences());
        long kvTokens = (long) kv.blocks() * settings.blockTokens();
        maxTokens = (int) Math.min(backend.model().maxContextTokens(), kvTokens);
    }

    public KvMemory kvMemory() {
        return kv;
    }

    /** True when a step would do something. */
    public boolean hasWork() {
        return !scheduler.running().isEmpty() || !scheduler.waiting().isEmpty();
    }

    /** One step: schedule, forward, sample, publish. Answers whether anything ran. */
    public boolean step(long nowNanos) {
        scheduler.schedule(role, batch);
        if (batch.isEmpty()) {
            return false;
        }
        long start = System.nanoTime();
        backend.forward(batch, kv, output);
        stepTokens.clear();
        for (int i = 0; i < batch.sequences; i++) {
            advance(scheduler.scheduled(i), i, nowNanos);
        }
        steps++;
        computedTokens += batch.tokens;
        generatedTokens += stepTokens.count;
        listener.onStep(stepTokens);
        for (int i = 0; i < batch.sequences; i++) {
            settle(scheduler.scheduled(i), nowNanos);
        }
        lastStepNanos = System.nanoTime() - start;
        blockEvents.flush();
        reportShape();
        verifyWhenAsked();
        return true;
    }

    /** What the step was made of, for whoever learns how long steps take. A sequence with one token counts as a decode. */
    private void reportShape() {
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
        listener.onStepTimed(newTokens, before, decodes, context, lastStepNanos);
    }

    /** Books what a step computed for one sequence and, when it reached its last token, chooses the next. */
    private void advance(Sequence s, int index, long nowNanos) {
        if (s.startedNanos == 0) {
            s.startedNanos = nowNanos;
        }
        s.computed += s.scheduled;
        s.computedTokens += s.scheduled;
        s.scheduled = 0;
        scheduler.publish(s);
        if (s.purpose == Purpose.PREFILL_ONLY) {
            reportProgress(s);
        }
        s.advanced = s.computed == s.length;
        if (s.advanced) {
            s.tokens[s.length] = choose(s, index);
            s.length++;
        }
    }

    private int choose(Sequence s, int index) {
        int position = s.outputTokens();
        if (backend.choosesTokens()) {
            stepTokens.add(s.key, output.tokens[index], position, Float.NaN, null, null);
            return output.tokens[index];
        }
        int token = sampler.choose(s.spec.sampling(), output.logits[index], s.tokens, s.spec.promptTokens(), s.length);
        stepTokens.add(s.key, token, position, sampler.logprob(), sampler.topIds(), sampler.topLogprobs());
        return token;
    }

    private void reportProgress(Sequence s) {
        int promptLength = s.spec.tokens().length;
        int whole =
                s.computed >= promptLength ? scheduler.blocksFor(promptLength) : s.computed / settings.blockTokens();
        if (whole > s.reportedBlocks) {
            listener.onPrefillProgress(s.key, s.reportedBlocks, whole, s.blockTable);
            s.reportedBlocks = whole;
        }
    }

    /** Ends a sequence that is over after this step. */
    private void settle(Sequence s, long nowNanos) {
        if (!s.advanced) {
            return;
        }
        if (contains(s.spec.stopTokenIds(), s.tokens[s.length - 1])) {
            finish(s, FinishReason.STOP, nowNanos, "");
        } else if (s.length >= s.tokens.length) {
            finish(s, FinishReason.LENGTH, nowNanos, "");
        } else if (s.purpose == Purpose.PREFILL_ONLY) {
            hold(s, nowNanos);
        }
    }

    private void hold(Sequence s, long nowNanos) {
        scheduler.running().remove(s);
        s.phase = Phase.HELD;
        held++;
        listener.onFinished(s.key, FinishReason.PREFILLED, s.stats(nowNanos), "");
    }

    private void finish(Sequence s, FinishReason reason, long nowNanos, String detail) {
        drop(s);
        listener.onFinished(s.key, reason, s.stats(nowNanos), detail);
    }

    private void drop(Sequence s) {
        held -= s.phase == Phase.HELD ? 1 : 0;
        scheduler.drop(s);
        sequences.remove(s.key);
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
            case EngineCommand.Reserve c -> reserve(c.key(), c.spec(), nowNanos);
            case EngineCommand.Adopt c -> adopt(c.key(), c.nextTokens(), nowNanos);
            case EngineCommand.Cancel c -> cancel(c.key(), nowNanos);
            case EngineCommand.Release c -> release(c.key());
            case EngineCommand.SetRole c -> role = c.role();
            case EngineCommand.ClearPrefixCache c -> pool.clearCache();
            case EngineCommand.ListBlocks c -> {
                blockEvents.flush();
                listener.onBlocksListed(pool.findableBlocks());
            }
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

    private void reserve(long key, SequenceSpec spec, long nowNanos) {
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
        if (!scheduler.reserve(s)) {
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
        s.computed = s.length;
        scheduler.publish(s);
        for (int token : nextTokens) {
            if (s.length < s.tokens.length) {
                s.tokens[s.length++] = token;
            }
        }
        if (s.length >= s.tokens.length || s.pending() == 0) {
            finish(s, FinishReason.LENGTH, nowNanos, "");
            return;
        }
        scheduler.adopt(s);
    }

    private boolean admissible(long key, SequenceSpec spec) {
        if (sequences.containsKey(key)) {
            listener.onRefused(key, RefusalReason.BAD_KEY, "key " + key + " is in use");
            return false;
        }
        if (spec.tokens().length >= maxTokens) {
            listener.onRefused(
                    key,
                    RefusalReason.TOO_LONG,
                    spec.tokens().length + " tokens leave no room in a context of " + maxTokens);
            return false;
        }
        for (int token : spec.tokens()) {
            if (token < 0 || token >= backend.model().vocabSize()) {
                listener.onRefused(key, RefusalReason.BAD_KEY, "token id " + token + " is not in the vocabulary");
                return false;
            }
        }
        return true;
    }

    private Sequence newSequence(long key, SequenceSpec spec, Purpose purpose, long nowNanos) {
        int capacity = (int) Math.min((long) spec.promptTokens() + spec.maxNewTokens(), maxTokens);
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

    /** Ends every sequence of the failed step, or all when none can be blamed; the engine goes on. */
    public void failStep(String detail, long nowNanos) {
        List<Sequence> running = List.copyOf(scheduler.running());
        for (Sequence s : running) {
            finish(s, FinishReason.ERROR, nowNanos, detail);
        }
    }

    private void verifyWhenAsked() {
        if (settings.verifyEachStep()) {
            pool.verify();
        }
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
                lastStepNanos);
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
