package io.tandem.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.tokenizer.BpeTokenizer.Kind;
import io.tandem.weights.HuggingFaceFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Reads Hugging Face's {@code tokenizer.json} of byte-level BPE models. */
public final class TokenizerJson {
    private static final int MAX_ENTRIES = 2_000_000;

    private TokenizerJson() {}

    /** @throws IllegalArgumentException naming the part of the file that is not supported */
    public static Tokenizer read(Path file) throws IOException {
        JsonNode root = HuggingFaceFiles.json(file);
        JsonNode model = root.path("model");
        if (!model.path("type").asText("BPE").equals("BPE")
                || model.path("byte_fallback").asBoolean()) {
            throw unsupported(file, "model", model.path("type"));
        }
        int size = size(file, root);
        String[] entries = new String[size];
        Kind[] kinds = new Kind[size];
        Arrays.fill(entries, "");
        Arrays.fill(kinds, Kind.NORMAL);
        model.path("vocab").properties().forEach(e -> entries[e.getValue().asInt()] = e.getKey());
        for (JsonNode added : root.path("added_tokens")) {
            int id = added.path("id").asInt();
            entries[id] = added.path("content").asText();
            kinds[id] = added.path("special").asBoolean() ? Kind.CONTROL : Kind.USER_DEFINED;
        }
        String normalizer = root.path("normalizer").path("type").asText("none");
        if (!normalizer.equals("none") && !normalizer.equals("NFC")) {
            throw unsupported(file, "normalizer", root.path("normalizer"));
        }
        List<String> stages = new ArrayList<>();
        stages(file, root.path("pre_tokenizer"), stages);
        return new BpeTokenizer(new BpeTokenizer.Vocabulary(
                entries,
                kinds,
                merges(file, model.path("merges")),
                PreTokenizer.of(stages),
                model.path("ignore_merges").asBoolean(false),
                normalizer.equals("NFC"),
                special(root.path("post_processor"), true),
                special(root.path("post_processor"), false)));
    }

    private static int size(Path file, JsonNode root) {
        int min = 0;
        int max = -1;
        for (JsonNode id : root.path("model").path("vocab")) {
            min = Math.min(min, id.asInt());
            max = Math.max(max, id.asInt());
        }
        for (JsonNode added : root.path("added_tokens")) {
            min = Math.min(min, added.path("id").asInt());
            max = Math.max(max, added.path("id").asInt());
        }
        if (min < 0 || max < 0 || max >= MAX_ENTRIES) {
            throw new IllegalArgumentException(
                    file + ": a vocabulary whose entries have ids from " + min + " to " + max);
        }
        return max + 1;
    }

    private static List<String[]> merges(Path file, JsonNode merges) {
        List<String[]> pairs = new ArrayList<>();
        for (JsonNode merge : merges) {
            String[] pair = merge.isArray()
                    ? new String[] {merge.path(0).asText(), merge.path(1).asText()}
                    : merge.asText().split(" ", 2);
            if (pair.length != 2) {
                throw new IllegalArgumentException(file + ": merge '" + merge + "' is no pair");
            }
            pairs.add(pair);
        }
        return pairs;
    }

    private static void stages(Path file, JsonNode pre, List<String> stages) {
        switch (pre.path("type").asText("none")) {
            case "none" -> {}
            case "Sequence" -> pre.path("pretokenizers").forEach(p -> stages(file, p, stages));
            case "Digits" -> {
                if (!pre.path("individual_digits").asBoolean()) {
                    throw unsupported(file, "pre_tokenizer", pre);
                }
                stages.add(PreTokenizer.digitPattern());
            }
            case "Split" -> {
                if (!pre.path("behavior").asText().equals("Isolated")
                        || pre.path("invert").asBoolean()
                        || !pre.path("pattern").has("Regex")) {
                    throw unsupported(file, "pre_tokenizer", pre);
                }
                stages.add(pre.path("pattern").path("Regex").asText());
            }
            case "ByteLevel" -> {
                if (pre.path("add_prefix_space").asBoolean()) {
                    throw unsupported(file, "pre_tokenizer", pre);
                }
                if (pre.path("use_regex").asBoolean(true)) {
                    stages.add(PreTokenizer.gpt2Pattern());
                }
            }
            default -> throw unsupported(file, "pre_tokenizer", pre);
        }
    }

    /** Ids the template of a single text puts before (or after) it. */
    private static int[] special(JsonNode post, boolean before) {
        if (post.path("type").asText().equals("Sequence")) {
            for (JsonNode processor : post.path("processors")) {
                int[] ids = special(processor, before);
                if (ids.length > 0) {
                    return ids;
                }
            }
        }
        List<Integer> ids = new ArrayList<>();
        boolean seen = false;
        for (JsonNode part : post.path("single")) {
            if (part.has("Sequence")) {
                seen = true;
            } else if (seen != before) {
                String name = part.path("SpecialToken").path("id").asText();
                post.path("special_tokens").path(name).path("ids").forEach(id -> ids.add(id.asInt()));
            }
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    private static IllegalArgumentException unsupported(Path file, String part, JsonNode what) {
        return new IllegalArgumentException(file + ": " + part + " " + what + " is not supported");
    }
}
