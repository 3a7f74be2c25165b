package io.tandem.simulation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.tandem.simulation.ClusterSimulation.Cluster;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Policies on Dynamo's engine model, 8 workers, targets TTFT 2 s and mean ITL 25 ms. */
class PolicyGoodputTest {
    private static final Cluster EIGHT = Cluster.dynamo(8);

    private static Trace whole(double speedup) throws IOException {
        Path file =
                Path.of(System.getProperty("tandem.repo.root")).resolve("../shared/traces/mooncake_conversation.jsonl");
        assumeTrue(Files.exists(file), "not here: shared/traces/mooncake_conversation.jsonl");
        return TraceFiles.read(file).speedUp(speedup);
    }

    private static SimulationResult run(Trace trace, BuiltInPolicy policy, String layout) {
        return policy.run(new Scenario(trace, Layout.parse(layout), EIGHT, DynamoEngineModel.DEFAULT, Slo.DEFAULT, 1));
    }

    private static int goodput(Trace trace, BuiltInPolicy policy, String layout) {
        return run(trace, policy, layout).goodput(Slo.DEFAULT);
    }

    @Test
    void shouldReproduceDynamosKvRowsWithinTheirSpread() throws IOException {
        Trace one = whole(1);
        SimulationResult agg = run(one, BuiltInPolicy.DYNAMO, "agg:8");
        assertEquals(277.2, agg.ttft().mean(), 2);
        assertEquals(11_767, agg.goodput(Slo.DEFAULT), 25);
        assertEquals(0.201, agg.reuse(), 0.005);
        SimulationResult split = run(one, BuiltInPolicy.DYNAMO, "pd:4:4");
        assertEquals(387.2, split.ttft().mean(), 2);
        assertEquals(11_944, split.goodput(Slo.DEFAULT), 6);
        Trace four = whole(4);
        assertEquals(9_422, goodput(four, BuiltInPolicy.DYNAMO, "agg:8"), 100);
        assertEquals(11_744, goodput(four, BuiltInPolicy.DYNAMO, "pd:4:4"), 35);
    }

    @Test
    void shouldServeMoreWithinTheTargetsThanTheBestOfDynamosRouters() throws IOException {
        assertTrue(goodput(whole(1), BuiltInPolicy.TANDEM_ACCEPTING, "agg:8") > 11_944);
        assertTrue(goodput(whole(4), BuiltInPolicy.TANDEM, "agg:8") > 11_880);
        assertTrue(goodput(whole(4), BuiltInPolicy.TANDEM, "pd:4:4") > 11_880);
    }

    @Test
    void shouldHoldUnderOverloadWhereOthersCollapse() throws IOException {
        Trace eight = whole(8);
        assertTrue(goodput(eight, BuiltInPolicy.TANDEM, "agg:8") > 10_200);
        assertTrue(goodput(eight, BuiltInPolicy.DYNAMO, "pd:4:4") < 200);
    }

    /** Just beyond what three GPUs decode in time: whoever lets in a little too much has all answers a little too slow. */
    @Test
    void shouldKeepTheItlOfMostWhereDecodesAreTheLimit() {
        Trace trace = SyntheticTrace.generate(SyntheticTrace.parse("rate=105,seconds=60,input=1500,output=200"), 1);
        int good = goodput(trace, BuiltInPolicy.TANDEM, "pd:5:3");
        assertTrue(good > 0.9 * trace.size(), good + " of " + trace.size());
        int byDoor = goodput(trace, BuiltInPolicy.TANDEM_DOOR, "pd:5:3");
        assertTrue(byDoor > 0.9 * trace.size(), byDoor + " of " + trace.size());
        assertTrue(goodput(trace, BuiltInPolicy.DYNAMO, "pd:5:3") < 0.5 * trace.size());
    }

    /** The ITL target is what a step is believed to take at least before any was measured. Nobody may be refused or left idle for that. */
    @Test
    void shouldTryEveryGpuThoughItsPriorIsBeyondTheTarget() {
        Slo tight = new Slo(300, 10);
        Trace trace = SyntheticTrace.generate(SyntheticTrace.parse("rate=35,seconds=30,input=1500,output=200"), 2);
        for (String layout : List.of("agg:8", "pd:4:4", "dynamic:8")) {
            Scenario s = new Scenario(trace, Layout.parse(layout), EIGHT, DynamoEngineModel.DEFAULT, tight, 2);
            int good = BuiltInPolicy.TANDEM.run(s).goodput(tight);
            assertTrue(good > 0.95 * trace.size(), layout + ": " + good + " of " + trace.size());
        }
    }

    @Test
    void shouldBeDeterministic() throws IOException {
        Trace trace = TraceFiles.read(Path.of("src/test/resources/traces/mooncake_conversation_400.jsonl"));
        SimulationResult a = run(trace, BuiltInPolicy.TANDEM, "agg:8");
        SimulationResult b = run(trace, BuiltInPolicy.TANDEM, "agg:8");
        for (int r = 0; r < trace.size(); r++) {
            assertEquals(a.endNanos(r), b.endNanos(r));
        }
    }

    @Test
    void shouldCompleteOrRefuseEveryRequestUnderEveryPolicy() throws IOException {
        Trace trace = TraceFiles.read(Path.of("src/test/resources/traces/azure_llm_2023_conv_400.csv"))
                .speedUp(8);
        for (BuiltInPolicy policy : BuiltInPolicy.values()) {
            for (String layout : new String[] {"agg:8", "pd:2:6", "dynamic:8"}) {
                if (policy.suits(Layout.parse(layout))) {
                    SimulationResult result = run(trace, policy, layout);
                    assertEquals(400, result.completedRequests() + result.rejectedRequests(), layout + " " + policy);
                    assertTrue(result.completedRequests() >= 390, layout + " " + policy);
                }
            }
        }
    }
}
