package io.tandem;

/** A generation that was refused or failed; {@link #kind()} says whose turn it is. */
public class GenerationException extends RuntimeException {

    /** What went wrong, in the terms an HTTP layer needs. */
    public enum Kind {
        /** The request is wrong: 400. {@link GenerationException#param()} names the field. */
        INVALID_REQUEST,
        /** No such model: 404. */
        MODEL_NOT_FOUND,
        /** Prompt and output do not fit the context: 400. */
        CONTEXT_OVERFLOW,
        /** Too much is going on: 429, try again after {@link GenerationException#retryAfterSeconds()}. */
        OVERLOADED,
        /** No worker is there to run it: 503. */
        UNAVAILABLE,
        /** The deadline passed: 504. */
        DEADLINE,
        /** The cluster failed: 500. */
        INTERNAL
    }

    private final Kind kind;
    private final String param;
    private final int retryAfterSeconds;

    public GenerationException(Kind kind, String message) {
        this(kind, message, "", 1);
    }

    public GenerationException(Kind kind, String message, String param, int retryAfterSeconds) {
        super(message);
        this.kind = kind;
        this.param = param;
        this.retryAfterSeconds = retryAfterSeconds;
    }

    public Kind kind() {
        return kind;
    }

    /** Name of the field at fault, or empty. */
    public String param() {
        return param;
    }

    public int retryAfterSeconds() {
        return retryAfterSeconds;
    }
}
