package io.tandem;

import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** What really happened where something failed on another thread: stages and futures wrap it, some of them twice. */
public final class Failures {
    private Failures() {}

    /** The failure inside its wrappers. */
    public static Throwable cause(Throwable failure) {
        Throwable cause = failure;
        while ((cause instanceof CompletionException || cause instanceof ExecutionException)
                && cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause;
    }

    /** For people, in one line: its message, or its name where it has none. */
    public static String text(Throwable failure) {
        Throwable cause = cause(failure);
        return cause.getMessage() == null ? cause.toString() : cause.getMessage();
    }
}
