package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class SimulateTest {
    @TempDir
    Path folder;

    private static Throwable failure(String... arguments) {
        Throwable[] seen = new Throwable[1];
        new CommandLine(new Simulate())
                .setExecutionExceptionHandler((e, line, parsed) -> {
                    seen[0] = e;
                    return 2;
                })
                .execute(arguments);
        return seen[0];
    }

    @Test
    void shouldWriteTheFiguresAndAPageThatNeedsNothingElse() throws Exception {
        Path json = folder.resolve("out.json");
        Path html = folder.resolve("out.html");
        int code = new CommandLine(new Simulate())
                .execute(
                        "--trace",
                        "synthetic:seconds=20,rate=10,input=500,output=20",
                        "--layout",
                        "agg:2,pd:1:1,dynamic:2",
                        "--policy",
                        "tandem,round-robin",
                        "--speedup",
                        "1,2",
                        "--seeds",
                        "2",
                        "--json",
                        json.toString(),
                        "--html",
                        html.toString());
        assertEquals(0, code);
        JsonNode document = new ObjectMapper().readTree(json.toFile());
        assertEquals(10, document.path("cells").size(), "two rates of five pairs");
        JsonNode run = document.path("cells").path(0).path("runs").path(0);
        assertTrue(run.path("good").asInt() > 0);
        assertTrue(run.path("ttft_ms").path("p99").asDouble() > 0);
        assertEquals(60, run.path("timeline").path("arrivals").size());
        assertEquals(5, document.path("saturation").size());
        assertTrue(run.path("prefill_use").isNull(), "no worker of agg:2 has that role");
        assertFalse(Files.readString(json).contains("NaN"), "which is no JSON");
        String page = Files.readString(html);
        assertTrue(page.contains("\"good_share\""), "the figures are inside");
        assertTrue(
                page.contains("data.bounds") && page.contains("MARKS"),
                "the bound is drawn; lines differ in more than colour");
        assertFalse(page.contains("src=") || page.contains("href=") || page.contains("/*DATA*/"), "nothing is fetched");
    }

    @Test
    void shouldHaveNoTimesWhereNothingWasAnswered() throws Exception {
        Path json = folder.resolve("none.json");
        String trace = "synthetic:seconds=5,rate=2,input=1000";
        new CommandLine(new Simulate()).execute("--trace", trace, "--kv-blocks", "1", "--json", json.toString());
        JsonNode run = new ObjectMapper().readTree(json.toFile()).at("/cells/0/runs/0");
        assertEquals(0, run.path("completed").asInt());
        for (String figure : List.of("ttft_ms", "itl_ms", "tpot_ms")) {
            assertTrue(run.path(figure).path("p99").isNull(), figure);
        }
    }

    @Test
    void shouldRefuseAFileItCannotWriteBeforeItPlays() {
        String trace = "synthetic:seconds=1";
        Path nowhere = folder.resolve("none").resolve("out.html");
        assertTrue(failure("--trace", trace, "--html", nowhere.toString())
                .getMessage()
                .contains("--html: there is no folder"));
        assertTrue(failure("--trace", trace, "--json", folder.toString())
                .getMessage()
                .contains("is a folder"));
    }

    @Test
    void shouldNameTheFieldThatIsWrong() {
        assertTrue(failure("--trace", "no-such.jsonl").getMessage().contains("--trace"));
        String trace = "synthetic:seconds=1";
        assertTrue(failure("--trace", "synthetic:rate=x").getMessage().contains("'rate=x' is not field=number"));
        for (String field : List.of("rate=-1", "rate=NaN", "seconds=NaN", "input=0", "turns=0", "burstiness=-1")) {
            String name = field.substring(0, field.indexOf('='));
            assertTrue(failure("--trace", "synthetic:" + field).getMessage().contains(name + " must be"), field);
        }
        assertTrue(failure("--trace", "synthetic:seconds=1e6,rate=1e5")
                .getMessage()
                .contains("seconds x rate x turns must be"));
        assertTrue(failure("--trace", trace, "--copies", "1000").getMessage().contains("--copies must be 1 to 500"));
        assertTrue(failure("--trace", trace, "--kv-blocks", "2147483647")
                .getMessage()
                .contains("--kv-blocks must be"));
        assertTrue(failure("--trace", trace, "--policy", "best").getMessage().contains("known are round-robin"));
        assertTrue(failure("--trace", trace, "--layout", "8").getMessage().contains("agg:WORKERS"));
        assertTrue(failure("--trace", trace, "--slo", "ttft=2").getMessage().contains("needs a unit"));
        assertTrue(failure("--trace", trace, "--engine", "fast").getMessage().contains("roofline"));
        assertTrue(failure("--trace", trace, "--speedup", "0").getMessage().contains("--speedup"));
        assertTrue(failure("--trace", trace, "--layout", "agg:1000000")
                .getMessage()
                .contains("at most 16384"));
        assertTrue(failure("--trace", trace, "--block-tokens", "7").getMessage().contains("must divide the 512"));
        assertTrue(failure("--trace", trace, "--policy", "arrow")
                .getMessage()
                .endsWith("any of the layouts: arrow not with agg:8 (it takes dynamic)"));
    }
}
