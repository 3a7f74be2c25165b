package io.tandem.cluster;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assertions;

/** The reference continuations of SmolLM2 and where the model is. */
final class Golden {
    private static final String MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf";

    /**
     * One reference row.
     *
     * @param prompt ids of the rendered prompt
     * @param ids greedy continuation
     * @param margins top-1 minus top-2 logit at each step
     */
    record Row(int number, int[] prompt, int[] ids, double[] margins) {

        /** Leading steps on which every float32 engine must agree with the reference. */
        int certainSteps(double margin) {
            int steps = 0;
            while (steps < ids.length && margins[steps] >= margin) {
                steps++;
            }
            return steps;
        }
    }

    private Golden() {}

    /** The model's file; skips the test visibly when it is not there, unless it must be. */
    static Path modelFile() {
        Path file = configured();
        String advice = file + " is missing: run ./tandem models pull";
        if ("1".equals(System.getenv("TANDEM_REQUIRE_MODEL"))) {
            Assertions.assertTrue(Files.isRegularFile(file), advice);
        }
        assumeTrue(Files.isRegularFile(file), advice);
        return file;
    }

    private static Path configured() {
        String given = System.getProperty("TANDEM_TEST_MODEL", System.getenv("TANDEM_TEST_MODEL"));
        if (given != null) {
            return Path.of(given);
        }
        String cache = System.getenv("TANDEM_CACHE");
        if (cache == null) {
            String xdg = System.getenv("XDG_CACHE_HOME");
            Path base = xdg != null ? Path.of(xdg) : Path.of(System.getProperty("user.home"), ".cache");
            cache = base.resolve("tandem").toString();
        }
        return Path.of(cache, "models", MODEL_FILE);
    }

    /** Rows of one golden file of SmolLM2 ("greedy.jsonl", "long.jsonl"), read from the repository. */
    static List<Row> rows(String file) {
        Path path =
                Path.of(System.getProperty("tandem.repo.root"), "gpu-bridge/src/test/resources/golden/smollm2", file);
        try {
            List<Row> rows = new ArrayList<>();
            for (String line : Files.readAllLines(path)) {
                JsonNode n = Api.JSON.readTree(line);
                rows.add(new Row(
                        n.path("n").asInt(),
                        ints(n.path("prompt_ids")),
                        ints(n.path("ids")),
                        doubles(n.path("margins"))));
            }
            return rows;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static int[] ints(JsonNode array) {
        int[] out = new int[array.size()];
        for (int i = 0; i < out.length; i++) {
            out[i] = array.get(i).asInt();
        }
        return out;
    }

    private static double[] doubles(JsonNode array) {
        double[] out = new double[array.size()];
        for (int i = 0; i < out.length; i++) {
            out[i] = array.get(i).asDouble();
        }
        return out;
    }
}
