package io.tandem.scheduling;

import io.tandem.compute.ForwardBatch;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.kvcache.BlockHash;
import io.tandem.kvcache.BlockKey;
import io.tandem.kvcache.BlockPool;
import io.tandem.scheduling.Sequence.Phase;
import io.tandem.scheduling.Sequence.Purpose;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/**
 * Who runs in the next step. Continuous batching without stalls, after Sarathi-Serve (OSDI 2024): every running decode
 * gets its token in every step; what the role's chunk budget leaves goes to prompts already begun, then to waiting ones in
 * order of arrival. So a decode waits for at most one chunk. A prompt gets all its blocks when it is admitted, which keeps
 * half-done prompts from blocking each other. When a decode finds no block, the newest running sequence is preempted: its
 * blocks go (whole ones stay findable), and it runs again from its tokens.
 */
public final class Scheduler {
    private final EngineSettings settings;
    private final BlockPool pool;
    private final BlockHash hash;

    /** In order of arrival. */
    private final List<Sequence> running;

    private final ArrayDeque<Sequence> waiting;

    /** Slots that no running sequence has. */
    private final int[] freeSlots;

    private int freeSlotCount;

    private int reserved;
    private long preemptions;
    private long cacheHitTokens;

    public Scheduler(EngineSettings settings, BlockPool pool, BlockHash hash) {
        this.settings = settings;
        this.pool = pool;
        this.hash = hash;
        running = new ArrayList<>(settings.maxSequences());
        waiting = new ArrayDeque<>(settings.maxWaitingSequences());
        freeSlots = new int[settings.maxSequences()];
        while (freeSlotCount < freeSlots.length) {
            freeSlots[freeSlotCount] = freeSlots.length - 1 - freeSlotCount++;
        }
    }

    public List<Sequence> running() {
        return running;
    }

    public ArrayDeque<Sequence> waiting() {
        return waiting;
    }

    /** Sequences whose KV is on its way here, and those that are paused: their places are kept. */
    public int reserved() {
        return reserved;
    }

    public long preemptions() {
        return preemptions;
    }

    public long cacheHitTokens() {
        return cacheHitTokens;
    }

    /** Fills the pass of one step; empty when nothing can run. */
    public void schedule(EngineRole role, Pass pass) {
        pass.clear();
        scheduleDecodes(pass);
        int budget = schedulePrompts(pass, settings.chunkTokens(role));
        admit(pass, budget);
    }

    private void scheduleDecodes(Pass pass) {
        int next = 0;
        while (next < running.size()) {
            Sequence s = running.get(next);
            s.decodes = s.isDecoding() && !s.isFull() && ensureBlocks(s);
            // The place of one that was preempted is the next one's.
            next += s.phase == Phase.RUNNING ? 1 : 0;
        }
        for (int i = 0; i < running.size(); i++) {
            Sequence s = running.get(i);
            if (s.decodes) {
                pass.add(s, 1);
            }
        }
    }

    private int schedulePrompts(Pass pass, int budget) {
        int left = budget;
        for (int i = 0; i < running.size() && left > 0; i++) {
            Sequence s = running.get(i);
            if (!s.isDecoding() && !s.isFull()) {
                left -= addChunk(pass, s, left);
            }
        }
        return left;
    }

    private void admit(Pass pass, int budget) {
        int left = budget;
        while (left > 0
                && !waiting.isEmpty()
                && running.size() + reserved < settings.maxSequences()
                && pass.batch.hasRoomFor(1)) {
            Sequence s = waiting.peekFirst();
            // One that was preempted in a pass still under way waits for the token it chooses there.
            if (s.underWay > 0 || !takeBlocks(s)) {
                return;
            }
            waiting.pollFirst();
            run(s);
            left -= addChunk(pass, s, left);
        }
    }

    private static int addChunk(Pass pass, Sequence s, int budget) {
        ForwardBatch batch = pass.batch;
        int chunk = Math.min(Math.min(s.pending(), budget), batch.maxTokens - batch.tokens);
        if (chunk <= 0 || batch.sequences >= batch.maxSequences) {
            return 0;
        }
        pass.add(s, chunk);
        return chunk;
    }

    private void run(Sequence s) {
        s.phase = Phase.RUNNING;
        s.slot = freeSlots[--freeSlotCount];
        running.add(s);
    }

    private void stop(Sequence s) {
        running.remove(s);
        freeSlots[freeSlotCount++] = s.slot;
    }

    /** Takes a finished prefill out of the running set; its blocks stay. */
    public void hold(Sequence s) {
        stop(s);
        s.phase = Phase.HELD;
    }

    /** Blocks for all tokens of a sequence, cached ones first; false, with nothing held, when they are not to be had. */
    private boolean takeBlocks(Sequence s) {
        attachCached(s);
        int missing = blocksFor(s.length) - s.blocks;
        if (pool.availableBlocks() < missing + watermark() || !growTo(s, s.length)) {
            releaseBlocks(s);
            return false;
        }
        if (s.preemptions == 0) {
            s.cachedTokens = s.computed;
            cacheHitTokens += s.computed;
        }
        return true;
    }

