package io.tandem.tokenizer;

import io.tandem.tokenizer.BpeTokenizer.Kind;
import io.tandem.weights.GgufMetadata;
import java.util.ArrayList;
import java.util.List;

/** Makes a tokenizer out of what a GGUF file carries. */
public final class GgufTokenizers {
    private static final int TYPE_UNKNOWN = 2;
    private static final int TYPE_CONTROL = 3;
    private static final int TYPE_USER_DEFINED = 4;
    private static final int[] NONE = {};

    private GgufTokenizers() {}

    /** @throws IllegalArgumentException naming what is missing or not supported */
    public static Tokenizer from(GgufMetadata metadata) {
        String model = metadata.string("tokenizer.ggml.model");
        if (!model.equals("gpt2")) {
            throw new IllegalArgumentException(
                    "tokenizer model '" + model + "' is not supported; supported: gpt2 (byte-level BPE)");
        }
        String pre = metadata.optionalString("tokenizer.ggml.pre").orElse("default");
        String[] entries = metadata.strings("tokenizer.ggml.tokens").toArray(new String[0]);
        boolean llama3 = pre.startsWith("llama");
        int bos = metadata.integer("tokenizer.ggml.bos_token_id", -1);
        int eos = metadata.integer("tokenizer.ggml.eos_token_id", -1);
        boolean addBos = metadata.flag("tokenizer.ggml.add_bos_token", llama3) && bos >= 0;
        boolean addEos = metadata.flag("tokenizer.ggml.add_eos_token", false) && eos >= 0;
        return new BpeTokenizer(new BpeTokenizer.Vocabulary(
                entries,
                kinds(metadata, entries.length),
                merges(metadata),
                PreTokenizer.named(pre),
                llama3,
                false,
                addBos ? new int[] {bos} : NONE,
                addEos ? new int[] {eos} : NONE));
    }

    private static Kind[] kinds(GgufMetadata metadata, int count) {
        int[] types = metadata.has("tokenizer.ggml.token_type")
                ? metadata.integers("tokenizer.ggml.token_type")
                : new int[count];
        Kind[] kinds = new Kind[count];
        for (int i = 0; i < count; i++) {
            int type = i < types.length ? types[i] : 0;
            kinds[i] = type == TYPE_CONTROL || type == TYPE_UNKNOWN
                    ? Kind.CONTROL
                    : type == TYPE_USER_DEFINED ? Kind.USER_DEFINED : Kind.NORMAL;
        }
        return kinds;
    }

    private static List<String[]> merges(GgufMetadata metadata) {
        List<String[]> merges = new ArrayList<>();
        for (String merge : metadata.strings("tokenizer.ggml.merges")) {
            int space = merge.indexOf(' ', 1);
            if (space < 0) {
                throw new IllegalArgumentException("tokenizer.ggml.merges holds '" + merge + "', which is no pair");
            }
            merges.add(new String[] {merge.substring(0, space), merge.substring(space + 1)});
        }
        return merges;
    }
}
