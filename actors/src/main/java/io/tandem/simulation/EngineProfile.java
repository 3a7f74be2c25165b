package io.tandem.simulation;

/**
 * What an operator would measure of an engine before serving, for baselines that want it: prompt time by length and step time by
 * batch. Exact here, which favours them.
 */
final class EngineProfile {
    private final PassTimer timer;
    private final int chunkTokens;

    EngineProfile(Scenario scenario) {
        timer = scenario.timer();
        chunkTokens = scenario.cluster().maxBatchTokens();
    }

    /** Time of a prompt alone on a worker, chunk by chunk. */
    double prefillNanos(int tokens) {
        double nanos = 0;
        for (int before = 0; before < tokens; before += chunkTokens) {
            PassShape pass = new PassShape();
            pass.addPrefill(before, Math.min(chunkTokens, tokens - before));
            nanos += timer.passNanos(pass);
        }
        return nanos;
    }

    /** Time of a step with {@code batch} decodes that read {@code contextTokens} together. */
    double stepNanos(int batch, long contextTokens) {
        PassShape pass = new PassShape();
        pass.decodeSequences = batch;
        pass.decodeContextTokens = contextTokens;
        return batch == 0 ? 0 : timer.passNanos(pass);
    }
}
