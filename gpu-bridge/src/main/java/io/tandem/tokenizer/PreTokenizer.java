package io.tandem.tokenizer;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Cuts text into the words within which tokens are merged: stages of patterns, each cutting the pieces of the one before it
 * into matches and what lies between. The patterns are those the vocabularies were made with.
 */
final class PreTokenizer {
    private static final int FLAGS = Pattern.UNICODE_CHARACTER_CLASS;
    private static final String GPT2 =
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    private static final String LLAMA3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
            + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String QWEN2 = LLAMA3.replace("\\p{N}{1,3}", "\\p{N}");
    private static final String DIGIT = "\\p{N}";

    private static final Map<String, List<String>> NAMED = Map.of(
            "gpt-2", List.of(GPT2),
            "default", List.of(GPT2),
            "smollm", List.of(DIGIT, GPT2),
            "llama-bpe", List.of(LLAMA3),
            "llama3", List.of(LLAMA3),
            "llama-v3", List.of(LLAMA3),
            "qwen2", List.of(QWEN2));

    private final List<Pattern> stages;

    private PreTokenizer(List<String> patterns) {
        stages = patterns.stream().map(p -> Pattern.compile(p, FLAGS)).toList();
    }

    /** By the name a GGUF file gives ({@code tokenizer.ggml.pre}). */
    static PreTokenizer named(String name) {
        List<String> patterns = NAMED.get(name);
        if (patterns == null) {
            throw new IllegalArgumentException("pre-tokenizer '" + name + "' is not supported; supported: "
                    + NAMED.keySet().stream().sorted().toList());
        }
        return new PreTokenizer(patterns);
    }

    /** By patterns, first to last. */
    static PreTokenizer of(List<String> patterns) {
        return new PreTokenizer(patterns);
    }

    static String gpt2Pattern() {
        return GPT2;
    }

    static String digitPattern() {
        return DIGIT;
    }

    /** Words in order; together they are the text. */
    void split(String text, Consumer<String> words) {
        split(text, 0, words);
    }

    private void split(String piece, int stage, Consumer<String> words) {
        if (piece.isEmpty()) {
            return;
        }
        if (stage == stages.size()) {
            words.accept(piece);
            return;
        }
        Matcher matcher = stages.get(stage).matcher(piece);
        int end = 0;
        while (matcher.find()) {
            if (matcher.end() == matcher.start()) {
                continue;
            }
            split(piece.substring(end, matcher.start()), stage + 1, words);
            split(matcher.group(), stage + 1, words);
            end = matcher.end();
        }
        split(piece.substring(end), stage + 1, words);
    }

    /** For tests. */
    List<String> words(String text) {
        List<String> words = new ArrayList<>();
        split(text, words::add);
        return words;
    }
}
