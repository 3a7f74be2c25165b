package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class ParetoTest {
    @TempDir
    Path folder;

    @Test
    void shouldWriteAPageForNarrowAndDarkScreensWithRoundTicksAndTheChoiceMarked() throws Exception {
        Path html = folder.resolve("pareto.html");
        int code = new CommandLine(new Pareto())
                .execute(
                        "--model",
                        "Llama-3.1-8B",
                        "--gpu",
                        "h100",
                        "--isl",
                        "4000",
                        "--osl",
                        "500",
                        "--html",
                        "" + html);
        assertEquals(0, code);
        String page = Files.readString(html);
        assertTrue(page.contains("name=\"viewport\"") && page.contains("prefers-color-scheme:dark"));
        assertTrue(page.contains(">0</text>") && page.contains(">1500</text>"), "ticks at round numbers");
        assertTrue(page.contains("<tr class='best'><td>"), "the recommended layout stands out in the table");
        assertTrue(page.contains("Cheapest with TTFT &lt;= 1000 ms and ITL &lt;= 25.0 ms: "), "the targets are said");
        assertTrue(page.contains(">ITL 25 ms</text>"), "and drawn");
        assertTrue(
                page.contains("<circle class='dot together'") && page.contains("<path class='dot split'"),
                "two shapes");
        assertFalse(page.contains("NaN") || page.contains("Infinity") || page.contains("%1$s"));
        assertFalse(page.contains("src=") || page.contains("href="), "nothing is fetched");
    }

    private static Throwable failure(String... more) {
        Throwable[] seen = new Throwable[1];
        List<String> arguments = new ArrayList<>(List.of("--model", "Llama-3.1-8B", "--gpu", "h100"));
        arguments.addAll(List.of(more));
        new CommandLine(new Pareto())
                .setExecutionExceptionHandler((e, line, parsed) -> {
                    seen[0] = e;
                    return 2;
                })
                .execute(arguments.toArray(String[]::new));
        return seen[0];
    }

    @Test
    void shouldNameTheOptionThatIsWrong() {
        assertEquals(
                "--isl must be 1 to 16777216, not 0",
                failure("--isl", "0", "--osl", "1").getMessage());
        assertTrue(failure("--isl", "9", "--osl", "9", "--ttft-ms", "-5")
                .getMessage()
                .startsWith("--ttft-ms must be"));
        assertTrue(failure("--isl", "9", "--osl", "9", "--itl-ms", "0")
                .getMessage()
                .startsWith("--itl-ms must be"));
        assertTrue(
                failure("--isl", "9", "--osl", "9", "--gpus", "0").getMessage().startsWith("--gpus must be"));
        assertTrue(failure("--isl", "9000000", "--osl", "9").getMessage().contains("one sequence of 9000009 tokens"));
    }

    @Test
    void shouldWriteAFrontierOfEachLayoutWithUnits() throws Exception {
        Path json = folder.resolve("pareto.json");
        new CommandLine(new Pareto())
                .execute(
                        "--model",
                        "Llama-3.1-70B",
                        "--gpu",
                        "h200",
                        "--isl",
                        "3000",
                        "--osl",
                        "300",
                        "--ttft-ms",
                        "800",
                        "--json",
                        "" + json);
        JsonNode all = new ObjectMapper().readTree(json.toFile());
        assertEquals(800, all.path("ttft_target_ms").asDouble());
        assertTrue(all.at("/best/ttft_ms").asDouble() <= 800
                && all.at("/best/itl_ms").asDouble() <= 25);
        JsonNode frontiers = all.path("frontier_of");
        assertTrue(frontiers.has("aggregated") && frontiers.has("split") && frontiers.size() > 10);
        for (JsonNode frontier : frontiers) {
            double before = Double.MAX_VALUE;
            double speed = 0;
            for (JsonNode p : frontier) {
                assertTrue(p.path("output_tokens_per_second_per_gpu").asDouble() < before, "faster costs more: " + p);
                assertTrue(p.path("output_tokens_per_second_per_user").asDouble() > speed, "by rising speed: " + p);
                before = p.path("output_tokens_per_second_per_gpu").asDouble();
                speed = p.path("output_tokens_per_second_per_user").asDouble();
                assertTrue(p.path("ttft_ms").asDouble() <= 800, "late: " + p);
            }
        }
        double best = all.at("/best/output_tokens_per_second_per_gpu").asDouble();
        for (JsonNode p : all.path("points")) {
            boolean meets =
                    p.path("ttft_ms").asDouble() <= 800 && p.path("itl_ms").asDouble() <= 25;
            assertTrue(!meets || p.path("output_tokens_per_second_per_gpu").asDouble() <= best, "better: " + p);
        }
    }
}
