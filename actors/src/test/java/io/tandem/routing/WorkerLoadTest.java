package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class WorkerLoadTest {
    private static final long SECOND = 1_000_000_000L;

    /** 10 ms a step, 20 µs a prompt token, 50 ns a token of context. */
    private final WorkerLoad load = new WorkerLoad("gpu-0", new StepTimeModel(8192, 10e6, 20_000, 50));

    @Test
    void shouldCountTheContextThatDecodesAreMetWithWhenItIsMoreThanExpected() {
        for (int r = 0; r < 10; r++) {
            load.bookDecode(r, 1000);
        }
        assertEquals(10_000, load.contextTokens(), 1e-6);
        load.stepEnded(0, 0, 10, 15_000, 20 * SECOND, 20 * SECOND);
        assertEquals(15_000, load.contextTokens(), 100);
        assertEquals(1000, load.bookedContextTokens(3), 1e-6);
    }

    @Test
    void shouldCountItWhenItsWorkerReportsIt() {
        load.bookDecode(1, 1000);
        load.bookDecode(2, 1000);
        load.reported(0, 2, 3000, 0, 20 * SECOND);
        assertEquals(3000, load.contextTokens(), 20);
    }

    @Test
    void shouldExpectThatDecodesWhichHaveJustBegunWillGrow() {
        load.bookDecode(1, 1000);
        load.stepEnded(0, 0, 1, 700, 20 * SECOND, 20 * SECOND);
        assertEquals(1000, load.contextTokens(), 1e-6);
    }

    @Test
    void shouldForgetWhatLongDecodesWereWhenShortOnesFollow() {
        load.bookDecode(1, 1000);
        load.stepEnded(0, 0, 1, 2000, 20 * SECOND, 20 * SECOND);
        load.finished(1);
        load.bookDecode(2, 1000);
        load.stepEnded(0, 0, 1, 1000, 60 * SECOND, 80 * SECOND);
        assertEquals(1000, load.contextTokens(), 1);
    }

    @Test
    void shouldExpectCompanyInThePromptsLastStepWhenTheWorkerIsBusyWithPrompts() {
        load.bookPrefill(1, 20_000, 0);
        assertEquals(0, load.joinedNanos(1000, 0), 1e-6);
        load.promptShareReported(1, 0);
        // 21,000 tokens end 4,616 into their third step, which will be full.
        double full = load.steps().prefillStepNanos(8192, 0) - load.steps().prefillStepNanos(21_000 - 2 * 8192, 0);
        assertEquals(full, load.joinedNanos(1000, 0), 1);
        load.promptShareReported(0.1, 0);
        assertEquals(0.1 * 20_000 * 20_000, load.joinedNanos(1000, 0), 1);
    }

    @Test
    void shouldExpectNoCompanyWhereNothingWaits() {
        load.promptShareReported(1, 0);
        assertEquals(0, load.joinedNanos(1000, 0), 1e-6);
        assertTrue(load.prefillEndNanos(1000, 0) > 0);
    }
}
