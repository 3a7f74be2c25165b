package io.tandem.model;

/** How rotary frequencies are stretched beyond the context a model was first trained with. */
public sealed interface RopeScaling {

    /** Plain rotary embedding. */
    record None() implements RopeScaling {}

    /** All frequencies divided by {@code factor} (position interpolation). */
    record Linear(double factor) implements RopeScaling {
        public Linear {
            positive("factor", factor);
        }
    }

    /**
     * Llama 3.1: long wavelengths are divided by {@code factor}, short ones kept, those between blended.
     *
     * @param originalContextTokens context of the first training
     */
    record Llama3(double factor, double lowFreqFactor, double highFreqFactor, int originalContextTokens)
            implements RopeScaling {
        public Llama3 {
            positive("factor", factor);
            positive("low_freq_factor", lowFreqFactor);
            positive("original_max_position_embeddings", originalContextTokens);
            if (!(highFreqFactor > lowFreqFactor)) {
                throw new IllegalArgumentException("rope scaling: high_freq_factor " + highFreqFactor
                        + " must be above low_freq_factor " + lowFreqFactor);
            }
        }
    }

    /** A divisor for each rotary frequency, as GGUF files carry it in {@code rope_freqs.weight}; length headDim/2. */
    record Divisors(java.util.List<Float> divisors) implements RopeScaling {
        public Divisors {
            divisors = java.util.List.copyOf(divisors);
        }
    }

    private static void positive(String name, double value) {
        if (!(value > 0) || Double.isInfinite(value)) {
            throw new IllegalArgumentException("rope scaling: " + name + " must be a positive number, not " + value);
        }
    }
}
