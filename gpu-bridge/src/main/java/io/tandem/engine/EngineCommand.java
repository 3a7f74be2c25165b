package io.tandem.engine;

/**
 * What can be asked of an engine. {@code key} names a sequence on this engine and is chosen by the caller, unique for
 * the engine's life. Commands are carried out between steps, in the order given.
 */
public sealed interface EngineCommand {

    /** Run a sequence here from prompt to end. */
    record Generate(long key, SequenceSpec spec) implements EngineCommand {}

    /**
     * Run the prompt here and choose the first token only. Its blocks stay, referenced, until {@link Release} or
     * {@link Cancel}; {@link EngineListener#onPrefillProgress} tells which blocks are whole.
     */
    record Prefill(long key, SequenceSpec spec) implements EngineCommand {}

    /**
     * Set blocks aside for the KV of {@code spec.tokens()} that will come from elsewhere. Answered by
     * {@link EngineListener#onReserved} or, when there is no room, {@link EngineListener#onRefused}.
     */
    record Reserve(long key, SequenceSpec spec) implements EngineCommand {}

    /**
     * The KV of a reserved sequence is in its blocks: continue it. {@code nextTokens} are the tokens chosen since (the
     * first token, by the prefill worker); they are not reported again.
     */
    record Adopt(long key, int[] nextTokens) implements EngineCommand {}

    /** End a sequence in any phase and free its blocks; unknown keys are ignored. */
    record Cancel(long key) implements EngineCommand {}

    /** The blocks of a finished {@link Prefill} have arrived elsewhere: let go of them (they stay in the prefix cache). */
    record Release(long key) implements EngineCommand {}

    /** Schedule as this role from the next step on. */
    record SetRole(EngineRole role) implements EngineCommand {}

    /** Drop every cached block that no sequence uses. */
    record ClearPrefixCache() implements EngineCommand {}

    /** Say what the prefix cache holds, after all events up to now; answered by {@link EngineListener#onBlocksListed}. */
    record ListBlocks() implements EngineCommand {}
}
