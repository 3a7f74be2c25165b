package io.tandem.model;

/** Cosines and sines of the rotary embedding; frequencies once a model, angles once a batch. */
public final class RopeTable {
    private final double[] frequencies;

    public RopeTable(ModelConfig config) {
        int half = config.headDim() / 2;
        frequencies = new double[half];
        for (int i = 0; i < half; i++) {
            double plain = Math.pow(config.ropeTheta(), -2.0 * i / config.headDim());
            frequencies[i] = scaled(plain, i, config.ropeScaling());
        }
    }

    private static double scaled(double frequency, int index, RopeScaling scaling) {
        return switch (scaling) {
            case RopeScaling.None ignored -> frequency;
            case RopeScaling.Linear linear -> frequency / linear.factor();
            case RopeScaling.Divisors d -> frequency / d.divisors().get(index);
            case RopeScaling.Llama3 l -> llama3(frequency, l);
        };
    }

    /** The rule published with Llama 3.1: long waves divided, short ones kept, a linear blend between. */
    private static double llama3(double frequency, RopeScaling.Llama3 l) {
        double wavelength = 2 * Math.PI / frequency;
        double lowWavelength = l.originalContextTokens() / l.lowFreqFactor();
        double highWavelength = l.originalContextTokens() / l.highFreqFactor();
        if (wavelength < highWavelength) {
            return frequency;
        }
        if (wavelength > lowWavelength) {
            return frequency / l.factor();
        }
        double smooth =
                (l.originalContextTokens() / wavelength - l.lowFreqFactor()) / (l.highFreqFactor() - l.lowFreqFactor());
        return (1 - smooth) * frequency / l.factor() + smooth * frequency;
    }

    /** Radians a position of one rotary pair. */
    public double frequency(int pair) {
        return frequencies[pair];
    }

    /** Fills [rows][headDim / 2] for the given positions. */
    public void fill(int[] positions, int rows, float[] cos, float[] sin) {
        int half = frequencies.length;
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < half; i++) {
                double angle = positions[r] * frequencies[i];
                cos[r * half + i] = (float) Math.cos(angle);
                sin[r * half + i] = (float) Math.sin(angle);
            }
        }
    }
}
