package io.tandem;

import java.util.Optional;

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

    /**
     * Why a request was refused at the door. Times in milliseconds.
     *
     * @param serviceClass its class
     * @param reason "ttft", "itl", "size", "full" or "displaced"
     * @param predictedTtftMs from acceptance to the first token, time in the queue included
     * @param ttftTargetMs the class's
     * @param predictedItlMs between tokens
     * @param itlTargetMs the class's
     */
    public record Refusal(
            String serviceClass,
            String reason,
            double predictedTtftMs,
            double ttftTargetMs,
            double predictedItlMs,
            double itlTargetMs) {}

    private final Kind kind;
    private final String param;
    private final int retryAfterSeconds;
    private final Refusal refusal;

    public GenerationException(Kind kind, String message) {
        this(kind, message, "", 1);
    }

    public GenerationException(Kind kind, String message, String param, int retryAfterSeconds) {
        this(kind, message, param, retryAfterSeconds, null);
    }

    /** Refused by a prediction. */
    public GenerationException(String message, int retryAfterSeconds, Refusal refusal) {
        this(Kind.OVERLOADED, message, "", retryAfterSeconds, refusal);
    }

    private GenerationException(Kind kind, String message, String param, int retryAfterSeconds, Refusal refusal) {
        super(message);
        this.refusal = refusal;
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

    /** What was predicted and what was promised, when the request was refused at the door. */
    public Optional<Refusal> refusal() {
        return Optional.ofNullable(refusal);
    }
}
