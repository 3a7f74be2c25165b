package io.tandem.admission;

import java.util.Arrays;

/** What an output is expected to have: the moving mean of its class, and never more than was asked for. */
final class OutputLengths {
    private static final double NEWEST = 0.05;

    private final double[] means;

    OutputLengths(int classes, int expectedTokens) {
        means = new double[classes];
        Arrays.fill(means, expectedTokens);
    }

    double expected(int classIndex, int maxNewTokens) {
        return Math.min(maxNewTokens, means[classIndex]);
    }

    void observe(int classIndex, int tokens) {
        means[classIndex] += NEWEST * (tokens - means[classIndex]);
    }
}
