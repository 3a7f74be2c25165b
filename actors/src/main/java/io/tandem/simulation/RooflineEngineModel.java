package io.tandem.simulation;

import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * A GPU by its limits: prompts are bound by arithmetic, decodes by memory, both lie over a fixed cost of a pass. A pass reads the
 * weights once, and the KV cache of every decode; its time is the larger of arithmetic and memory traffic.
 *
 * @param params weights that take part in a token, billions
 * @param weightBytes bytes a weight
 * @param layers of the model
 * @param width heads times head size: what attention multiplies, a token pair and layer
 * @param kvBytesPerToken of all layers
 * @param tflops dense peak in the weights' type
 * @param flopsShare share of the peak that prompts reach
 * @param terabytesPerSecond memory bandwidth
 * @param bandwidthShare share of it that decodes reach
 * @param passMillis fixed cost
 */
public record RooflineEngineModel(
        double params,
        double weightBytes,
        int layers,
        int width,
        double kvBytesPerToken,
        double tflops,
        double flopsShare,
        double terabytesPerSecond,
        double bandwidthShare,
        double passMillis)
        implements PassTimer {

    private static final String EXAMPLE = "such as roofline:model=llama-3.1-8b,gpu=h100";
    private static final Map<String, double[]> MODELS = Map.of(
            "qwen3-0.6b", new double[] {0.6, 2, 28, 2048, 114_688},
            "llama-3.2-1b", new double[] {1.24, 2, 16, 2048, 32_768},
            "llama-3.1-8b", new double[] {8.03, 2, 32, 4096, 131_072},
            "qwen3-8b", new double[] {8.19, 2, 36, 4096, 147_456},
            "qwen3-32b", new double[] {32.8, 2, 64, 8192, 262_144},
            "llama-3.1-70b", new double[] {70.6, 2, 80, 8192, 327_680});
    private static final Map<String, double[]> GPUS = Map.of(
            "a100", new double[] {312, 2.039},
            "l40s", new double[] {362, 0.864},
            "h100", new double[] {989, 3.35},
            "h200", new double[] {989, 4.8});

    /** Reads {@code model=NAME,gpu=NAME} and, instead of the parts of a name, its figures. */
    public static RooflineEngineModel parse(String text) {
        Map<String, Double> f = new HashMap<>(Map.of("flops-share", 0.5, "bandwidth-share", 0.75, "pass-ms", 2.0));
        for (String field : text.split(",", -1)) {
            int equals = field.indexOf('=');
            String name = equals < 0 ? "" : field.substring(0, equals).strip().toLowerCase(Locale.ROOT);
            String value = field.substring(equals + 1).strip().toLowerCase(Locale.ROOT);
            switch (name) {
                case "model" ->
                    put(f, named(MODELS, "model", value), "params", "weight-bytes", "layers", "width", "kv-bytes");
                case "gpu" -> put(f, named(GPUS, "gpu", value), "tflops", "tbs");
                case "params",
                        "weight-bytes",
                        "layers",
                        "width",
                        "kv-bytes",
                        "tflops",
                        "tbs",
                        "flops-share",
                        "bandwidth-share",
                        "pass-ms" -> f.put(name, number(name, value));
                default ->
                    throw new IllegalArgumentException("engine: unknown field '" + field + "' of a roofline, " + EXAMPLE
                            + "; known are model, gpu, params, weight-bytes, layers, width, kv-bytes, tflops, tbs,"
                            + " flops-share, bandwidth-share, pass-ms");
            }
        }
        return new RooflineEngineModel(
                need(f, "params"),
                need(f, "weight-bytes"),
                (int) need(f, "layers"),
                (int) need(f, "width"),
                need(f, "kv-bytes"),
                need(f, "tflops"),
                need(f, "flops-share"),
                need(f, "tbs"),
                need(f, "bandwidth-share"),
                need(f, "pass-ms"));
    }

    private static double[] named(Map<String, double[]> known, String what, String name) {
        double[] figures = known.get(name);
        if (figures == null) {
            throw new IllegalArgumentException("engine: unknown " + what + " '" + name + "'; known are "
                    + String.join(", ", known.keySet().stream().sorted().toList()));
        }
        return figures;
    }

    private static void put(Map<String, Double> fields, double[] figures, String... names) {
        for (int i = 0; i < names.length; i++) {
            fields.put(names[i], figures[i]);
        }
    }

    private static double number(String name, String value) {
        try {
            return Double.parseDouble(value);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("engine: " + name + "=" + value + " is no number", e);
        }
    }

    private static double need(Map<String, Double> fields, String name) {
        Double value = fields.get(name);
        if (value == null || !(value > 0)) {
            throw new IllegalArgumentException(
                    "engine: a roofline needs " + name + " above 0, by itself or by model= and gpu=, " + EXAMPLE);
        }
        return value;
    }

    @Override
    public long passNanos(PassShape pass) {
        double tokens = pass.newTokens + (double) pass.decodeSequences;
        double pairs = pass.attentionPairs + pass.decodeContextTokens;
        double flops = 2 * params * 1e9 * tokens + 4.0 * layers * width * pairs;
        double bytes =
                params * 1e9 * weightBytes + kvBytesPerToken * (pass.decodeContextTokens + pass.prefixTokens + tokens);
        double arithmetic = flops / (tflops * 1e12 * flopsShare);
        double memory = bytes / (terabytesPerSecond * 1e12 * bandwidthShare);
        return Math.max(1, Math.round(passMillis * 1e6 + Math.max(arithmetic, memory) * 1e9));
    }
}
