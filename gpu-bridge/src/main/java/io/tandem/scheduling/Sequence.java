package io.tandem.scheduling;

import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.kvcache.BlockHash;

/**
 * One sequence's state on an engine: its tokens, how far its KV reaches, and the blocks that hold it. All memory is made
 * when it is admitted, so a step allocates nothing.
 */
public final class Sequence {

    /** What the sequence is here for. */
    public enum Purpose {
        GENERATE,
        PREFILL_ONLY,
        ADOPTED
    }

    /** Where it stands. */
    public enum Phase {
        /** Not scheduled yet, or preempted; holds no blocks. */
        WAITING,
        /** In the running set. */
        RUNNING,
        /** Its blocks wait for KV from elsewhere. */
        RESERVED,
        /** Halted between two steps, its blocks in place, while it moves elsewhere. */
        PAUSED,
        /** A finished prefill whose blocks wait for their transfer. */
        HELD,
        /** Gone. */
        FINISHED
    }

    public final long key;
    public final SequenceSpec spec;
    public final Purpose purpose;
    public Phase phase = Phase.WAITING;

    /** Prompt and output; shape [promptTokens + maxNewTokens, cut at the context]. */
    public final int[] tokens;

    /** Tokens in use. */
    public int length;

    /** Tokens run so far, those of a pass under way included; {@code length - computed} are still to be run. */
    public int computed;

    /** Tokens whose KV is in the blocks for certain: those of passes that are over. */
    public int written;

    /** Passes under way that it has a row in. */
    public int underWay;

    /** Its number among the running sequences; meaningless in other phases. */
    public int slot;

    /** Block ids by position / blockTokens. */
    public final int[] blockTable;

    public int blocks;

    /** Leading blocks that are findable by their hash. */
    public int publishedBlocks;

    /** The chain hash after the last published block. */
    final long[] hashState = new long[BlockHash.STATE_WORDS];

    /** Prompt blocks reported as whole so far. */
    public int reportedBlocks;

    /** Prompt blocks announced as whole after a pass that had begun. */
    public int announcedBlocks;

    /** True when the schedule in the making gives it a decode. */
    boolean decodes;

    public int cachedTokens;
    public int computedTokens;
    public int preemptions;
    public final long submittedNanos;
    public long startedNanos;

    public Sequence(long key, SequenceSpec spec, Purpose purpose, int blockTokens, int maxTokens, long nowNanos) {
        this.key = key;
        this.spec = spec;
        this.purpose = purpose;
        tokens = new int[maxTokens];
        System.arraycopy(spec.tokens(), 0, tokens, 0, spec.tokens().length);
        length = spec.tokens().length;
        blockTable = new int[(maxTokens + blockTokens - 1) / blockTokens];
        submittedNanos = nowNanos;
    }

    /** Tokens to be run before the next one can be chosen. */
    public int pending() {
        return length - computed;
    }

    /** True when a step of one token yields the next: it must never wait for more than one chunk. */
    public boolean isDecoding() {
        return pending() == 1 && length > spec.promptTokens();
    }

    /** True when it ends with the token that a pass under way chooses: no further pass is for it. */
    boolean isFull() {
        return length >= tokens.length || purpose == Purpose.PREFILL_ONLY && length > spec.tokens().length;
    }

    public SequenceStats stats(long nowNanos) {
        long started = startedNanos == 0 ? nowNanos : startedNanos;
        return new SequenceStats(
                cachedTokens, computedTokens, preemptions, started - submittedNanos, nowNanos - started);
    }
}
