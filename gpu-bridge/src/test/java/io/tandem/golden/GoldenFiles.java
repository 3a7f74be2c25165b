package io.tandem.golden;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Assumptions;

/** Reference data in this module's test resources, and the model they are bound to. */
public final class GoldenFiles {
    private static final ObjectMapper JSON = new ObjectMapper();

    private GoldenFiles() {}

    public static List<JsonNode> lines(String resource) {
        try (InputStream in = GoldenFiles.class.getResourceAsStream("/golden/" + resource)) {
            List<JsonNode> rows = new ArrayList<>();
            for (String line : new String(in.readAllBytes(), StandardCharsets.UTF_8).split("\n")) {
                rows.add(JSON.readTree(line));
            }
            return rows;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static JsonNode json(Path file) throws IOException {
        return JSON.readTree(file.toFile());
    }

    public static Path folder(String name) {
        return Path.of(System.getProperty("user.dir"), "src", "test", "resources", "golden", name);
    }

    public static int[] ids(JsonNode array) {
        int[] ids = new int[array.size()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = array.get(i).asInt();
        }
        return ids;
    }

    /** The SmolLM2 file; without it a test is skipped, unless TANDEM_REQUIRE_MODEL says that it must be there. */
    public static Path model() {
        String given = System.getenv("TANDEM_TEST_MODEL");
        String home = System.getenv().getOrDefault("XDG_CACHE_HOME", System.getProperty("user.home") + "/.cache");
        String cache = System.getenv().getOrDefault("TANDEM_CACHE", home + "/tandem");
        Path model = given != null ? Path.of(given) : Path.of(cache, "models", "SmolLM2-135M-Instruct.Q4_1.gguf");
        if (!Files.exists(model) && "1".equals(System.getenv("TANDEM_REQUIRE_MODEL"))) {
            Assertions.fail(model + " is missing: run ./tandem models pull");
        }
        Assumptions.assumeTrue(Files.exists(model), "skipped: no model at " + model);
        return model;
    }
}
