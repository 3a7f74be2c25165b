package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Measured step times, which scatter: those of a CPU, a hundred times slower than the prior. */
class StepTimeModelTest {
    private static final double STEP = 25e6;
    private static final double TOKEN = 4e6;

    private final SplittableRandom random = new SplittableRandom(3);
    private final StepTimeModel model = new StepTimeModel(512, 6e6, 40e3, 20, 0.2);

    private static double truth(double tokens) {
        return STEP + TOKEN * tokens;
    }

    private void prompt(int tokens, int before) {
        double scatter = 1 + 0.5 * (random.nextDouble() - 0.3);
        model.observe(tokens, before, 0, 0, (long) (truth(tokens) * scatter));
    }

    @Test
    void shouldPredictPromptsLikeThoseItSawWhenAllWereNearlyTheSame() {
        for (int i = 0; i < 100; i++) {
            prompt(14 + random.nextInt(3), 16);
            if (i >= 3) {
                for (int tokens : new int[] {1, 14, 15, 16, 20, 32}) {
                    double predicted = model.prefillNanos(tokens);
                    assertTrue(
                            predicted > truth(tokens) / 5 && predicted < 4 * truth(tokens),
                            predicted / 1e6 + " ms for " + tokens + " tokens after " + (i + 1) + " prompts");
                }
                assertTrue(model.prefillNanos(512) < 4 * truth(512), "and nothing absurd for others");
            }
        }
    }

    @Test
    void shouldLearnWhatLongerPromptsTakeFromAFew() {
        for (int i = 0; i < 50; i++) {
            prompt(14 + random.nextInt(3), 16);
        }
        for (int i = 0; i < 6; i++) {
            prompt(100 + random.nextInt(400), 0);
        }
        assertEquals(truth(300), model.prefillNanos(300), 0.3 * truth(300));
        assertEquals(truth(15), model.prefillNanos(15), 0.4 * truth(15));
    }

    /** Two steps with nearly the same context: the line through them is below 0 at the context of one decode. */
    @Test
    void shouldKeepToItsPriorForDecodesUntilItHasSeenEnough() {
        for (int i = 0; i < 15; i++) {
            model.observe(0, 0, 2, 30_000 + 100 * i, (long) (44e6 + 5e6 * i));
            assertEquals(6e6 + 20 * 1000, model.decodeNanos(1, 1000), 1, "after " + (i + 1) + " steps");
        }
        model.observe(0, 0, 2, 30_000, 44_000_000);
        assertTrue(model.decodeLearned());
        assertTrue(model.decodeNanos(2, 30_000) > 30e6);
    }

    @Test
    void shouldFollowAWorkerThatBecomesSlowerWhereMostIsNeverSeen() {
        for (int i = 0; i < 20_000; i++) {
            model.observe(0, 0, 1, 100, (long) (20e6 * (0.9 + 0.2 * random.nextDouble())));
        }
        assertEquals(20e6, model.decodeNanos(1, 100), 1e6);
        for (int i = 0; i < 2000; i++) {
            model.observe(0, 0, 1, 100, (long) (60e6 * (0.9 + 0.2 * random.nextDouble())));
        }
        assertEquals(60e6, model.decodeNanos(1, 100), 4e6);
    }

    @Test
    void shouldRefuseANoiseThatIsNoShare() {
        assertThrows(IllegalArgumentException.class, () -> new StepTimeModel(512, 6e6, 40e3, 20, 1));
    }
}
