package io.tandem.supervisor;

import java.util.Arrays;

/**
 * Lengths in tokens as a distribution that forgets: log-spaced buckets, four an octave, whose weights halve every half-life.
 * So a quantile is right to 19 % and a mean exact, over the last half-lives only. Bounded; time comes as an argument. Not
 * thread-safe.
 */
public final class LengthHistogram {
    private static final int AN_OCTAVE = 4;
    private static final int OCTAVES = 21;

    /** Buckets of every histogram; the last takes all that is longer than two million tokens. */
    public static final int BUCKETS = AN_OCTAVE * OCTAVES + 1;

    private final double[] weights = new double[BUCKETS];
    private final double[] tokens = new double[BUCKETS];

    /** One more length. */
    public void add(double length, double weight) {
        int bucket = bucket(length);
        weights[bucket] += weight;
        tokens[bucket] += weight * length;
    }

    /** All of another one, on top. */
    public void addAll(LengthHistogram other) {
        for (int i = 0; i < BUCKETS; i++) {
            weights[i] += other.weights[i];
            tokens[i] += other.tokens[i];
        }
    }

    /** Every weight times {@code factor}. */
    public void scale(double factor) {
        for (int i = 0; i < BUCKETS; i++) {
            weights[i] *= factor;
            tokens[i] *= factor;
        }
    }

    private static int bucket(double length) {
        return length < 1 ? 0 : Math.min(BUCKETS - 1, 1 + (int) Math.floor(AN_OCTAVE * Math.log(length) / Math.log(2)));
    }

    public double weight() {
        return Arrays.stream(weights).sum();
    }

    public double totalTokens() {
        return Arrays.stream(tokens).sum();
    }

    /** 0 when empty. */
    public double mean() {
        double weight = weight();
        return weight <= 0 ? 0 : totalTokens() / weight;
    }

    /** Mean length of the bucket that holds the quantile; 0 when empty. */
    public double quantile(double share) {
        double left = share * weight();
        double latest = 0;
        for (int i = 0; i < BUCKETS; i++) {
            if (weights[i] > 0) {
                latest = tokens[i] / weights[i];
                left -= weights[i];
                if (left <= 0) {
                    return latest;
                }
            }
        }
        return latest;
    }

    /** Variance over squared mean: 0 for equal lengths, above 1 for a heavy tail. */
    public double squaredVariation() {
        double mean = mean();
        if (mean <= 0) {
            return 0;
        }
        double squares = 0;
        for (int i = 0; i < BUCKETS; i++) {
            squares += weights[i] > 0 ? tokens[i] * tokens[i] / weights[i] : 0;
        }
        return Math.max(0, squares / weight() / (mean * mean) - 1);
    }

    /** Weights, then tokens: the form that travels. */
    float[] toArray() {
        float[] flat = new float[2 * BUCKETS];
        for (int i = 0; i < BUCKETS; i++) {
            flat[i] = (float) weights[i];
            flat[BUCKETS + i] = (float) tokens[i];
        }
        return flat;
    }

    /** The inverse of {@link #toArray}; an array of another length, which another version may send, counts as empty. */
    static LengthHistogram of(float[] flat) {
        LengthHistogram histogram = new LengthHistogram();
        if (flat.length == 2 * BUCKETS) {
            for (int i = 0; i < BUCKETS; i++) {
                histogram.weights[i] = flat[i];
                histogram.tokens[i] = flat[BUCKETS + i];
            }
        }
        return histogram;
    }
}
