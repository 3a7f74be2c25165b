package io.tandem.simulation.planning;

import java.util.Arrays;
import java.util.List;

/**
 * Least squares of relative errors with coefficients that are not negative, by cyclic coordinate descent: a part of a step
 * never makes it shorter.
 */
final class NonNegativeFit {
    private static final int ROUNDS = 400;

    private NonNegativeFit() {}

    /**
     * @param parts of each run; rows of equal length
     * @param measured of each run, positive
     * @return a coefficient a part
     */
    static double[] fit(List<double[]> parts, double[] measured) {
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
        Arrays.fill(w, 0.1);
        for (int round = 0; round < ROUNDS; round++) {
            for (int j = 0; j < k; j++) {
                double slope = target[j];
                for (int i = 0; i < k; i++) {
                    slope -= products[j][i] * w[i];
                }
                w[j] = products[j][j] == 0 ? 0 : Math.max(0, w[j] + slope / products[j][j]);
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
