package io.tandem.routing;

import java.util.Arrays;

/**
 * Linear regression one sample at a time: recursive least squares with exponential forgetting (Ljung, System
 * Identification, 2nd edition, section 11.2). The covariance is bounded, so a feature that is not seen for long can neither
 * be forgotten into nonsense nor make the next sample jump. A sample's noise says how far it may be off: without it, samples that
 * hardly differ would have their chance differences explained by coefficients that are absurd elsewhere. Not thread-safe.
 */
public final class OnlineRegression {
    /** Of a coefficient that nothing is known about, in units of the prior's square. */
    private static final double VARIANCE_MAX = 1e4;

    private final double forgetting;
    private final double[] coefficients;
    private final double[] scale;
    private final double[] covariance;
    private final double[] gain;
    private final double[] scaled;
    private final double varianceMax;
    private long samples;

    /**
     * @param prior coefficients to begin with
     * @param typical typical size of each feature, above 0; features are divided by it inside
     * @param forgetting weight of a sample after one more, in (0.9, 1]
     */
    public OnlineRegression(double[] prior, double[] typical, double forgetting) {
        this(prior, typical, forgetting, 1);
    }

    /** @param doubt how far a coefficient may be from its prior, in units of the prior's size; from above 0 to 100 */
    public OnlineRegression(double[] prior, double[] typical, double forgetting, double doubt) {
        if (prior.length == 0 || prior.length != typical.length) {
            throw new IllegalArgumentException("prior and typical must have the same length, at least 1");
        }
        if (!(forgetting > 0.9 && forgetting <= 1)) {
            throw new IllegalArgumentException("forgetting must be in (0.9, 1], not " + forgetting);
        }
        if (!(doubt > 0 && doubt * doubt <= VARIANCE_MAX)) {
            throw new IllegalArgumentException("doubt must be from above 0 to 100, not " + doubt);
        }
        this.forgetting = forgetting;
        int n = prior.length;
        scale = typical.clone();
        coefficients = new double[n];
        double size = 0;
        for (int i = 0; i < n; i++) {
            coefficients[i] = prior[i] * scale[i];
            size += Math.abs(coefficients[i]);
        }
        covariance = new double[n * n];
        for (int i = 0; i < n; i++) {
            covariance[i * n + i] = Math.max(1e-6, size * size) * doubt * doubt;
        }
        varianceMax = VARIANCE_MAX * Math.max(1e-6, size * size);
        gain = new double[n];
        scaled = new double[n];
    }

    /** The value that coefficients in the features' own units give. */
    static double sum(double[] coefficients, double[] features) {
        double sum = 0;
        for (int i = 0; i < coefficients.length; i++) {
            sum += coefficients[i] * features[i];
        }
        return sum;
    }

    /** The value at these features. */
    public double predict(double... features) {
        double sum = 0;
        for (int i = 0; i < coefficients.length; i++) {
            sum += coefficients[i] * features[i] / scale[i];
        }
        return sum;
    }

    /** Learns from one sample that is exact to 1; a value that is no finite number is ignored. */
    public void observe(double value, double... features) {
        observeNoisy(value, 1, features);
    }

    /**
     * Learns from one sample; a value that is no finite number is ignored.
     *
     * @param deviation standard deviation of the value from what its features explain, above 0
     */
    public void observeNoisy(double value, double deviation, double... features) {
        if (!Double.isFinite(value)) {
            return;
        }
        int n = coefficients.length;
        double noise = forgetting * deviation * deviation;
        for (int i = 0; i < n; i++) {
            scaled[i] = features[i] / scale[i];
        }
        for (int i = 0; i < n; i++) {
            double g = 0;
            for (int j = 0; j < n; j++) {
                g += covariance[i * n + j] * scaled[j];
            }
            gain[i] = g;
            noise += g * scaled[i];
        }
        double error = value - predict(features);
        for (int i = 0; i < n; i++) {
            coefficients[i] += gain[i] * error / noise;
        }
        shrink(noise);
        samples++;
    }

    private void shrink(double noise) {
        int n = coefficients.length;
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                covariance[i * n + j] = (covariance[i * n + j] - gain[i] * gain[j] / noise) / forgetting;
            }
        }
        for (int i = 0; i < n; i++) {
            bound(i, Math.sqrt(varianceMax / covariance[i * n + i]));
        }
    }

    /** Each coefficient for itself: what is seen all the time must go on being forgotten while something else is not seen. */
    private void bound(int i, double factor) {
        if (factor < 1) {
            int n = coefficients.length;
            for (int j = 0; j < n; j++) {
                covariance[i * n + j] *= factor;
                covariance[j * n + i] *= factor;
            }
        }
    }

    public long samples() {
        return samples;
    }

    /** Takes coefficients, in the features' own units, that were learned elsewhere. */
    public void adopt(double[] learned) {
        if (learned.length != coefficients.length) {
            throw new IllegalArgumentException(
                    learned.length + " coefficients for a regression of " + coefficients.length);
        }
        Arrays.setAll(coefficients, i -> learned[i] * scale[i]);
    }

    /** Coefficients in the features' own units. */
    public double[] coefficients() {
        double[] own = coefficients.clone();
        Arrays.setAll(own, i -> coefficients[i] / scale[i]);
        return own;
    }
}
