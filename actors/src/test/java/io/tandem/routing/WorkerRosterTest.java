package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.worker.TestWorker;
import io.tandem.worker.WorkerReport;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Who is lost, who is not, and who is believed. */
class WorkerRosterTest {
    private static final long TIMEOUT = 1_000;
    private static final String NODE = "host:7481";

    private final WorkerRoster roster = new WorkerRoster(TIMEOUT);

    private static WorkerReport report(String gpu, String node, long epoch) {
        return TestWorker.named(gpu).on(node).epoch(epoch).report();
    }

    private boolean live(String gpu) {
        return roster.entry(gpu).live();
    }

    @Test
    void shouldLoseTheWorkersOfAProcessThatIsGoneAtOnceAndOnce() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onReport(report("b", NODE, 6), 0);
        roster.onReport(report("c", "other:1", 5), 0);

        List<WorkerRoster.Loss> losses = roster.onProcessGone(NODE, "its process is gone (connection refused)", 10);
        assertEquals(
                List.of("a", "b"), losses.stream().map(l -> l.worker().gpuId()).toList());
        assertEquals(
                "its process is gone (connection refused)", losses.getFirst().why());
        assertTrue(live("c"));
        assertEquals(List.of(), roster.onNodeLost(NODE, "its node is unreachable", 20));
        assertEquals(List.of(), roster.onProcessGone(NODE, "again", 30));
    }

    @Test
    void shouldLoseAWorkerThatSaysItEndsButNotItsSuccessor() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onReport(report("b", NODE, 5), 0);
        List<WorkerRoster.Loss> losses = roster.onWorkerEnded("a", 5, "its GPU is lost: error 700", 10);
        assertEquals(List.of(new WorkerRoster.Loss(report("a", NODE, 5), "its GPU is lost: error 700")), losses);
        assertTrue(live("b"));
        assertEquals(List.of(), roster.onReport(report("a", NODE, 5), 11));
        assertFalse(live("a"), "it was on its way");
        roster.onReport(report("a", NODE, 6), 12);
        assertEquals(List.of(), roster.onWorkerEnded("a", 5, "again", 13));
        assertTrue(live("a"));
    }

    @Test
    void shouldNotBelieveWhatTheDeadSaidBefore() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onProcessGone(NODE, "gone", 10);
        assertEquals(List.of(), roster.onReport(report("a", NODE, 5), 11));
        assertFalse(live("a"), "it was on its way");
    }

    @Test
    void shouldTakeASuccessorUnderTheSameAddressAtOnce() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onProcessGone(NODE, "gone", 10);
        assertEquals(List.of(), roster.onReport(report("a", NODE, 7), 11));
        assertTrue(live("a"));
        roster.onReport(report("a", NODE, 5), 12);
        assertEquals(7, roster.entry("a").report().epoch(), "nor is the dead one heard again");
    }

    @Test
    void shouldHearAWorkerAgainThatWasCalledDeadAndLives() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onProcessGone(NODE, "gone", 10);
        roster.onProcessBack(NODE);
        roster.onReport(report("a", NODE, 5), 11);
        assertTrue(live("a"), "reached again");

        roster.onProcessGone(NODE, "gone", 20);
        roster.onReport(report("a", NODE, 5), 20 + TIMEOUT - 1);
        assertFalse(live("a"));
        roster.onReport(report("a", NODE, 5), 20 + TIMEOUT);
        assertTrue(live("a"), "or heard for so long that it cannot be an echo");
    }

    @Test
    void shouldForgetTheDeadWithTheirNode() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onProcessGone(NODE, "gone", 10);
        assertEquals(List.of(), roster.onNodeRemoved(NODE, "its node is Removed", 20));
        assertEquals(List.of(), roster.entries());
        roster.onReport(report("a", NODE, 3), 30);
        assertTrue(live("a"), "its clock may be behind");
    }

    /** Its former one was heard late, once, after it had been removed: nothing else would ever make room for it. */
    @Test
    void shouldTakeASuccessorWhoseClockIsBehindOnceTheFormerOneIsLost() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onReport(report("a", NODE, 3), 10);
        assertEquals(5, roster.entry("a").report().epoch(), "a late word of one before");
        roster.onTick(TIMEOUT + 1);
        assertEquals(List.of(), roster.onReport(report("a", NODE, 3), TIMEOUT + 2));
        assertTrue(live("a"));
        assertEquals(3, roster.entry("a").report().epoch());
    }

    @Test
    void shouldNotBelieveTheDeadOverASuccessorWhoseClockIsBehind() {
        roster.onReport(report("a", NODE, 5), 0);
        roster.onProcessGone(NODE, "gone", 10);
        roster.onReport(report("a", NODE, 3), 11);
        assertEquals(List.of(), roster.onReport(report("a", NODE, 5), 12), "it was on its way");
        assertTrue(live("a"));
        assertEquals(3, roster.entry("a").report().epoch());
    }

    @Test
    void shouldLoseWhoIsSilent() {
        roster.onReport(report("a", NODE, 5), 0);
        assertEquals(List.of(), roster.onTick(TIMEOUT));
        assertEquals(
                "its reports stopped", roster.onTick(TIMEOUT + 1).getFirst().why());
        roster.onReport(report("a", NODE, 5), TIMEOUT + 2);
        assertTrue(live("a"), "a hang ends");
    }
}
