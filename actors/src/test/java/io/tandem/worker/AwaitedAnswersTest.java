package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineRole;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

class AwaitedAnswersTest {
    private final AwaitedAnswers answers = new AwaitedAnswers("g", false);
    private final List<String> told = new ArrayList<>();

    private Consumer<WorkerMessage.Done> asker(String name) {
        return done -> told.add(name + " " + done.role() + (done.draining() ? " draining " : " ") + done.nanos());
    }

    @Test
    void shouldAnswerASecondChangeAfterTheFirstOneRan() {
        answers.roleAsked(EngineRole.PREFILL, 10, asker("first"));
        answers.roleAsked(EngineRole.DECODE, 20, asker("second"));
        answers.onRoleRuns(EngineRole.PREFILL, 30);
        assertEquals(List.of("first PREFILL 20"), told);
        answers.onRoleRuns(EngineRole.DECODE, 45);
        assertEquals(List.of("first PREFILL 20", "second DECODE 25"), told);
    }

    @Test
    void shouldForgetAChangeThatWasOvertakenBeforeItRan() {
        answers.roleAsked(EngineRole.PREFILL, 10, asker("first"));
        answers.roleAsked(EngineRole.DECODE, 20, asker("second"));
        answers.onRoleRuns(EngineRole.DECODE, 30);
        answers.onRoleRuns(EngineRole.PREFILL, 40);
        assertEquals(List.of("second DECODE 10"), told);
    }

    @Test
    void shouldAnswerADrainOnceNothingRuns() {
        answers.drainAsked(10, asker("drain"));
        assertTrue(answers.draining() && answers.drainAwaited());
        answers.onIdle(EngineRole.MIXED, 30);
        assertEquals(List.of("drain MIXED draining 20"), told);
        assertTrue(answers.draining());
        assertFalse(answers.drainAwaited());
    }

    @Test
    void shouldStartDrainedWithoutAnybodyWhoWaits() {
        AwaitedAnswers successor = new AwaitedAnswers("g", true);
        assertTrue(successor.draining());
        assertFalse(successor.drainAwaited());
        successor.undrainAsked(EngineRole.MIXED, 10, asker("undrain"));
        assertFalse(successor.draining());
        assertEquals(List.of("undrain MIXED 0"), told);
    }

    @Test
    void shouldTellWhoWaitsForADrainThatTheWorkerWasPutBack() {
        answers.drainAsked(10, asker("drain"));
        answers.undrainAsked(EngineRole.DECODE, 30, asker("undrain"));
        assertEquals(List.of("drain DECODE 20", "undrain DECODE 0"), told);
        answers.onIdle(EngineRole.DECODE, 40);
        assertEquals(2, told.size());
        assertFalse(answers.draining());
    }
}
