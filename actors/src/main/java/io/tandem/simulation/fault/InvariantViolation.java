package io.tandem.simulation.fault;

/** Something happened that must never happen. The message says what, when, and how to see it again. */
public final class InvariantViolation extends RuntimeException {
    private static final long serialVersionUID = 1;

    InvariantViolation(String message, Throwable cause) {
        super(message, cause);
    }
}
