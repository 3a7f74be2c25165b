package io.tandem.engine;

import io.tandem.kvcache.BlockEvents;
import io.tandem.kvcache.FindableBlocks;

/**
 * What an engine reports, on the engine's own thread between and after steps. Implementations copy what they keep and
 * never block: the next step waits for them. Tokens, ends and refusals come to whoever runs anything, so nobody may leave them
 * out; the rest is for those who give the commands that it answers, or want the figures.
 */
public interface EngineListener {

    /** The tokens of one step, in one flyweight that is reused: copy before returning. */
    void onStep(StepTokens tokens);

    /**
     * A step has ended.
     *
     * @param newTokens prompt tokens it computed
     * @param before tokens those prompts had in their KV blocks already, summed
     * @param decodes sequences that got one token
     * @param contextTokens their context, summed
     * @param nanos from its schedule to its last token sent
     */
    default void onStepTimed(int newTokens, long before, int decodes, long contextTokens, long nanos) {}

    /**
     * A sequence is over on this engine. {@code detail} is for people and empty unless the reason is ERROR. The blocks of a
     * {@link EngineCommand.Prefill} that ran are held still, unless it was cancelled.
     */
    void onFinished(long key, FinishReason reason, SequenceStats stats, String detail);

    /** Prompt blocks {@code [firstBlock, endBlock)} of a prefill-only sequence are whole; ids via the same indices. */
    default void onPrefillProgress(long key, int firstBlock, int endBlock, int[] blockIds) {}

    /**
     * Prompt blocks {@code [firstBlock, endBlock)} of a prefill-only sequence will be whole when a pass that has begun is over; only
     * from backends whose blocks can leave earlier, a group of layers at a time.
     *
     * @param pass see {@link io.tandem.kvcache.KvMemory#passes()}
     */
    default void onPrefillUnderWay(long key, int firstBlock, int endBlock, int[] blockIds, long pass) {}

    /**
     * Blocks stand ready for a reserved sequence.
     *
     * @param cachedBlocks leading blocks whose content this engine has already
     * @param blockIds all blocks of the sequence's tokens; {@code [cachedBlocks, length)} are to be filled
     */
    default void onReserved(long key, int cachedBlocks, int[] blockIds) {}

    /**
     * What the prefix cache can find has changed; see {@link BlockEvents}. In order; at the end of each step and command
     * nothing is held back. The array is used again: copy before returning.
     */
    default void onBlockEvents(long[] words, int length) {}

    /** All that the prefix cache can find, after all events before this call. */
    default void onBlocksListed(FindableBlocks blocks) {}

    /**
     * The whole blocks of a sequence that runs on stay readable.
     *
     * @param blockIds the blocks whose tokens are all computed, from the first
     */
    default void onExported(long exportKey, int[] blockIds) {}

    /**
     * A sequence is halted; all tokens it has were reported by {@link #onStep} before.
     *
     * @param outputTokens it has, the last of which is not computed
     * @param blockIds all blocks with computed tokens
     */
    default void onPaused(long exportKey, long key, int outputTokens, int[] blockIds) {}

    /** The first step in a new role is done, or there is nothing to do in it. */
    default void onRoleRuns(EngineRole role) {}

    /** A command could not be taken: a limit is reached or the sequence does not fit. Nothing is held. */
    void onRefused(long key, RefusalReason reason, String detail);

    /** Why an engine refuses. */
    enum RefusalReason {
        /** More sequences than the engine's limit. */
        TOO_MANY_SEQUENCES,
        /** Not enough free KV blocks now. */
        NO_BLOCKS,
        /** Longer than the context or than all blocks together: it can never run here. */
        TOO_LONG,
        /** The command queue is full. */
        QUEUE_FULL,
        /** The key is in use, or unknown where it must be known. */
        BAD_KEY,
        /** The engine itself failed at it. */
        FAILED
    }
}