    /** Blocks kept free at admission so that running sequences can grow a little before one must be preempted. */
    private int watermark() {
        return Math.min(running.size(), pool.blocks() / 100 + 1);
    }

    /** Takes whole blocks that hold the sequence's first tokens already; at least one token is left to run. */
    private void attachCached(Sequence s) {
        if (!settings.prefixCache()) {
            return;
        }
        int blockTokens = settings.blockTokens();
        hash.root(s.spec.cacheSalt());
        int whole = (s.length - 1) / blockTokens;
        while (s.blocks < whole) {
            hash.next(s.tokens, s.blocks * blockTokens);
            int block = pool.find(hash.high(), hash.low());
            if (block == BlockPool.NONE) {
                break;
            }
            pool.retain(block);
            s.blockTable[s.blocks++] = block;
            hash.save(s.hashState);
        }
        s.publishedBlocks = s.blocks;
        s.computed = s.blocks * blockTokens;
        s.written = s.computed;
    }

    /** A block for the next token, preempting the newest sequence while there is none; false when that is this one. */
    private boolean ensureBlocks(Sequence s) {
        while (!growTo(s, s.length)) {
            Sequence victim = newestNotOnItsWay();
            preempt(victim);
            if (victim == s) {
                return false;
            }
        }
        return true;
    }

    /** A transfer may read the blocks of a prompt that goes elsewhere: they stay. Whoever asks is no such prompt. */
    private Sequence newestNotOnItsWay() {
        int i = running.size() - 1;
        while (i > 0 && running.get(i).purpose == Purpose.PREFILL_ONLY) {
            i--;
        }
        return running.get(i);
    }

    private boolean growTo(Sequence s, int tokens) {
        int wanted = blocksFor(tokens);
        while (s.blocks < wanted) {
            int block = pool.allocate();
            if (block == BlockPool.NONE) {
                return false;
            }
            s.blockTable[s.blocks++] = block;
        }
        return true;
    }

    private void preempt(Sequence s) {
        stop(s);
        releaseBlocks(s);
        s.decodes = false;
        s.preemptions++;
        preemptions++;
        s.phase = Phase.WAITING;
        waiting.addFirst(s);
    }

    /** Gives all blocks of a sequence back, last first, so that the start of a prompt is evicted last. */
    public void releaseBlocks(Sequence s) {
        while (s.blocks > 0) {
            pool.release(s.blockTable[--s.blocks]);
        }
        s.computed = 0;
        s.written = 0;
        s.publishedBlocks = 0;
    }

    /**
     * Sets blocks aside for KV that comes from elsewhere, and for {@code moreTokens} beyond what fits; false, with nothing
     * held, when they are not to be had now.
     */
    public boolean reserve(Sequence s, int moreTokens) {
        if (!takeBlocks(s)) {
            return false;
        }
        if (!growTo(s, Math.min(s.length + moreTokens, s.tokens.length))) {
            releaseBlocks(s);
            return false;
        }
        s.phase = Phase.RESERVED;
        reserved++;
        return true;
    }

    /** Ends a reservation: the sequence runs from now on. */
    public void adopt(Sequence s) {
        reserved--;
        run(s);
    }

    /** Takes a running sequence out of the batch; its place and its blocks are kept. */
    public void pause(Sequence s) {
        stop(s);
        s.phase = Phase.PAUSED;
        reserved++;
    }

    /** The opposite of {@link #pause}. */
    public void resume(Sequence s) {
        reserved--;
        run(s);
    }

    /** Takes a sequence out of whatever list holds it and frees its blocks. */
    public void drop(Sequence s) {
        switch (s.phase) {
            case WAITING -> waiting.remove(s);
            case RUNNING -> stop(s);
            case RESERVED, PAUSED -> reserved--;
            case HELD -> {}
            case FINISHED -> throw new IllegalStateException("sequence " + s.key + " ends twice");
        }
        releaseBlocks(s);
        s.phase = Phase.FINISHED;
    }

    /** Makes the blocks that have become whole findable. */
    public void publish(Sequence s) {
        int blockTokens = settings.blockTokens();
        int whole = s.written / blockTokens;
        if (!settings.prefixCache() || s.publishedBlocks >= whole) {
            return;
        }
        if (s.publishedBlocks == 0) {
            hash.root(s.spec.cacheSalt());
        } else {
            hash.restore(s.hashState);
        }
        while (s.publishedBlocks < whole) {
            long parent = s.publishedBlocks == 0 ? 0 : BlockKey.of(hash.high(), hash.low());
            hash.next(s.tokens, s.publishedBlocks * blockTokens);
            pool.publish(s.blockTable[s.publishedBlocks], hash.high(), hash.low(), parent, s.publishedBlocks);
            s.publishedBlocks++;
        }
        hash.save(s.hashState);
    }

    public int blocksFor(int tokens) {
        return (tokens + settings.blockTokens() - 1) / settings.blockTokens();
    }
}
