package io.tandem.simulation.planning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.simulation.planning.LayoutPlanner.Demand;
import io.tandem.simulation.planning.LayoutPlanner.Point;
import java.util.List;
import org.junit.jupiter.api.Test;

class LayoutPlannerTest {
    private static final StepTimes TIMES = StepTimes.from(ConfigFactory.load());

    private static List<Point> points(String model, int in, int out, int gpus) {
        return new LayoutPlanner(
                        TIMES, new Demand(ModelShape.of(model), GpuSpec.of("h200"), Precision.BF16, in, out, gpus))
                .points();
    }

    @Test
    void shouldKeepOnlyPointsThatNoOtherBeatsInBothSpeedAndCost() {
        List<Point> points = points("Llama-3.1-8B", 4000, 500, 8);
        List<Point> frontier = LayoutPlanner.frontier(points);
        assertTrue(frontier.size() > 5);
        for (Point f : frontier) {
            assertTrue(points.stream()
                    .noneMatch(p -> p.tokensPerSecondPerUser() > f.tokensPerSecondPerUser()
                            && p.tokensPerSecondPerGpu() > f.tokensPerSecondPerGpu()));
        }
        assertTrue(points.stream().allMatch(p -> p.gpus() <= 8));
    }

    @Test
    void shouldGiveMorePrefillGpusToLongPromptsAndMoreDecodeGpusToLongOutputs() {
        double prompts = prefillShare(LayoutPlanner.best(points("Llama-3.1-8B", 16_000, 200, 8), 5_000, 20)
                .orElseThrow());
        double outputs = prefillShare(LayoutPlanner.best(
                        points("Llama-3.1-8B", 1_000, 4_000, 8).stream()
                                .filter(Point::split)
                                .toList(),
                        5_000,
                        20)
                .orElseThrow());
        assertTrue(prompts > outputs, prompts + " is not more than " + outputs);
    }

    private static double prefillShare(Point p) {
        return (double) p.prefillReplicas() * p.prefillGpus() / p.gpus();
    }

    @Test
    void shouldNeverDecodeFasterThanTheMemoryAllows() {
        // 8.03e9 weights of 2 bytes at 4.8 TB/s.
        double floorMs = 8.03e9 * 2 / 4.8e12 * 1e3;
        for (Point p : points("Llama-3.1-8B", 1_024, 256, 1)) {
            assertTrue(p.itlMs() > floorMs, p.toString());
        }
    }

    @Test
    void shouldOfferNothingWhereTheWeightsDoNotFit() {
        assertEquals(List.of(), points("DeepSeek-R1", 1_000, 1_000, 2));
    }

    @Test
    void shouldNameWhatIsKnownWhenAskedForWhatIsNot() {
        assertTrue(assertThrows(IllegalArgumentException.class, () -> GpuSpec.of("h10"))
                .getMessage()
                .contains("h100_sxm"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> ModelShape.of("GPT-2"))
                .getMessage()
                .contains("Qwen3-32B"));
        assertThrows(IllegalArgumentException.class, () -> Precision.of("int3"));
    }
}
