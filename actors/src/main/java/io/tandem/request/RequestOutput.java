package io.tandem.request;

import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import java.util.Arrays;

/** What a request has answered so far, and where its answer ends. */
final class RequestOutput {
    private final SequenceSpec spec;
    private int[] tokens = new int[64];
    private int count;

    RequestOutput(SequenceSpec spec) {
        this.spec = spec;
    }

    int count() {
        return count;
    }

    void add(int token) {
        if (count == tokens.length) {
            tokens = Arrays.copyOf(tokens, 2 * count);
        }
        tokens[count++] = token;
    }

    /** Whether the latest token is the last one. */
    boolean isComplete() {
        return count > 0 && (count >= spec.maxNewTokens() || endsByStop());
    }

    private boolean endsByStop() {
        for (int stop : spec.stopTokenIds()) {
            if (stop == tokens[count - 1]) {
                return true;
            }
        }
        return false;
    }

    /** Why a complete answer ends. */
    FinishReason reason() {
        return endsByStop() ? FinishReason.STOP : FinishReason.LENGTH;
    }

    int[] toArray() {
        return from(0);
    }

    /** Those from a number on. */
    int[] from(int known) {
        return Arrays.copyOfRange(tokens, known, count);
    }

    /** Prompt and output. */
    int[] context() {
        int[] all = Arrays.copyOf(spec.tokens(), spec.tokens().length + count);
        System.arraycopy(tokens, 0, all, spec.tokens().length, count);
        return all;
    }

    /** The sequence that goes on where this answer stands. */
    SequenceSpec rest() {
        return count == 0
                ? spec
                : new SequenceSpec(
                        context(),
                        spec.promptTokens(),
                        spec.maxNewTokens(),
                        spec.sampling(),
                        spec.stopTokenIds(),
                        spec.cacheSalt(),
                        spec.deadlineNanos());
    }
}
