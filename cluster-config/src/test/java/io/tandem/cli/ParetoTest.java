package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
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
        assertFalse(page.contains("NaN") || page.contains("Infinity") || page.contains("%1$s"));
        assertFalse(page.contains("src=") || page.contains("href="), "nothing is fetched");
    }
}
