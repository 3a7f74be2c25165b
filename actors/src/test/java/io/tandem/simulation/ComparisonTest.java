package io.tandem.simulation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.engine.EngineRole;
import io.tandem.simulation.ClusterSimulation.Cluster;
import io.tandem.simulation.Comparison.Cell;
import io.tandem.simulation.Comparison.Mean;
import io.tandem.simulation.Comparison.Saturation;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ComparisonTest {
    private static Trace excerpt() throws IOException {
        return TraceFiles.read(Path.of("src/test/resources/traces/mooncake_conversation_400.jsonl"));
    }

    private static Cell cell(double rate, double share) {
        return new Cell("p", "agg:8", rate, rate, new Mean(share, 0), List.of());
    }

    @Test
    void shouldFindWhereGoodputFallsBelowNinetyPercent() {
        Saturation s = Comparison.saturation(List.of(cell(1, 1), cell(2, 0.95), cell(4, 0.85)))
                .getFirst();
        assertEquals(3, s.requestsPerSecond(), 1e-9);
        assertFalse(s.beyond());
        assertTrue(Comparison.saturation(List.of(cell(1, 0.99), cell(2, 0.95)))
                .getFirst()
                .beyond());
        assertEquals(0, Comparison.saturation(List.of(cell(1, 0.5))).getFirst().requestsPerSecond());
    }

    @Test
    void shouldGiveStudentsInterval() {
        Mean five = Mean.of(1, 2, 3, 4, 5);
        assertEquals(3, five.value(), 1e-12);
        assertEquals(2.776 * Math.sqrt(2.5 / 5), five.halfWidth(), 1e-9);
        assertEquals(0, Mean.of(7).halfWidth());
        double[] twenty = IntStream.range(0, 20).asDoubleStream().toArray();
        assertEquals(2.093 * Math.sqrt(35.0 / 20), Mean.of(twenty).halfWidth(), 0.003, "t of 19 degrees of freedom");
    }

    @Test
    void shouldNotDependOnTheNumberOfThreads() throws Exception {
        Trace trace = excerpt();
        Comparison c = new Comparison(
                List.of(BuiltInPolicy.TANDEM, BuiltInPolicy.DYNAMO, BuiltInPolicy.ARROW),
                List.of(Layout.parse("agg:4"), Layout.parse("dynamic:4")),
                List.of(1.0, 4.0),
                List.of(1L, 2L),
                Slo.DEFAULT,
                "dynamo",
                DynamoEngineModel.DEFAULT,
                Cluster.dynamo(1),
                seed -> new TraceSampling(trace).draw(1, Integer.MAX_VALUE, seed));
        List<Cell> one = c.run(1, r -> {});
        List<Cell> three = c.run(3, r -> {});
        assertEquals(8, one.size(), "four pairs suit, at two rates");
        for (int i = 0; i < one.size(); i++) {
            assertEquals(one.get(i).goodShare(), three.get(i).goodShare());
            assertEquals(2, one.get(i).runs().size());
        }
    }

    @Test
    void shouldDrawWholeConversationsWithPrefixesOfTheirOwn() throws IOException {
        Trace base = excerpt();
        TraceSampling sampling = new TraceSampling(base);
        assertTrue(sampling.conversations() > 300, sampling.conversations() + " conversations");
        Trace a = sampling.draw(4, Integer.MAX_VALUE, 1);
        assertEquals(4.0, (double) a.size() / base.size(), 0.4);
        assertEquals(reusable(base), reusable(a), 0.03, "no reuse between copies but of the common prefix");
        Trace same = sampling.draw(4, Integer.MAX_VALUE, 1);
        assertTrue(Arrays.equals(a.arrivalNanos(), same.arrivalNanos()));
        assertFalse(Arrays.equals(
                a.inputTokens(), sampling.draw(4, Integer.MAX_VALUE, 2).inputTokens()));
        assertEquals(100, sampling.draw(4, 100, 1).size());
    }

    /** Share of nodes, beside each prompt's first, that an earlier prompt had. */
    private static double reusable(Trace trace) {
        Set<Integer> seen = new HashSet<>();
        int again = 0;
        int all = 0;
        for (int[] path : trace.nodes()) {
            for (int i = 1; i < path.length; i++) {
                all++;
                again += seen.add(path[i]) ? 0 : 1;
            }
        }
        return (double) again / all;
    }

    @Test
    void shouldKeepAccountOfRoles() {
        RoleBoard board = new RoleBoard(Layout.parse("dynamic:4"));
        board.busy(0, 50, 0);
        board.flip(0, EngineRole.DECODE, 100);
        board.flip(0, EngineRole.DECODE, 150);
        assertEquals(1, board.flips());
        assertEquals(1, board.count(EngineRole.PREFILL));
        assertEquals(EngineRole.PREFILL, board.previousRole(0));
        assertEquals(50.0 / 300, board.use(EngineRole.PREFILL, 200), 1e-12, "100 of one, 200 of the other");
        assertTrue(Double.isNaN(board.use(EngineRole.MIXED, 200)));
        assertEquals(2, board.history().size());
    }

    @Test
    void shouldReadTargetsLayoutsAndEngines() {
        assertEquals(new Slo(1500, 40), Slo.parse("ttft=1.5s,itl=40ms"));
        assertThrows(IllegalArgumentException.class, () -> Slo.parse("ttft=2"));
        assertThrows(IllegalArgumentException.class, () -> Slo.parse("tpot=2ms"));
        assertEquals("dynamic:8:2", Layout.parse("dynamic:8:2").toString());
        assertThrows(IllegalArgumentException.class, () -> Layout.parse("dynamic:1"));
        RooflineEngineModel h100 = RooflineEngineModel.parse("model=llama-3.1-8b,gpu=h100");
        PassShape prompt = new PassShape();
        prompt.addPrefill(0, 4096);
        assertEquals(142, h100.passNanos(prompt) / 1e6, 5, "4,096 tokens at half of the peak");
        PassShape step = new PassShape();
        step.addDecode(1);
        assertEquals(4.79 / 0.75 + 2, h100.passNanos(step) / 1e6, 0.1, "the weights once, and the fixed cost");
        assertThrows(IllegalArgumentException.class, () -> RooflineEngineModel.parse("gpu=h100"));
        assertThrows(IllegalArgumentException.class, () -> RooflineEngineModel.parse("model=gpt-9,gpu=h100"));
    }

    @Test
    void shouldFlipByTheSupervisorsPolicyWhenTrafficTurns() {
        var phases = SyntheticTrace.parse(
                "seconds=120,rate=45,input=4000,output=40,sigma=0.5;rate=45,input=300,output=500,sigma=0.3");
        Scenario s = new Scenario(
                SyntheticTrace.generate(phases, 1),
                Layout.parse("dynamic:8"),
                Cluster.dynamo(8),
                DynamoEngineModel.DEFAULT,
                Slo.DEFAULT,
                1);
        SimulationResult r = BuiltInPolicy.TANDEM.run(s);
        assertTrue(r.roles().flips() >= 1, "prompts need more than half of the workers");
        assertTrue(
                r.roles().history().stream().allMatch(c -> c.prefill() + c.mixed() > 0 && c.decode() + c.mixed() > 0));
        assertEquals(s.trace().size(), r.completedRequests() + r.rejectedRequests());
    }
}
