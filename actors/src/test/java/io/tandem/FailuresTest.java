package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.io.IOException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

class FailuresTest {
    private final IOException cause = new IOException("no way");

    @Test
    void shouldFindWhatHappenedUnderAnyNumberOfWrappers() {
        assertSame(cause, Failures.cause(cause));
        assertSame(cause, Failures.cause(new CompletionException(cause)));
        assertSame(cause, Failures.cause(new CompletionException(new ExecutionException(cause))));
        assertEquals("no way", Failures.text(new CompletionException(cause)));
    }

    @Test
    void shouldTellOfWhatHasNoMessageOrNoCauseByItsName() {
        assertEquals("java.lang.IllegalStateException", Failures.text(new IllegalStateException()));
        assertEquals("lost", Failures.text(new CompletionException("lost", null)));
    }
}
