package io.tandem.model;

import java.util.Arrays;
import java.util.List;

/**
 * What sets one family of decoder-only transformers apart from the plain Llama. Everything else (RMSNorm before attention and
 * before the MLP, rotary embedding, grouped heads, SiLU-gated MLP) they share.
 */
public enum ModelFamily {
    /** Llama 1 to 3.x, SmolLM2 and what else says so. */
    LLAMA("llama", true, false, false),
    /** Mistral: as Llama, with a sliding window in old versions. GGUF files call it llama. */
    MISTRAL("mistral", true, false, false),
    /** Qwen2 and Qwen2.5: a bias on the q, k and v products. */
    QWEN2("qwen2", false, true, false),
    /** Qwen3: no bias; RMSNorm over each query and key head before the rotation. */
    QWEN3("qwen3", false, false, true);

    private final String id;
    private final boolean ggufInterleaved;
    private final boolean qkvBias;
    private final boolean headNorm;

    ModelFamily(String id, boolean ggufInterleaved, boolean qkvBias, boolean headNorm) {
        this.id = id;
        this.ggufInterleaved = ggufInterleaved;
        this.qkvBias = qkvBias;
        this.headNorm = headNorm;
    }

    /** Name in {@code model_type} and {@code general.architecture}. */
    public String id() {
        return id;
    }

    /** True when GGUF files store q and k rows with rotary pairs as neighbours. */
    public boolean ggufInterleaved() {
        return ggufInterleaved;
    }

    /** True when q, k and v have a bias. */
    public boolean qkvBias() {
        return qkvBias;
    }

    /** True when each query and key head goes through an RMSNorm of its own before the rotation. */
    public boolean headNorm() {
        return headNorm;
    }

    /** Names of all families. */
    public static List<String> ids() {
        return Arrays.stream(values()).map(ModelFamily::id).toList();
    }

    /** @throws IllegalArgumentException when the name is not one of {@link #ids()} */
    public static ModelFamily of(String id) {
        return Arrays.stream(values())
                .filter(f -> f.id.equals(id))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        "model family '" + id + "' is not supported; supported: " + ids()));
    }
}
