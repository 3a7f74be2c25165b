package io.tandem.simulation.fault;

import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.compute.simulated.TimingModel;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.engine.SequenceStats;
import io.tandem.engine.StepTokens;
import io.tandem.model.ModelConfig;
import java.util.Arrays;
import java.util.List;

/** The model that the simulated workers serve, and the plain run of a request that every disturbed run must equal. */
final class SimulatedModel {
    static final String FINGERPRINT = "simulated";
    static final int VOCABULARY = 200;
    static final int MAX_TOKENS = 512;
    private static final TimingModel TIMING = new TimingModel(3_000, 30, 100, 10);

    private SimulatedModel() {}

    static SimulatedBackend backend(int blockTokens, SimulatedBackend.Pace pace) {
        ModelConfig config = new ModelConfig(
                "llama", VOCABULARY, 8, 1, 1, 1, 8, 8, 1e-5f, 10_000, null, false, MAX_TOKENS, true, -1, List.of());
        return new SimulatedBackend(config, blockTokens, 256, TIMING, List.of(), pace);
    }

    static EngineSettings settings(int blockTokens, int kvBlocks, int maxSequences, boolean prefixCache) {
        return new EngineSettings(maxSequences, 64, 64, 32, 16, 256, blockTokens, kvBlocks, 0, 64, prefixCache, true);
    }

    /** What a request must answer: its tokens and why it ends. */
    record Answer(int[] tokens, FinishReason reason) {}

    /** Runs a request alone on an engine of its own. */
    static Answer plainRun(SequenceSpec spec) {
        Plain listener = new Plain();
        try (SimulatedBackend backend = backend(16, (start, step) -> {});
                Engine engine = new Engine(
                        backend,
                        FINGERPRINT,
                        settings(16, 1 + MAX_TOKENS / 16, 1, false),
                        EngineRole.MIXED,
                        listener)) {
            engine.apply(new EngineCommand.Generate(1, spec), 0);
            while (listener.reason == null) {
                engine.step(0);
            }
        }
        return new Answer(Arrays.copyOf(listener.tokens, listener.count), listener.reason);
    }

    private static final class Plain implements EngineListener {
        final int[] tokens = new int[MAX_TOKENS];
        int count;
        FinishReason reason;

        @Override
        public void onStep(StepTokens step) {
            for (int i = 0; i < step.count; i++) {
                tokens[count++] = step.tokens[i];
            }
        }

        @Override
        public void onFinished(long key, FinishReason why, SequenceStats stats, String detail) {
            reason = why;
        }

        @Override
        public void onRefused(long key, RefusalReason why, String detail) {
            throw new IllegalStateException("the plain run is refused: " + detail);
        }
    }
}
