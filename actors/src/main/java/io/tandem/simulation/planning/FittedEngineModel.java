package io.tandem.simulation.planning;

import com.typesafe.config.Config;
import io.tandem.simulation.PassShape;
import io.tandem.simulation.PassTimer;
import java.io.IOException;
import java.util.Locale;

/**
 * An engine's passes by {@link StepTimes}, the timing that {@code tandem pareto} plans with: prompts of a pass come on top of the
 * decodes beside them. A worker of the simulation is one {@link Replica}.
 */
public record FittedEngineModel(StepTimes times, Replica replica) implements PassTimer {
    private static final String FIELDS =
            "model and gpu, and maybe precision and tp, such as model=llama-3.1-8b,gpu=h100";

    /** Reads {@code model=NAME,gpu=NAME,precision=fp8,tp=2}; bf16 on one GPU unless said. */
    public static FittedEngineModel parse(String text, Config config) throws IOException {
        ModelShape model = null;
        GpuSpec gpu = null;
        Precision precision = Precision.BF16;
        int gpus = 1;
        for (String field : text.split(",", -1)) {
            String[] parts = field.strip().split("=", 2);
            String value = parts.length < 2 ? "" : parts[1].strip();
            switch (parts[0].strip().toLowerCase(Locale.ROOT)) {
                case "model" -> model = ModelShape.open(value);
                case "gpu" -> gpu = GpuSpec.of(value);
                case "precision" -> precision = Precision.of(value);
                case "tp" -> gpus = number(value);
                default ->
                    throw new IllegalArgumentException("engine: unknown field '" + field + "'; fitted needs " + FIELDS);
            }
        }
        if (model == null || gpu == null) {
            throw new IllegalArgumentException("engine: fitted needs " + FIELDS);
        }
        Replica replica = new Replica(model, gpu, precision, gpus);
        if (replica.kvTokens() < 1) {
            throw new IllegalArgumentException(String.format(
                    Locale.ROOT,
                    "engine: %s in %s does not fit on %d %s: raise tp or lower the precision",
                    model.name(),
                    precision,
                    gpus,
                    gpu.name()));
        }
        return new FittedEngineModel(StepTimes.from(config), replica);
    }

    private static int number(String value) {
        try {
            return Integer.parseInt(value);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("engine: tp=" + value + " is no number", e);
        }
    }

    @Override
    public long passNanos(PassShape pass) {
        ModelShape m = replica.model();
        GpuSpec g = replica.gpu();
        Precision p = replica.precision();
        int gpus = replica.gpus();
        double ms = 0;
        if (pass.decodeSequences > 0) {
            double context = (double) pass.decodeContextTokens / pass.decodeSequences;
            ms += times.decodeMs(m, g, p, gpus, pass.decodeSequences, context);
        }
        if (pass.newTokens > 0) {
            double tokens = (double) pass.newTokens;
            ms += pass.decodeSequences > 0
                    ? times.besideMs(m, g, p, gpus, tokens, pass.attentionPairs)
                    : times.aloneMs(m, g, p, gpus, tokens, pass.attentionPairs);
            ms += times.prefixMs(m, g, p, gpus, (double) pass.prefixTokens);
        }
        return Math.max(1, Math.round(ms * 1e6));
    }
}
