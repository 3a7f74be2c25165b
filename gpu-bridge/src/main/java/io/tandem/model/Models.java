package io.tandem.model;

import io.tandem.chat.ChatTemplate;
import io.tandem.chat.ChatTemplateException;
import io.tandem.chat.JinjaChatTemplate;
import io.tandem.tokenizer.DeferredTokenizer;
import io.tandem.tokenizer.GgufTokenizers;
import io.tandem.tokenizer.Tokenizer;
import io.tandem.tokenizer.TokenizerJson;
import io.tandem.weights.Checkpoint;
import io.tandem.weights.FileFault;
import io.tandem.weights.GgufCheckpoint;
import io.tandem.weights.HuggingFaceFiles;
import io.tandem.weights.SafetensorsCheckpoint;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Opens models from local paths: a GGUF file, or a folder with safetensors in Hugging Face's layout. */
public final class Models {
    private Models() {}

    /**
     * Reads all but the weights; the tokenizer at its first use.
     *
     * @param name what clients call the model; empty = derived from the file's name
     * @throws IllegalArgumentException naming the file and what is wrong with it; the tokenizer's first use throws the same
     */
    public static ModelBundle open(Path path, String name) throws IOException {
        try (Checkpoint checkpoint = openWeights(path)) {
            Optional<String> template = checkpoint instanceof GgufCheckpoint gguf
                    ? gguf.metadata().optionalString("tokenizer.chat_template")
                    : HuggingFaceFiles.chatTemplate(path);
            Optional<ChatTemplate> chat = template.map(text -> parse(path, text));
            return new ModelBundle(
                    name.isEmpty() ? nameOf(path) : name,
                    path,
                    checkpoint.config(),
                    new DeferredTokenizer(() -> readTokenizer(path)),
                    chat,
                    checkpoint.fingerprint(),
                    checkpoint.weightBytes());
        }
    }

    private static ChatTemplate parse(Path path, String template) {
        try {
            return JinjaChatTemplate.parse(template);
        } catch (ChatTemplateException e) {
            throw new IllegalArgumentException(path + ": its chat template, " + e.getMessage(), e);
        }
    }

    private static Tokenizer readTokenizer(Path path) {
        try {
            if (Files.isDirectory(path)) {
                Path file = path.resolve("tokenizer.json");
                return FileFault.naming(file, () -> TokenizerJson.read(file));
            }
            try (GgufCheckpoint gguf = GgufCheckpoint.open(path)) {
                return FileFault.naming(path, () -> GgufTokenizers.from(gguf.metadata()));
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read the tokenizer of " + path + ": " + e.getMessage(), e);
        }
    }

    /** Maps the weights. */
    public static Checkpoint openWeights(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            if (!Files.exists(path.resolve("config.json"))) {
                throw new IllegalArgumentException(path + " has no config.json: not a model folder");
            }
            return SafetensorsCheckpoint.open(path);
        }
        if (!Files.exists(path)) {
            throw new IllegalArgumentException(
                    path + " does not exist; give a GGUF file or a folder with config.json and safetensors");
        }
        return GgufCheckpoint.open(path);
    }

    /** "SmolLM2-135M-Instruct.Q4_1.gguf" becomes "SmolLM2-135M-Instruct": the quantisation is no part of the name. */
    static String nameOf(Path path) {
        String file = path.toAbsolutePath().normalize().getFileName().toString();
        return file.replaceFirst("(?i)\\.gguf$", "").replaceFirst("(?i)[.-](I?Q\\d[A-Z0-9_]*|F16|BF16|F32)$", "");
    }
}
