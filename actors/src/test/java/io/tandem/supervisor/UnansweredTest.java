package io.tandem.supervisor;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.TestWorker;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;

class UnansweredTest {
    private final Throwable late = new CompletionException(new TimeoutException("Ask timed out"));
    private static final EngineStats BUSY =
            new EngineStats(EngineRole.DECODE, 2, 3, 1, 0, 0, 6, 0, 40, 40, 0, 0, 0, 0, 0, 0, 0);

    private final Unanswered drain = after(Duration.ofMinutes(10), Duration.ofMinutes(10));
    private final Unanswered role = after(Duration.ofMillis(500), Duration.ofMillis(501));

    private static Unanswered after(Duration waited, Duration passed) {
        return new Unanswered(TestWorker.named("g0").report(), waited, passed);
    }

    private static List<WorkerDirectory.Entry> only(WorkerDirectory.Entry entry) {
        return List.of(TestWorker.named("another").live(), entry);
    }

    @Test
    void shouldTellABusyWorkerFromOneThatIsLostGoneOrNew() {
        TestWorker g0 = TestWorker.named("g0").stats(BUSY).draining(true);
        assertEquals(
                "g0: it is not idle after 600 s: 3 sequences run and 3 wait there; it stays out of routing, and another drain waits on",
                drain.drain(true, late, only(g0.live())));
        assertEquals("g0: it was lost meanwhile", drain.drain(true, late, only(g0.lost())));
        assertEquals("g0: it left the cluster meanwhile", drain.drain(true, late, List.of()));
        assertEquals(
                "g0: it was started anew meanwhile and knows nothing of it; ask again",
                drain.drain(true, late, only(g0.epoch(2).draining(false).live())));
    }

    @Test
    void shouldTellAnAnswerThatWasLostFromWorkThatIsNotDone() {
        assertEquals(
                "g0: its answer did not arrive within 600 s; it is in routing",
                drain.drain(false, late, only(TestWorker.named("g0").live())));
        assertEquals(
                "g0: no step ran in that role within 500 ms; it is decode still, 3 sequences run and 3 wait there",
                role.roleChange(
                        EngineRole.PREFILL,
                        late,
                        only(TestWorker.named("g0").stats(BUSY).live())));
        assertEquals(
                "g0: its answer did not arrive within 500 ms, but it is decode",
                role.roleChange(
                        EngineRole.DECODE, late, only(TestWorker.named("g0").live())));
    }

    @Test
    void shouldTellOfAWorkerThatStartedAnewAndDoesWhatItWasTold() {
        TestWorker anew = TestWorker.named("g0").epoch(2);
        assertEquals(
                "g0: its answer did not arrive within 500 ms, but it is decode",
                role.roleChange(EngineRole.DECODE, late, only(anew.live())));
        assertEquals(
                "g0: it was started anew meanwhile and knows nothing of it; ask again",
                role.roleChange(EngineRole.PREFILL, late, only(anew.live())));
        assertEquals(
                "g0: it is not idle after 600 s: 3 sequences run and 3 wait there; it stays out of routing, and another drain waits on",
                drain.drain(true, late, only(anew.stats(BUSY).draining(true).live())));
    }

    /** Pekko calls it a time-out, too, when nobody is there any more: at the end of a node, say. */
    @Test
    void shouldNotSpeakOfATimeThatHasNotPassed() {
        assertEquals(
                "g0 could not be asked: Recipient[g0] had already been terminated",
                after(Duration.ofMinutes(10), Duration.ofMillis(3))
                        .drain(
                                true,
                                new TimeoutException("Recipient[g0] had already been terminated"),
                                only(TestWorker.named("g0").draining(true).live())));
    }

    @Test
    void shouldNotCallEveryFailureALateAnswer() {
        assertEquals(
                "g0 could not be asked: the region is down",
                drain.drain(
                        true,
                        new IllegalStateException("the region is down"),
                        only(TestWorker.named("g0").live())));
    }
}
