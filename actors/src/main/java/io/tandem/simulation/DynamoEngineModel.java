package io.tandem.simulation;

/**
 * The "polynomial" timing of Dynamo's offline replay (aisimulate-core 0.13.0, vLLM engine): quadratic in the new prompt
 * tokens of a pass, and in the share of the KV capacity that its decodes read. Re-implemented from a description of its
 * rules; both parts are rounded to whole nanoseconds as there.
 *
 * @param capacityTokens KV tokens that count as full, whatever the worker really has
 */
public record DynamoEngineModel(long capacityTokens) implements PassTimer {
    public static final DynamoEngineModel DEFAULT = new DynamoEngineModel(1_048_576);

    @Override
    public long passNanos(PassShape pass) {
        return Math.max(1, nanos(prefillMillis(pass)) + nanos(decodeMillis(pass)));
    }

    private static long nanos(double millis) {
        return (long) Math.rint(millis * 1e6);
    }

    private static double prefillMillis(PassShape pass) {
        long batch = pass.prefillSequences;
        if (batch == 0) {
            return 0;
        }
        long n = batch * ((pass.prefixTokens + pass.newTokens) / batch - pass.prefixTokens / batch);
        return n == 0 ? 0 : 4.209989e-7 * (double) (n * n) + 1.518344e-2 * n + 16.50142;
    }

    private double decodeMillis(PassShape pass) {
        if (pass.decodeSequences == 0) {
            return 0;
        }
        double p = Math.min(1, (double) pass.decodeContextTokens / capacityTokens);
        return Math.max(1, -25.74 * (p * p) + 54.01 * p + 5.74);
    }
}
