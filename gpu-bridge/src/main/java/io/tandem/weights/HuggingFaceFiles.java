package io.tandem.weights;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** What else lies in a Hugging Face model folder. */
public final class HuggingFaceFiles {
    private static final ObjectMapper JSON = new ObjectMapper();

    private HuggingFaceFiles() {}

    /** The chat template: {@code chat_template.jinja}, or the field (text or list, "default") of tokenizer_config.json. */
    public static Optional<String> chatTemplate(Path folder) throws IOException {
        Path own = folder.resolve("chat_template.jinja");
        if (Files.exists(own)) {
            return Optional.of(Files.readString(own));
        }
        Path config = folder.resolve("tokenizer_config.json");
        if (!Files.exists(config)) {
            return Optional.empty();
        }
        JsonNode template = json(config).path("chat_template");
        if (template.isTextual()) {
            return Optional.of(template.asText());
        }
        for (JsonNode entry : template) {
            if (entry.path("name").asText().equals("default")) {
                return Optional.of(entry.path("template").asText());
            }
        }
        return Optional.empty();
    }

    /** @throws IllegalArgumentException naming the file when it holds no JSON */
    public static JsonNode json(Path file) throws IOException {
        try {
            return JSON.readTree(file.toFile());
        } catch (JsonProcessingException e) {
            throw noJson(file, e);
        }
    }

    static JsonNode json(Path file, byte[] text) throws IOException {
        try {
            return JSON.readTree(text);
        } catch (JsonProcessingException e) {
            throw noJson(file, e);
        }
    }

    private static IllegalArgumentException noJson(Path file, JsonProcessingException e) {
        return new IllegalArgumentException(file + " holds no JSON: " + e.getOriginalMessage(), e);
    }
}
