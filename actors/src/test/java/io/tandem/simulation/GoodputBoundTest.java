package io.tandem.simulation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.simulation.ClusterSimulation.Cluster;
import org.junit.jupiter.api.Test;

class GoodputBoundTest {
    private static final int[] NOTHING_SHARED = {};

    private static int bound(Trace trace, int workers) {
        return GoodputBound.requests(trace, Cluster.dynamo(workers), DynamoEngineModel.DEFAULT, Slo.DEFAULT);
    }

    @Test
    void shouldCountWhatFitsTheTimeOfAllGpus() {
        Trace.Builder builder = new Trace.Builder("burst", 512);
        for (int i = 0; i < 40; i++) {
            builder.add(0, 8_192, 1, NOTHING_SHARED);
        }
        // The best step takes 20.4 us a token, so a prompt 0.168 s of the 2 s in which each must be done.
        assertEquals(11, bound(builder.build(), 1));
        assertEquals(23, bound(builder.build(), 2));
        assertEquals(40, bound(builder.build(), 4));
    }

    @Test
    void shouldPayForSharedTokensOnceAndForNoneThatCannotBeInTime() {
        Trace.Builder builder = new Trace.Builder("shared", 512);
        int[] ids = java.util.stream.IntStream.range(0, 16).toArray();
        for (int i = 0; i < 40; i++) {
            builder.add(0, 8_192, 1, ids);
        }
        builder.add(0, 120_000, 1, NOTHING_SHARED);
        assertEquals(40, bound(builder.build(), 1));
    }

    @Test
    void shouldTakeTheSmallestFirstAndOutputsIntoAccount() {
        Trace.Builder builder = new Trace.Builder("mixed", 512);
        for (int i = 0; i < 20; i++) {
            builder.add(0, 8_192, 1, NOTHING_SHARED);
            builder.add(0, 100, 1, NOTHING_SHARED);
        }
        // 20 short ones take 0.04 s; 11 long ones fit beside them.
        assertEquals(31, bound(builder.build(), 1));
        Trace.Builder outputs = new Trace.Builder("outputs", 512);
        for (int i = 0; i < 2_000; i++) {
            outputs.add(0, 1_000, 400, NOTHING_SHARED);
        }
        // 20.4 ms of prompt and 28 ms of output each, in 2 s and 399 tokens of 25 ms.
        int good = bound(outputs.build(), 1);
        assertTrue(good > 200 && good < 320, "good " + good);
    }

    @Test
    void shouldNotBeSurpassedByAnyPolicy() {
        Trace trace = SyntheticTrace.generate(SyntheticTrace.parse("rate=30,seconds=40,input=3000,output=150"), 7);
        int bound = bound(trace, 2);
        assertTrue(bound < trace.size(), "overloaded: " + bound + " of " + trace.size());
        for (BuiltInPolicy policy : java.util.List.of(BuiltInPolicy.TANDEM, BuiltInPolicy.MOONCAKE)) {
            Layout layout = Layout.parse("pd:1:1");
            Scenario s = new Scenario(trace, layout, Cluster.dynamo(2), DynamoEngineModel.DEFAULT, Slo.DEFAULT, 7);
            int good = policy.run(s).goodput(Slo.DEFAULT);
            assertTrue(good <= bound, policy.id() + ": " + good + " above " + bound);
        }
    }
}
