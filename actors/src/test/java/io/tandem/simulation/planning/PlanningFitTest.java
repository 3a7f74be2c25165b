package io.tandem.simulation.planning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.simulation.planning.TimingModel.Metric;
import io.tandem.simulation.planning.TimingModel.Miss;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PlanningFitTest {
    private static final StepTimes SHIPPED = StepTimes.from(ConfigFactory.load());

    @Test
    void shouldSettleOnTheBestCoefficientsOfPartsThatResembleEachOther() {
        Random random = new Random(1);
        double[] truth = {1.3, 0.4, 2.0};
        List<double[]> rows = new ArrayList<>();
        double[] measured = new double[60];
        for (int i = 0; i < measured.length; i++) {
            double common = 1 + 10 * random.nextDouble();
            rows.add(new double[] {common, common * (1 + 0.2 * random.nextDouble()), 1});
            measured[i] = NonNegativeFit.dot(truth, rows.get(i));
        }
        assertArrayEquals(truth, NonNegativeFit.fit(rows, measured), 0.01);
        double[] bounded = NonNegativeFit.fit(rows, measured, new double[] {0, 1, 0});
        assertEquals(1, bounded[1], "at its limit");
        assertTrue(bounded[0] > 0.5 && bounded[0] < 0.8, bounded[0] + " is not what the other took over");
    }

    @Test
    void shouldNotReadAPromptFasterThanTheWeights() {
        ModelShape m = ModelShape.of("Llama-3.1-70B");
        GpuSpec g = GpuSpec.of("h100");
        double weightsMs = m.weightBytes(Precision.BF16) / (4 * g.memoryBytesPerSecond()) * 1e3;
        assertTrue(SHIPPED.prefillMs(m, g, Precision.BF16, 4, 16) > weightsMs);
        double beside = SHIPPED.besideMs(m, g, Precision.BF16, 4, 16, 128);
        assertTrue(beside < weightsMs, "decodes beside it read them anyway");
    }

    @Test
    void shouldShipWhatTheMeasuredRunsGive() throws IOException {
        Path file = Path.of(System.getProperty("tandem.repo.root")).resolve("../shared/silicon/samples.csv");
        assumeTrue(Files.exists(file), "not here: shared/silicon/samples.csv");
        List<ServingPoint> usable = PlanningFit.usable(SiliconSamples.read(file).points());
        double[] w = PlanningFit.fit(usable);
        for (int i = 0; i < SHIPPED.decode().size(); i++) {
            assertEquals(w[i], SHIPPED.decode().get(i), 0.01, StepParts.DECODE[i]);
        }
        assertEquals(w[w.length - 1], SHIPPED.prefill().getFirst(), 0.05, "prompts' compute");
        double error = PlanningFit.crossValidate(Metric.TPOT, usable, SHIPPED.prefill()).stream()
                .mapToDouble(Miss::relative)
                .average()
                .orElseThrow();
        assertTrue(error < 0.23, "mean relative error of unseen pairs " + error);
    }
}
