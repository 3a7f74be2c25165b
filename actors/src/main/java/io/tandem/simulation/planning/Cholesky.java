package io.tandem.simulation.planning;

/** Positive definite systems by their lower triangular factor; rows are as long as they need to be. */
final class Cholesky {
    private Cholesky() {}

    /** The factor L of {@code a + diag(added)}, where L times its transpose is that matrix. */
    static double[][] of(double[][] a, double[] added) {
        double[][] l = new double[a.length][];
        for (int i = 0; i < a.length; i++) {
            double[] row = a[i].clone();
            row[i] += added[i];
            l[i] = row;
            for (int j = 0; j < i; j++) {
                row[j] = (row[j] - dot(row, l[j], 0, j)) / l[j][j];
            }
            double rest = row[i] - dot(row, row, 0, i);
            if (rest <= 0) {
                throw new ArithmeticException("the matrix is not positive definite at row " + i);
            }
            row[i] = Math.sqrt(rest);
        }
        return l;
    }

    /** Solves L y = b. */
    private static double[] forward(double[][] l, double[] b) {
        double[] y = b.clone();
        for (int i = 0; i < y.length; i++) {
            y[i] = (y[i] - dot(l[i], y, 0, i)) / l[i][i];
        }
        return y;
    }

    /** Solves the whole system. */
    static double[] solve(double[][] l, double[] b) {
        double[] x = forward(l, b);
        for (int i = x.length - 1; i >= 0; i--) {
            x[i] /= l[i][i];
            for (int j = 0; j < i; j++) {
                x[j] -= l[i][j] * x[i];
            }
        }
        return x;
    }

    /** b times the inverse times b. */
    static double squaredNorm(double[][] l, double[] b) {
        double[] y = forward(l, b);
        return dot(y, y, 0, y.length);
    }

    /** The diagonal of the inverse. */
    static double[] inverseDiagonal(double[][] l) {
        int n = l.length;
        double[] diagonal = new double[n];
        double[] column = new double[n];
        for (int c = 0; c < n; c++) {
            column[c] = 1 / l[c][c];
            for (int i = c + 1; i < n; i++) {
                column[i] = -dot(l[i], column, c, i) / l[i][i];
            }
            diagonal[c] = dot(column, column, c, n);
        }
        return diagonal;
    }

    /** Four sums at a time, which the processor adds beside each other. */
    private static double dot(double[] a, double[] b, int from, int to) {
        double s0 = 0;
        double s1 = 0;
        double s2 = 0;
        double s3 = 0;
        int i = from;
        for (; i + 3 < to; i += 4) {
            s0 += a[i] * b[i];
            s1 += a[i + 1] * b[i + 1];
            s2 += a[i + 2] * b[i + 2];
            s3 += a[i + 3] * b[i + 3];
        }
        for (; i < to; i++) {
            s0 += a[i] * b[i];
        }
        return s0 + s1 + s2 + s3;
    }
}
