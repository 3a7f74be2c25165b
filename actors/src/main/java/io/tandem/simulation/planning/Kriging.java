package io.tandem.simulation.planning;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Gaussian process regression of what the roofline leaves over: a run's residual resembles those of runs near it, the more so
 * the more they have in common (engine, GPU, model, layout, day). After Rasmussen and Williams, "Gaussian Processes for Machine
 * Learning", chapters 2 and 5. The kernel is a sum over the kinds two runs share, each with a part that fades with distance and
 * a constant one. Runs that contradict their neighbours count less: each has noise of its own, as under Student's t.
 */
final class Kriging {
    /** Degrees of freedom of the noise: how many runs' worth of trust stands against one that is far off. */
    private static final double TRUST = 3;

    private static final int ROUNDS = 3;

    /** Of a logarithm; wider, a prediction is of no use and its spread says nothing. */
    private static final double WIDEST_VARIANCE = 0.3;

    /**
     * How runs resemble each other.
     *
     * @param scales distance of a doubling along each axis of {@link ServingPoint#position}
     * @param fading variance that near runs of a common kind share, in the order of {@link ServingPoint#kinds}
     * @param constant variance that all runs of a common kind share; that of the loosest is the mean's, and 0
     * @param noise variance of a run repeated
     */
    record Kernel(double[] scales, double[] fading, double[] constant, double noise) {
        private double between(Site a, Site b) {
            double squared = 0;
            for (int i = 0; i < scales.length; i++) {
                double d = scales[i] * (a.position[i] - b.position[i]);
                squared += d * d;
            }
            double near = 1 / (1 + squared / 2);
            double sum = 0;
            for (int i = 0; i < fading.length; i++) {
                if (a.kinds[i] == b.kinds[i]) {
                    sum += fading[i] * near + constant[i];
                }
            }
            return sum;
        }
    }

    private record Site(double[] position, int[] kinds) {}

    private final Kernel kernel;
    private final Map<String, Integer> names = new HashMap<>();
    private final Site[] sites;
    private final double mean;
    private final double[][] factor;
    private final double[] weights;

    /** @param residuals logarithms of measured over modelled, a point each */
    Kriging(Kernel kernel, List<ServingPoint> points, double[] residuals) {
        this.kernel = kernel;
        sites = points.stream().map(this::site).toArray(Site[]::new);
        double[] sorted = residuals.clone();
        Arrays.sort(sorted);
        mean = sorted[sorted.length / 2];
        double[] y = Arrays.stream(residuals).map(r -> r - mean).toArray();
        double[] noise = new double[sites.length];
        Arrays.fill(noise, kernel.noise());
        double[][] covariance = covariance();
        for (int round = 0; round < ROUNDS; round++) {
            reweigh(noise, Cholesky.of(covariance, noise), y);
        }
        factor = Cholesky.of(covariance, noise);
        weights = Cholesky.solve(factor, y);
    }

    private Site site(ServingPoint p) {
        String[] kinds = p.kinds();
        int[] numbers = new int[kinds.length];
        for (int i = 0; i < kinds.length; i++) {
            numbers[i] = names.computeIfAbsent(i + kinds[i], n -> names.size());
        }
        return new Site(p.position(), numbers);
    }

    private double[][] covariance() {
        double[][] k = new double[sites.length][];
        for (int i = 0; i < sites.length; i++) {
            k[i] = new double[i + 1];
            for (int j = 0; j <= i; j++) {
                k[i][j] = kernel.between(sites[i], sites[j]);
            }
        }
        return k;
    }

    /** A run's noise, from how far the others' prediction of it is off beyond what that prediction is unsure of. */
    private void reweigh(double[] noise, double[][] factor, double[] y) {
        double[] solved = Cholesky.solve(factor, y);
        double[] inverse = Cholesky.inverseDiagonal(factor);
        for (int i = 0; i < noise.length; i++) {
            double off = solved[i] / inverse[i];
            double unsure = Math.max(0, 1 / inverse[i] - noise[i]);
            noise[i] = (TRUST * kernel.noise() + Math.max(0, off * off - unsure)) / (TRUST + 1);
        }
    }

    /**
     * The residual to predict at a point: that with the least relative error to expect, which lies below the median by the variance,
     * for what is predicted too high errs without bound and what is predicted too low by 100 % at most.
     */
    double predict(ServingPoint at) {
        Site there = site(at);
        double[] shared = new double[sites.length];
        for (int i = 0; i < shared.length; i++) {
            shared[i] = kernel.between(there, sites[i]);
        }
        double known = Cholesky.squaredNorm(factor, shared);
        double variance = kernel.between(there, there) - known + kernel.noise();
        double sum = mean;
        for (int i = 0; i < shared.length; i++) {
            sum += weights[i] * shared[i];
        }
        return sum - Math.min(variance, WIDEST_VARIANCE);
    }
}
