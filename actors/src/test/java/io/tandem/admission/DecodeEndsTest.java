package io.tandem.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.admission.Verdict.Dispatch;
import io.tandem.admission.Verdict.Reject;
import java.util.List;
import org.junit.jupiter.api.Test;

class DecodeEndsTest {
    private static final List<ServiceClass> CLASSES = Classes.settings().classes();

    @Test
    void shouldOrderByExpectedEndAndExpectWhatOutlivesItOnceMore() {
        DecodeEnds ends = new DecodeEnds();
        ends.add("g", 1, new DecodeEnds.Decode(0, 0, 100, 10));
        ends.add("g", 2, new DecodeEnds.Decode(1, 50, 100, 20));
        ends.add("h", 3, new DecodeEnds.Decode(1, 0, 1, 30));
        assertEquals(
                List.of(10.0, 20.0),
                ends.byEnd("g", 60).stream()
                        .map(DecodeEnds.Decode::contextTokens)
                        .toList());
        // At 120 the first has outlived its 100 and is expected at 220; the second ends at 150.
        assertEquals(
                List.of(20.0, 10.0),
                ends.byEnd("g", 120).stream()
                        .map(DecodeEnds.Decode::contextTokens)
                        .toList());
        assertEquals((double) CLASSES.get(0).itlTargetNanos(), ends.tightestItlNanos("g", CLASSES), 0);
        ends.remove("g", 1);
        ends.remove("g", 1);
        assertEquals((double) CLASSES.get(1).itlTargetNanos(), ends.tightestItlNanos("g", CLASSES), 0);
        ends.remove("g", 2);
        assertTrue(ends.byEnd("g", 0).isEmpty());
        assertEquals(Double.POSITIVE_INFINITY, ends.tightestItlNanos("g", CLASSES));
    }

    /** 20 decodes make 31 ms between tokens; they are over long before its first token is due, so 25 ms can be promised. */
    @Test
    void shouldPredictForTheTimeOfTheFirstTokenAndNotForNow() {
        VirtualCluster cluster = new VirtualCluster(
                Classes.settings(
                        "dispatch-ahead = 10s", "expected-output-tokens = 20", "classes.priority.ttft-target = 5s"),
                1);
        for (int i = 0; i < 20; i++) {
            cluster.arrival(i, i, "a", "flex", 1, 20);
        }
        cluster.arrival(100 * Classes.MILLI, 100, "b", "priority", 20_000, 1);
        cluster.run();
        Dispatch dispatch = assertInstanceOf(Dispatch.class, cluster.verdict(100));
        assertTrue(dispatch.queuedNanos() > 0, "it waits for some of them");
        assertTrue(cluster.itlNanos.get(100L) <= 25e6);
    }

    @Test
    void shouldWaitForRoomThatComesInTimeAndRefuseWhenItComesTooLate() {
        String[] settings = {"dispatch-ahead = 10s", "classes.priority.ttft-target = 2s"};
        VirtualCluster inTime =
                new VirtualCluster(Classes.settings(settings[0], settings[1], "expected-output-tokens = 30"), 1);
        VirtualCluster tooLate =
                new VirtualCluster(Classes.settings(settings[0], settings[1], "expected-output-tokens = 3000"), 1);
        for (VirtualCluster cluster : List.of(inTime, tooLate)) {
            for (int i = 0; i < 20; i++) {
                cluster.arrival(i, i, "a", "flex", 1, cluster == inTime ? 30 : 3000);
            }
            cluster.arrival(100 * Classes.MILLI, 100, "b", "priority", 10, 1);
            cluster.run();
        }
        assertTrue(((Dispatch) inTime.verdict(100)).queuedNanos() > 0);
        assertTrue(inTime.itlNanos.get(100L) <= 25e6);
        Reject reject = assertInstanceOf(Reject.class, tooLate.verdict(100));
        assertEquals(Verdict.Cause.ITL, reject.cause());
        // Their 3000 tokens take 30 ms each, beginning with 11 ms for the first of them.
        assertTrue(reject.retryAfterNanos() > 25 * Classes.SECOND, reject.retryAfterNanos() + " ns");
    }
}
