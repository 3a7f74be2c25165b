package io.tandem.engine;

/**
 * What can be asked of an engine. {@code key} names a sequence on this engine and is chosen by the caller, unique for
 * the engine's life. Commands are carried out between steps, in the order given.
 */
public sealed interface EngineCommand {

    /** About one sequence. */
    sealed interface OfSequence extends EngineCommand {
        long key();
    }

    /** About an export of a sequence, and answered under a key of its own. */
    sealed interface OfExport extends OfSequence {
        long exportKey();
    }

    /** Run a sequence here from prompt to end. */
    record Generate(long key, SequenceSpec spec) implements OfSequence {}

    /**
     * Run the prompt here and choose the first token only. Its blocks stay, referenced, until {@link Release} or
     * {@link Cancel}; {@link EngineListener#onPrefillProgress} tells which blocks are whole.
     */
    record Prefill(long key, SequenceSpec spec) implements OfSequence {}

    /**
     * Set blocks aside for the KV of {@code spec.tokens()} that will come from elsewhere. Answered by
     * {@link EngineListener#onReserved} or, when there is no room, {@link EngineListener#onRefused}.
     */
    record Reserve(long key, SequenceSpec spec, int moreTokens) implements OfSequence {
        /** @param moreTokens room beyond them, for what a sequence that still runs elsewhere may grow meanwhile */
        public Reserve {
            if (moreTokens < 0) {
                throw new IllegalArgumentException("moreTokens must not be negative, nor " + moreTokens);
            }
        }

        public Reserve(long key, SequenceSpec spec) {
            this(key, spec, 0);
        }
    }

    /**
     * The KV of a reserved sequence is in its blocks: continue it. {@code nextTokens} are the tokens chosen since (the
     * first token, by the prefill worker); they are not reported again.
     */
    record Adopt(long key, int[] nextTokens) implements OfSequence {}

    /** End a sequence in any phase and free its blocks; unknown keys are ignored. */
    record Cancel(long key) implements OfSequence {}

    /**
     * Keep the whole blocks of a running sequence readable, whatever becomes of it, until {@link EndExport}; it runs on.
     * Answered by {@link EngineListener#onExported}, or refused under {@code exportKey} when it does not decode now.
     */
    record Export(long key, long exportKey) implements OfExport {}

    /**
     * Halt an exported sequence after the step that runs and keep its last blocks readable as well. Answered by {@link
     * EngineListener#onPaused}, or refused under {@code exportKey}. It waits until {@link Resume} or {@link Cancel}.
     */
    record Pause(long key, long exportKey) implements OfExport {}

    /** A paused sequence goes on as if nothing had been. */
    record Resume(long key) implements OfSequence {}

    /** Nobody reads the blocks of that export any more; unknown keys are ignored. */
    record EndExport(long exportKey) implements EngineCommand {}

    /** Give every waiting sequence back unstarted: it ends with {@link FinishReason#SHED}. */
    record Shed() implements EngineCommand {}

    /** The same for one sequence; one that has begun goes on, and unknown keys are ignored. */
    record GiveBack(long key) implements OfSequence {}

    /** The blocks of a finished {@link Prefill} have arrived elsewhere: let go of them (they stay in the prefix cache). */
    record Release(long key) implements OfSequence {}

    /** Schedule as this role from the next step on. */
    record SetRole(EngineRole role) implements EngineCommand {}

    /** Drop every cached block that no sequence uses. */
    record ClearPrefixCache() implements EngineCommand {}

    /** Say what the prefix cache holds, after all events up to now; answered by {@link EngineListener#onBlocksListed}. */
    record ListBlocks() implements EngineCommand {}
}
