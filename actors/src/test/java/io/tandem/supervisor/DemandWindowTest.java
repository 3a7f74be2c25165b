package io.tandem.supervisor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class DemandWindowTest {
    private static final long SECOND = 1_000_000_000L;

    @Test
    void shouldKnowRateAndLengthsFromTheFirstSecondsOn() {
        for (int seconds : new int[] {5, 20, 200}) {
            DemandWindow window = new DemandWindow(20 * SECOND);
            for (int i = 0; i < seconds * 50; i++) {
                window.arrived(1_000, i * SECOND / 50);
                window.finished(1_000, 200, i * SECOND / 50);
            }
            Demand d = window.demand(seconds * SECOND);
            assertEquals(50, d.requestsPerSecond(), 1.5, seconds + " s");
            assertEquals(50_000, d.uncachedTokensPerSecond(), 1_500);
            assertEquals(10_000, d.outputTokensPerSecond(), 300);
            assertEquals(1_100, d.meanContextTokens(), 1);
        }
    }

    @Test
    void shouldForgetWithItsHalfLife() {
        DemandWindow window = new DemandWindow(10 * SECOND);
        for (int i = 0; i < 6_000; i++) {
            window.arrived(100, i * SECOND / 50);
        }
        assertEquals(50, window.demand(120 * SECOND).requestsPerSecond(), 2);
        assertEquals(12.5, window.demand(140 * SECOND).requestsPerSecond(), 1);
        assertEquals(100, window.demand(1_000 * SECOND).uncached().mean(), 1e-3, "lengths outlive their rate");
    }

    @Test
    void shouldFindQuantilesWithinABucket() {
        SplittableRandom random = new SplittableRandom(4);
        LengthHistogram histogram = new LengthHistogram();
        double[] all = new double[20_000];
        for (int i = 0; i < all.length; i++) {
            all[i] = Math.exp(random.nextGaussian(6, 1.2));
            histogram.add(all[i], 1);
        }
        Arrays.sort(all);
        for (double share : new double[] {0.1, 0.5, 0.9, 0.99}) {
            double exact = all[(int) (share * all.length)];
            assertEquals(exact, histogram.quantile(share), 0.19 * exact, "quantile " + share);
        }
        double mean = Arrays.stream(all).average().orElseThrow();
        assertEquals(mean, histogram.mean(), 1e-6 * mean);
        double variance =
                Arrays.stream(all).map(x -> (x - mean) * (x - mean)).average().orElseThrow();
        assertEquals(variance / (mean * mean), histogram.squaredVariation(), 0.05 * variance / (mean * mean));
    }

    @Test
    void shouldSumNodesAndIgnoreWhatItCannotRead() {
        DemandWindow a = new DemandWindow(20 * SECOND);
        DemandWindow b = new DemandWindow(20 * SECOND);
        for (int i = 0; i < 1_000; i++) {
            a.arrived(100, i * SECOND / 10);
            b.arrived(300, i * SECOND / 10);
            b.finished(300, 50, i * SECOND / 10);
        }
        DemandReport odd = new DemandReport("c", 0, new float[3], new float[0], 0);
        Demand d = DemandWindow.sum(List.of(a.report("a", 100 * SECOND), b.report("b", 100 * SECOND), odd));
        assertEquals(20, d.requestsPerSecond(), 1);
        assertEquals(200, d.uncached().mean(), 1);
        assertEquals(325, d.meanContextTokens(), 1);
        assertEquals(0, Demand.none().outputTokensPerSecond());
        assertThrows(IllegalArgumentException.class, () -> new DemandWindow(0));
        assertTrue(new LengthHistogram().quantile(0.5) == 0);
    }
}
