package io.tandem.weights;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.model.ModelConfig;
import io.tandem.model.ModelFamily;
import io.tandem.model.RopeScaling;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads {@code config.json}, with rotary settings in the old place (top level) or the new one ({@code rope_parameters}). */
final class HuggingFaceConfig {
    private HuggingFaceConfig() {}

    /** @param tied whether the checkpoint has no head of its own */
    static ModelConfig read(Path file, boolean tied) throws IOException {
        JsonNode c = HuggingFaceFiles.json(file);
        String family = c.path("model_type").asText("");
        if (!ModelFamily.ids().contains(family)) {
            throw new IllegalArgumentException(
                    file + ": model_type '" + family + "' is not supported; supported: " + ModelFamily.ids());
        }
        refuse(file, c, "attention_bias", false);
        refuse(file, c, "mlp_bias", false);
        if (!c.path("hidden_act").asText("silu").equals("silu")) {
            throw new IllegalArgumentException(
                    file + ": hidden_act '" + c.path("hidden_act").asText() + "' is not supported; supported: silu");
        }
        int context = integer(file, c, "max_position_embeddings");
        int window = slidingWindow(family, c);
        int hidden = integer(file, c, "hidden_size");
        int heads = integer(file, c, "num_attention_heads");
        return new ModelConfig(
                family,
                integer(file, c, "vocab_size"),
                hidden,
                integer(file, c, "num_hidden_layers"),
                heads,
                c.hasNonNull("num_key_value_heads") ? integer(file, c, "num_key_value_heads") : heads,
                c.hasNonNull("head_dim") ? integer(file, c, "head_dim") : hidden / heads,
                integer(file, c, "intermediate_size"),
                (float) c.path("rms_norm_eps").asDouble(1e-5),
                rope(c, "rope_theta").asDouble(10_000),
                scaling(file, c),
                false,
                // Within the window a sliding window changes nothing; beyond it we do not go.
                window > 0 ? Math.min(window, context) : context,
                tied,
                c.path("bos_token_id").asInt(-1),
                ids(c.path("eos_token_id")));
    }

    /** Qwen names a window and turns it on by a flag of its own. 0 = none. */
    private static int slidingWindow(String family, JsonNode c) {
        boolean on = c.path("use_sliding_window").asBoolean(!family.startsWith("qwen"));
        return on ? c.path("sliding_window").asInt(0) : 0;
    }

    private static void refuse(Path file, JsonNode c, String field, boolean supported) {
        if (c.path(field).asBoolean(supported) != supported) {
            throw new IllegalArgumentException(file + ": " + field + "=" + c.path(field) + " is not supported");
        }
    }

    private static int integer(Path file, JsonNode c, String field) {
        if (!c.path(field).canConvertToInt() || c.path(field).asInt() <= 0) {
            throw new IllegalArgumentException(file + ": " + field + " must be a positive number");
        }
        return c.path(field).asInt();
    }

    private static JsonNode rope(JsonNode c, String field) {
        JsonNode parameters = c.path("rope_parameters");
        return parameters.has(field) ? parameters.get(field) : c.path(field);
    }

    private static RopeScaling scaling(Path file, JsonNode c) {
        JsonNode s = c.path("rope_parameters").isObject() ? c.path("rope_parameters") : c.path("rope_scaling");
        String type = s.path("rope_type").asText(s.path("type").asText("default"));
        return switch (type) {
            case "default" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(s.path("factor").asDouble(1));
            case "llama3" ->
                new RopeScaling.Llama3(
                        s.path("factor").asDouble(8),
                        s.path("low_freq_factor").asDouble(1),
                        s.path("high_freq_factor").asDouble(4),
                        s.path("original_max_position_embeddings").asInt(8192));
            default ->
                throw new IllegalArgumentException(
                        file + ": rope type '" + type + "' is not supported; supported: default, linear, llama3");
        };
    }

    private static List<Integer> ids(JsonNode node) {
        List<Integer> ids = new ArrayList<>();
        if (node.isInt()) {
            ids.add(node.asInt());
        } else if (node.isArray()) {
            node.forEach(id -> ids.add(id.asInt()));
        }
        return ids;
    }
}
