package io.tandem.simulation.planning;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.simulation.PassShape;
import java.io.IOException;
import org.junit.jupiter.api.Test;

class FittedEngineModelTest {
    private static final Config CONFIG = ConfigFactory.load();

    private static long nanos(FittedEngineModel engine, int promptTokens, int decodes, int context) {
        PassShape pass = new PassShape();
        pass.newTokens = promptTokens;
        pass.attentionPairs = promptTokens * (promptTokens * 0.5);
        pass.decodeSequences = decodes;
        pass.decodeContextTokens = (long) decodes * context;
        return engine.passNanos(pass);
    }

    @Test
    void shouldTakeThePlannersTimes() throws IOException {
        FittedEngineModel engine = FittedEngineModel.parse("model=Llama-3.1-8B, gpu=h100, precision=fp8, tp=2", CONFIG);
        Replica r = engine.replica();
        assertEquals(2, r.gpus());
        assertEquals(Precision.FP8, r.precision());
        double decode = engine.times().decodeMs(r.model(), r.gpu(), r.precision(), 2, 16, 3000);
        assertEquals(decode, nanos(engine, 0, 16, 3000) / 1e6, 1e-3);
        double prompt = engine.times().prefillMs(r.model(), r.gpu(), r.precision(), 2, 2048);
        assertEquals(prompt, nanos(engine, 2048, 0, 0) / 1e6, 1e-3);
        long both = nanos(engine, 2048, 16, 3000);
        assertTrue(both <= nanos(engine, 0, 16, 3000) + nanos(engine, 2048, 0, 0) + 1, "weights are read once");
        assertTrue(both > nanos(engine, 2048, 0, 0));
    }

    @Test
    void shouldHoldWhatMemoryHolds() throws IOException {
        // 80 GB less 16.06 GB of weights, nine tenths of it, 131,072 bytes a token.
        double tokens = FittedEngineModel.parse("model=Llama-3.1-8B,gpu=h100", CONFIG)
                .replica()
                .kvTokens();
        assertEquals(0.9 * (80e9 - 16.06e9) / 131_072, tokens, 1);
    }

    private static String failure(String text) {
        return String.valueOf(assertThrows(IllegalArgumentException.class, () -> FittedEngineModel.parse(text, CONFIG))
                .getMessage());
    }

    @Test
    void shouldSayWhatIsMissingOrDoesNotFit() {
        assertTrue(failure("").contains("fitted needs model and gpu"));
        assertTrue(failure("model=Llama-3.1-8B").contains("fitted needs model and gpu"));
        assertTrue(failure("model=Llama-3.1-70B,gpu=h100").contains("does not fit on 1 h100_sxm: raise tp"));
        assertTrue(failure("model=Llama-3.1-70B,gpu=h100,tp=3").contains("1, 2, 4"));
        assertTrue(failure("model=Llama-3.1-70B,gpu=h100,tp=x").contains("tp=x is no number"));
    }
}
