package io.tandem.simulation.planning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.simulation.BuiltInPolicy;
import io.tandem.simulation.ClusterSimulation.Cluster;
import io.tandem.simulation.Layout;
import io.tandem.simulation.Scenario;
import io.tandem.simulation.SimulationResult;
import io.tandem.simulation.Slo;
import io.tandem.simulation.SyntheticTrace;
import io.tandem.simulation.Trace;
import io.tandem.simulation.planning.LayoutPlanner.Demand;
import io.tandem.simulation.planning.LayoutPlanner.Point;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the planner promises, beside what the simulator sees with the same timing at the same load. */
class PlannerAgreementTest {
    private static final int IN = 4000;
    private static final int OUT = 500;
    private static final int REQUESTS = 2000;
    private static final StepTimes TIMES = StepTimes.from(ConfigFactory.load());
    private static final Replica REPLICA =
            new Replica(ModelShape.of("Llama-3.1-8B"), GpuSpec.of("h100"), Precision.BF16, 1);
    private static final List<Point> POINTS = new LayoutPlanner(
                    TIMES, new Demand(REPLICA.model(), REPLICA.gpu(), REPLICA.precision(), IN, OUT, 8))
            .points();

    /** Requests of equal lengths at random times, at the point's rate. */
    private static SimulationResult simulate(Point point, Layout layout) {
        double rate = point.tokensPerSecondPerGpu() * point.gpus() / OUT;
        String spec = String.format(
                Locale.ROOT, "rate=%f,seconds=%f,input=%d,output=%d,sigma=0", rate, REQUESTS / rate, IN, OUT);
        Trace trace = SyntheticTrace.generate(SyntheticTrace.parse(spec), 1);
        Cluster cluster = new Cluster(
                layout.workers(),
                (int) (REPLICA.kvTokens() / 64),
                64,
                1024,
                8192,
                (long) REPLICA.model().kvBytesPerToken(REPLICA.precision()),
                REPLICA.networkBytesPerSecond());
        Scenario s = new Scenario(
                trace, layout, cluster, new FittedEngineModel(TIMES, REPLICA), Slo.parse("ttft=100s,itl=1s"), 1);
        return BuiltInPolicy.LEAST_LOADED.run(s);
    }

    private static void assertNear(double expected, double actual, double share, Point point) {
        assertEquals(1, actual / expected, share, expected + " planned, " + actual + " simulated, " + point);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4, 16, 41})
    void shouldAgreeWithTheSimulatorOnWorkersThatDoBoth(int batch) {
        Point point = POINTS.stream()
                .filter(p -> p.layout().equals("agg(tp1)") && p.batch() == batch)
                .findFirst()
                .orElseThrow();
        SimulationResult seen = simulate(point, new Layout(1, 0));
        assertNear(point.itlMs(), seen.tpot().mean(), 0.06, point);
        assertNear(point.ttftMs(), seen.ttft().mean(), 0.10, point);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.5, 0.65, 0.8})
    void shouldAgreeWithTheSimulatorOnSplitWorkers(double busy) {
        Point point = POINTS.stream()
                .filter(p -> p.split() && p.prefillGpus() == 1 && p.replicaGpus() == 1 && p.gpus() >= 6)
                .filter(p -> p.prefillBusy() <= busy && p.prefillBusy() > busy - 0.05 && p.replicas() > 1)
                .findFirst()
                .orElseThrow();
        SimulationResult seen =
                simulate(point, new Layout(point.prefillReplicas() + point.replicas(), point.prefillReplicas()));
        assertNear(point.itlMs(), seen.tpot().mean(), 0.06, point);
        // There the decode worker sends the first token as well: transfer, what is left of a step, a step.
        double firstToken = point.ttftMs() + point.transferMs() + 1.5 * point.itlMs();
        assertNear(firstToken, seen.ttft().mean(), 0.20, point);
    }

    @Test
    void shouldNotPlanMoreThanMemoryHolds() {
        double fit = REPLICA.kvTokens() / (IN + OUT);
        int most = POINTS.stream()
                .filter(p -> p.layout().equals("agg(tp1)"))
                .mapToInt(Point::batch)
                .max()
                .orElseThrow();
        assertTrue(most + 3 * Math.sqrt(most) <= fit, most + " of " + fit);
        Point point = POINTS.stream()
                .filter(p -> p.layout().equals("agg(tp1)") && p.batch() == most)
                .findFirst()
                .orElseThrow();
        SimulationResult seen = simulate(point, new Layout(1, 0));
        assertNear(point.ttftMs(), seen.ttft().mean(), 0.15, point);
    }
}
