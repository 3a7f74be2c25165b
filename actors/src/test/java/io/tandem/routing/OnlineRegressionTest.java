package io.tandem.routing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class OnlineRegressionTest {
    private final OnlineRegression model =
            new OnlineRegression(new double[] {1, 0, 0}, new double[] {1, 1000, 1e6}, 0.99);
    private final SplittableRandom random = new SplittableRandom(1);

    private void learn(int samples, double fixed, double slope, double square) {
        for (int i = 0; i < samples; i++) {
            double x = random.nextDouble(2000);
            double noise = 1 + 0.02 * (random.nextDouble() - 0.5);
            model.observe((fixed + slope * x + square * x * x) * noise, 1, x, x * x);
        }
    }

    @Test
    void shouldFindTheCoefficientsOfNoisySamples() {
        learn(500, 5, 0.02, 3e-6);
        assertEquals(5 + 0.02 * 1500 + 3e-6 * 1500 * 1500, model.predict(1, 1500, 1500 * 1500), 0.5);
        assertEquals(500, model.samples());
    }

    @Test
    void shouldFollowAWorkerThatBecomesSlower() {
        learn(500, 5, 0.02, 0);
        learn(500, 10, 0.04, 0);
        assertEquals(50, model.predict(1, 1000, 1e6), 1);
    }

    @Test
    void shouldStayBoundedWhenAFeatureIsNotSeenForLong() {
        learn(300, 5, 0.02, 0);
        for (int i = 0; i < 100_000; i++) {
            model.observe(5, 1, 0, 0);
        }
        double before = model.predict(1, 1000, 1e6);
        assertEquals(25, before, 3, "what was learned of the slope is kept");
        model.observe(25.5, 1, 1000, 1e6);
        assertEquals(25.5, model.predict(1, 1000, 1e6), 3);
        for (double c : model.coefficients()) {
            assertTrue(Double.isFinite(c));
        }
    }

    @Test
    void shouldIgnoreWhatIsNoNumberAndRefuseBadSettings() {
        model.observe(Double.NaN, 1, 1, 1);
        assertEquals(0, model.samples());
        assertThrows(
                IllegalArgumentException.class, () -> new OnlineRegression(new double[] {1}, new double[] {1}, 0.5));
        assertThrows(
                IllegalArgumentException.class, () -> new OnlineRegression(new double[] {1}, new double[] {1, 2}, 1));
    }
}
