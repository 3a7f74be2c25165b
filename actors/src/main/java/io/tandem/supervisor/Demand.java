package io.tandem.supervisor;

/**
 * What clients ask for, as of now.
 *
 * @param requestsPerSecond arriving
 * @param uncached prompt tokens that no cache holds, a request each
 * @param outputs output tokens, a finished request each
 * @param meanContextTokens context of an average decode step: long outputs count as often as they decode
 */
public record Demand(
        double requestsPerSecond, LengthHistogram uncached, LengthHistogram outputs, double meanContextTokens) {

    /** Nothing was asked for yet. */
    public static Demand none() {
        return new Demand(0, new LengthHistogram(), new LengthHistogram(), 0);
    }

    /** Arriving prompt tokens that must be computed. */
    public double uncachedTokensPerSecond() {
        return requestsPerSecond * uncached.mean();
    }

    /** Output tokens that the arriving requests will want. */
    public double outputTokensPerSecond() {
        return requestsPerSecond * outputs.mean();
    }
}
