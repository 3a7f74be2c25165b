package io.tandem.simulation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.tandem.simulation.ClusterSimulation.Cluster;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The production admission under virtual time, before the production routing. */
class AdmissionPlacementTest {
    private static final Cluster EIGHT = Cluster.dynamo(8);

    private static SimulationResult run(Trace trace, BuiltInPolicy policy, String layout) {
        return policy.run(new Scenario(trace, Layout.parse(layout), EIGHT, DynamoEngineModel.DEFAULT, Slo.DEFAULT, 1));
    }

    private static Trace some(double speedup) throws IOException {
        return TraceFiles.read(Path.of("src/test/resources/traces/mooncake_conversation_400.jsonl"))
                .speedUp(speedup);
    }

    @Test
    void shouldEndEveryRequestOnceAndRepeatItself() throws IOException {
        for (String layout : new String[] {"agg:8", "pd:4:4"}) {
            Trace trace = some(20);
            SimulationResult a = run(trace, BuiltInPolicy.TANDEM_DOOR, layout);
            SimulationResult b = run(trace, BuiltInPolicy.TANDEM_DOOR, layout);
            assertEquals(trace.size(), a.completedRequests() + a.rejectedRequests());
            assertTrue(a.rejectedRequests() > 0, "the load is more than they can do");
            for (int r = 0; r < trace.size(); r++) {
                assertEquals(a.endNanos(r), b.endNanos(r));
                assertTrue(a.completed(r) || a.firstTokenNanos(r) < 0, "no GPU worked for what was refused");
            }
        }
    }

    @Test
    void shouldServeAsMuchWithinTheTargetsAsWithoutADoorAndMoreUnderOverload() throws IOException {
        for (String layout : new String[] {"agg:8", "pd:4:4"}) {
            int calm = run(some(1), BuiltInPolicy.TANDEM_DOOR, layout).goodput(Slo.DEFAULT);
            assertTrue(
                    calm
                            >= 0.99
                                    * run(some(1), BuiltInPolicy.TANDEM_ACCEPTING, layout)
                                            .goodput(Slo.DEFAULT),
                    layout + " calm " + calm);
            int full = run(some(20), BuiltInPolicy.TANDEM_DOOR, layout).goodput(Slo.DEFAULT);
            assertTrue(
                    full > run(some(20), BuiltInPolicy.TANDEM_ACCEPTING, layout).goodput(Slo.DEFAULT),
                    layout + " full " + full);
        }
    }

    @Test
    void shouldHoldUnderOverloadOfTheWholeTrace() throws IOException {
        Path file =
                Path.of(System.getProperty("tandem.repo.root")).resolve("../shared/traces/mooncake_conversation.jsonl");
        assumeTrue(Files.exists(file), "not here: shared/traces/mooncake_conversation.jsonl");
        Trace eight = TraceFiles.read(file).speedUp(8);
        assertTrue(run(eight, BuiltInPolicy.TANDEM_DOOR, "agg:8").goodput(Slo.DEFAULT) > 10_500);
        assertTrue(run(eight, BuiltInPolicy.TANDEM_DOOR, "pd:4:4").goodput(Slo.DEFAULT) > 10_400);
    }
}
