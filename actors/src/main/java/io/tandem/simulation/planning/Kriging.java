package io.tandem.simulation.planning;

import java.util.Arrays;
import java.util.List;

/**
 * Gaussian process regression of what the roofline leaves over: a run's residual resembles those of runs near it, the more so
 * the more they have in common (engine, GPU, model, layout). After Rasmussen and Williams, "Gaussian Processes for Machine
 * Learning", chapter 2. The kernel is a sum over the kinds two runs share, each with a smooth and a constant part.
 */
final class Kriging {
    /** Distance of one doubling along each axis of {@link ServingPoint#position}. */
    private static final double[] SCALES = {0.4, 0.4, 0.4, 0.5, 0.3, 0.5};

    /** Variance that runs of a common kind share, in the order of {@link ServingPoint#kinds}. */
    private static final double[] SHARED = {0.02, 0.02, 0.02, 0.03, 0.05, 0.05};

    /** Variance of a run repeated. */
    private static final double NOISE = 0.004;

    private final double[][] positions;
    private final String[][] kinds;
    private final double[] weights;
    private final double mean;

    /** @param residuals logarithms of measured over modelled, a point each */
    Kriging(List<ServingPoint> points, double[] residuals) {
        positions = points.stream().map(ServingPoint::position).toArray(double[][]::new);
        kinds = points.stream().map(ServingPoint::kinds).toArray(String[][]::new);
        double[] sorted = residuals.clone();
        Arrays.sort(sorted);
        mean = sorted[sorted.length / 2];
        int n = points.size();
        double[][] k = new double[n][n];
        weights = new double[n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j <= i; j++) {
                k[i][j] = kernel(positions[i], kinds[i], positions[j], kinds[j]);
            }
            k[i][i] += NOISE;
            weights[i] = residuals[i] - mean;
        }
        solve(k, weights);
    }

    /** The residual to expect at a point. */
    double predict(ServingPoint at) {
        double[] position = at.position();
        String[] kindsThere = at.kinds();
        double sum = mean;
        for (int i = 0; i < weights.length; i++) {
            sum += weights[i] * kernel(position, kindsThere, positions[i], kinds[i]);
        }
        return sum;
    }

    private static double kernel(double[] a, String[] kindsA, double[] b, String[] kindsB) {
        double squared = 0;
        for (int i = 0; i < SCALES.length; i++) {
            double d = SCALES[i] * (a[i] - b[i]);
            squared += d * d;
        }
        double near = Math.exp(-squared / 2);
        double far = 1 / (1 + squared / 4);
        double sum = 0;
        // The loosest kind has no constant part: that is the mean's.
        for (int i = 0; i < SHARED.length; i++) {
            if (kindsA[i].equals(kindsB[i])) {
                sum += SHARED[i] * (near + far + (i == 0 ? 0 : 1));
            }
        }
        return sum;
    }

    /** Cholesky: the lower triangle of a is overwritten by its factor, b by the solution. */
    private static void solve(double[][] a, double[] b) {
        int n = b.length;
        for (int i = 0; i < n; i++) {
            double[] row = a[i];
            for (int j = 0; j <= i; j++) {
                double[] other = a[j];
                double sum = row[j];
                for (int k = 0; k < j; k++) {
                    sum -= row[k] * other[k];
                }
                if (i == j) {
                    if (sum <= 0) {
                        throw new ArithmeticException("the kernel is not positive definite at row " + i);
                    }
                    row[i] = Math.sqrt(sum);
                } else {
                    row[j] = sum / other[j];
                }
            }
        }
        for (int i = 0; i < n; i++) {
            double sum = b[i];
            for (int k = 0; k < i; k++) {
                sum -= a[i][k] * b[k];
            }
            b[i] = sum / a[i][i];
        }
        for (int i = n - 1; i >= 0; i--) {
            double sum = b[i];
            for (int k = i + 1; k < n; k++) {
                sum -= a[k][i] * b[k];
            }
            b[i] = sum / a[i][i];
        }
    }
}
