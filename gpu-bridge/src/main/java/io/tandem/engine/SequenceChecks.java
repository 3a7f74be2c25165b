package io.tandem.engine;

import io.tandem.engine.EngineListener.RefusalReason;

/** What can never run on an engine, whatever else runs there; refused through the listener. */
final class SequenceChecks {
    private final EngineListener listener;
    private final int maxTokens;
    private final int vocabSize;

    /** @param maxTokens longest sequence, by the model and by the memory */
    SequenceChecks(EngineListener listener, int maxTokens, int vocabSize) {
        this.listener = listener;
        this.maxTokens = maxTokens;
        this.vocabSize = vocabSize;
    }

    int maxTokens() {
        return maxTokens;
    }

    /** False when it was refused. */
    boolean canRun(long key, SequenceSpec spec) {
        if (spec.tokens().length >= maxTokens) {
            listener.onRefused(
                    key,
                    RefusalReason.TOO_LONG,
                    spec.tokens().length + " tokens leave no room in a context of " + maxTokens);
            return false;
        }
        return inVocabulary(key, "token id ", spec.tokens())
                && inVocabulary(key, "logit_bias: token id ", spec.sampling().biasTokenIds());
    }

    private boolean inVocabulary(long key, String what, int[] ids) {
        for (int id : ids) {
            if (id < 0 || id >= vocabSize) {
                listener.onRefused(key, RefusalReason.BAD_KEY, what + id + " is not in the vocabulary");
                return false;
            }
        }
        return true;
    }
}
