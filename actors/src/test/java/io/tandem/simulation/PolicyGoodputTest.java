package io.tandem.simulation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.tandem.routing.CostSettings;
import io.tandem.simulation.ClusterSimulation.Cluster;
import io.tandem.simulation.DynamoKvPlacement.Options;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Policies on Dynamo's engine model, 8 workers, targets TTFT 2 s and mean ITL 25 ms. */
class PolicyGoodputTest {
    private static final Cluster EIGHT = Cluster.dynamo(8);
    private static final CostSettings OURS = CostSettings.DEFAULT.withFirstTokenFromDecode(true);

    private static Trace whole(double speedup) throws IOException {
        Path file =
                Path.of(System.getProperty("tandem.repo.root")).resolve("../shared/traces/mooncake_conversation.jsonl");
        assumeTrue(Files.exists(file), "not here: shared/traces/mooncake_conversation.jsonl");
        return TraceFiles.read(file).speedUp(speedup);
    }

    private static SimulationResult run(Trace trace, Placement policy) {
        return new ClusterSimulation(trace, EIGHT, DynamoEngineModel.DEFAULT, policy).run();
    }

    private static SimulationResult dynamo(Trace trace, String layout, double scale) {
        return run(
                trace,
                new DynamoKvPlacement(
                        trace, Layout.parse(layout), 64, Options.DEFAULTS.withPrefillLoadScale(scale), 1));
    }

    private static SimulationResult ours(Trace trace, String layout) {
        return run(trace, new CostPlacement(trace, Layout.parse(layout), EIGHT, OURS, 2_000_000_000L, 25_000_000L, 1));
    }

    @Test
    void shouldReproduceDynamosKvRowsWithinTheirSpread() throws IOException {
        Trace one = whole(1);
        SimulationResult agg = dynamo(one, "agg:8", 1);
        assertEquals(277.2, agg.ttft().mean(), 2);
        assertEquals(11_767, agg.goodput(2000, 25), 25);
        assertEquals(0.201, agg.reuse(), 0.005);
        SimulationResult split = dynamo(one, "pd:4:4", 1);
        assertEquals(387.2, split.ttft().mean(), 2);
        assertEquals(11_944, split.goodput(2000, 25), 6);
        Trace four = whole(4);
        assertEquals(9_422, dynamo(four, "agg:8", 1).goodput(2000, 25), 100);
        assertEquals(11_744, dynamo(four, "pd:4:4", 1).goodput(2000, 25), 35);
    }

    @Test
    void shouldServeMoreWithinTheTargetsThanTheBestOfDynamosRouters() throws IOException {
        assertTrue(ours(whole(1), "agg:8").goodput(2000, 25) > 11_944);
        assertTrue(ours(whole(2), "agg:8").goodput(2000, 25) > 11_933);
        assertTrue(ours(whole(4), "agg:8").goodput(2000, 25) > 11_744);
        assertTrue(ours(whole(4), "pd:4:4").goodput(2000, 25) > 11_850);
    }

    @Test
    void shouldBeDeterministic() throws IOException {
        Trace trace = TraceFiles.read(Path.of("src/test/resources/traces/mooncake_conversation_400.jsonl"));
        SimulationResult a = ours(trace, "agg:8");
        SimulationResult b = ours(trace, "agg:8");
        assertEquals(400, a.completedRequests());
        for (int r = 0; r < trace.size(); r++) {
            assertEquals(a.endNanos(r), b.endNanos(r));
        }
    }

    @Test
    void shouldCompleteEveryRequestUnderEveryRule() throws IOException {
        Trace trace = TraceFiles.read(Path.of("src/test/resources/traces/azure_llm_2023_conv_400.csv"));
        for (String layout : new String[] {"agg:8", "pd:2:6"}) {
            for (LoadPlacement.Rule rule : LoadPlacement.Rule.values()) {
                SimulationResult result = run(trace, new LoadPlacement(Layout.parse(layout), rule, 3));
                assertEquals(400, result.completedRequests(), layout + " " + rule);
            }
            assertEquals(400, dynamo(trace, layout, 16).completedRequests());
            assertEquals(400, ours(trace, layout).completedRequests());
        }
    }
}
