package io.tandem.simulation.planning;

import java.util.Arrays;
import java.util.List;

/**
 * Least squares of relative errors with coefficients that are not negative, by cyclic coordinate descent: a part of a step
 * never makes it shorter.
 */
final class NonNegativeFit {
    /** Parts that resemble each other are told apart slowly; most fits end far earlier. */
    private static final int ROUNDS_MAX = 100_000;

    private static final double SETTLED = 1e-7;

    private NonNegativeFit() {}

    /**
     * @param parts of each run; rows of equal length
     * @param measured of each run, positive
     * @return a coefficient a part
     */
    static double[] fit(List<double[]> parts, double[] measured) {
        return fit(parts, measured, new double[parts.getFirst().length]);
    }

    /** @param atLeast a coefficient may be: 1 = nothing is faster than the hardware */
    static double[] fit(List<double[]> parts, double[] measured, double[] atLeast) {
        int k = parts.getFirst().length;
        double[][] products = new double[k][k];
        double[] target = new double[k];
        for (int r = 0; r < measured.length; r++) {
            double[] row = parts.get(r);
            for (int i = 0; i < k; i++) {
                double a = row[i] / measured[r];
                target[i] += a;
                for (int j = 0; j < k; j++) {
                    products[i][j] += a * row[j] / measured[r];
                }
            }
        }
        double[] w = new double[k];
        Arrays.setAll(w, i -> Math.max(0.1, atLeast[i]));
        double change = 1;
        for (int round = 0; round < ROUNDS_MAX && change > SETTLED; round++) {
            change = 0;
            for (int j = 0; j < k; j++) {
                double slope = target[j];
                for (int i = 0; i < k; i++) {
                    slope -= products[j][i] * w[i];
                }
                double next = products[j][j] == 0 ? atLeast[j] : Math.max(atLeast[j], w[j] + slope / products[j][j]);
                change = Math.max(change, Math.abs(next - w[j]));
                w[j] = next;
            }
        }
        return w;
    }

    static double dot(double[] w, double[] parts) {
        double sum = 0;
        for (int i = 0; i < w.length; i++) {
            sum += w[i] * parts[i];
        }
        return sum;
    }
}
