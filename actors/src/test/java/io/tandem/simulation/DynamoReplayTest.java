package io.tandem.simulation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.tandem.simulation.ClusterSimulation.Cluster;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The simulator against per-request times of Dynamo's own offline replay, round robin. */
class DynamoReplayTest {
    private static final int WORKERS = 8;

    private static Trace excerpt() throws IOException {
        return TraceFiles.read(Path.of("src/test/resources/traces/mooncake_conversation_400.jsonl"));
    }

    private static Path shared(String name) {
        Path file = Path.of(System.getProperty("tandem.repo.root"))
                .resolve("../shared")
                .resolve(name);
        assumeTrue(Files.exists(file), "not here: shared/" + name);
        return file;
    }

    private static Trace whole() throws IOException {
        return TraceFiles.read(shared("traces/mooncake_conversation.jsonl"));
    }

    private static SimulationResult replay(Trace trace, int prefillWorkers, int workers, Cluster cluster) {
        return new ClusterSimulation(trace, cluster, DynamoEngineModel.DEFAULT, new RoundRobin(workers, prefillWorkers))
                .run();
    }

    private static SimulationResult replay(Trace trace, int prefillWorkers) {
        return replay(trace, prefillWorkers, WORKERS, Cluster.dynamo(WORKERS));
    }

    @Test
    void shouldGiveTheCheckValuesOfTheFirstRequests() throws IOException {
        Trace trace = excerpt();
        SimulationResult agg = replay(trace, 0);
        double[] ttft = {
            169.136918,
            169.136918,
            148.412166,
            53.479258,
            138.380114,
            99.735884,
            476.591327,
            561.266671,
            372.46346,
            512.706831
        };
        for (int i = 0; i < ttft.length; i++) {
            assertEquals(ttft[i], agg.ttftMillis(i), 1e-6, "request " + i);
        }
        assertEquals(3998.372624, agg.endToEndMillis(0), 1e-6);
        assertEquals(150.554515, agg.endToEndMillis(4), 1e-6);
        assertEquals(512, agg.cachedTokens(8));
        assertEquals(512, agg.cachedTokens(9));

        SimulationResult split = replay(trace, 4);
        double[] splitTtft = {175.223940, 175.252804, 175.248404, 174.994748, 346.026304, 346.765167};
        for (int i = 0; i < splitTtft.length; i++) {
            assertEquals(splitTtft[i], split.ttftMillis(i), 1e-6, "request " + i);
        }
    }

    @Test
    void shouldReproduceEveryRequestOfTheAggregatedReplay() throws IOException {
        Trace trace = whole();
        SimulationResult result = replay(trace, 0);
        compare(result, golden("agg8_rr_1x.csv"), WORKERS);
        assertEquals(321.136280, result.ttft().mean(), 1e-5);
        assertEquals(8.101049, result.tpot().mean(), 1e-5);
        assertEquals(7.588183, result.itl().mean(), 1e-5);
        assertEquals(2913.402888, result.endToEnd().mean(), 1e-5);
        assertEquals(3542944.092687, result.durationNanos() / 1e6, 1e-5);
        assertEquals(0.0817435976, result.reuse(), 1e-9);
        assertEquals(11_794, result.goodput(Slo.DEFAULT));
    }

    @Test
    void shouldReproduceEveryRequestOfTheDisaggregatedReplay() throws IOException {
        SimulationResult result = replay(whole(), 4);
        compare(result, golden("4p4d_rr_1x.csv"), 4);
        assertEquals(499.294369, result.ttft().mean(), 1e-5);
        assertEquals(3155.605407, result.endToEnd().mean(), 1e-5);
        assertEquals(11_757, result.goodput(Slo.DEFAULT));
    }

    @Test
    void shouldAgreeUnderPressureToo() throws IOException {
        Trace trace = whole();
        SimulationResult four = replay(trace.speedUp(4), 0);
        assertEquals(475.277488, four.ttft().mean(), 1e-5);
        assertEquals(26.823128, four.tpot().mean(), 1e-5);
        assertEquals(9302.753060, four.endToEnd().mean(), 1e-5);
        SimulationResult one = replay(trace.speedUp(0.25), 0, 1, Cluster.dynamo(1));
        assertEquals(1570.611961, one.ttft().mean(), 1e-5);
        assertEquals(25.101797, one.tpot().mean(), 1e-5);
        assertEquals(0.0549751629, one.reuse(), 1e-9);
    }

    @Test
    void shouldTakeTheTransferIntoAccount() throws IOException {
        Cluster wire = new Cluster(WORKERS, 16_384, 64, 256, 8_192, 131_072, 64e9);
        SimulationResult result = replay(whole(), 4, WORKERS, wire);
        assertEquals(527.5, result.ttft().mean(), 0.2);
        assertEquals(3184.1, result.endToEnd().mean(), 0.3);
        assertEquals(11_710, result.goodput(Slo.DEFAULT), 2);
    }

    private static List<String[]> golden(String name) throws IOException {
        List<String[]> rows = new ArrayList<>();
        for (String line : Files.readAllLines(shared("golden/replay/" + name))) {
            if (!line.startsWith("arrival")) {
                rows.add(line.split(",", -1));
            }
        }
        return rows;
    }

    private static long nanos(String millis) {
        return Math.round(Double.parseDouble(millis) * 1e6);
    }

    /** Rows are not in the order of the trace: arrival, lengths and worker tell them apart. Times to 1e-6 ms = 1 ns. */
    private static void compare(SimulationResult result, List<String[]> rows, int turns) {
        Map<List<Long>, String[]> byKey = new HashMap<>();
        for (String[] row : rows) {
            String worker = row[7].isEmpty() ? row[8] : row[7];
            byKey.put(List.of(nanos(row[0]), nanos(row[4]), nanos(row[5]), Long.parseLong(worker)), row);
        }
        Trace trace = result.trace();
        assertEquals(trace.size(), byKey.size());
        for (int i = 0; i < trace.size(); i++) {
            String[] row = byKey.get(List.of(
                    trace.arrivalNanos()[i],
                    trace.inputTokens()[i] * 1_000_000L,
                    trace.outputTokens()[i] * 1_000_000L,
                    (long) (i % turns)));
            assertNotNull(row, "request " + i);
            assertTrue(Math.abs(nanos(row[2]) - result.firstTokenNanos(i)) <= 1, "first token of request " + i);
            assertTrue(Math.abs(nanos(row[3]) - result.endNanos(i)) <= 1, "last token of request " + i);
            assertEquals(Integer.parseInt(row[6]), result.cachedTokens(i), "reuse of request " + i);
        }
    }
}
