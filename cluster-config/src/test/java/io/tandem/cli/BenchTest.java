package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class BenchTest {
    /** Before a model is fetched for it. */
    @Test
    void shouldRefuseThreadsThatAreNone() {
        for (String threads : new String[] {"0", "2,-1", "100000"}) {
            Bench.Engines bench = new Bench.Engines();
            parse(bench, "--threads", threads);
            String message =
                    assertThrows(IllegalArgumentException.class, bench::call).getMessage();
            assertEquals("--threads must be 1 to 1024 each, not " + bench.threads, message);
        }
        Bench.Engines bench = new Bench.Engines();
        parse(bench, "--repeats", "0");
        assertEquals(
                "--repeats must be 1 to 100, not 0",
                assertThrows(IllegalArgumentException.class, bench::call).getMessage());
    }

    private static void parse(Bench.Engines bench, String... arguments) {
        new CommandLine(bench).setCaseInsensitiveEnumValuesAllowed(true).parseArgs(arguments);
    }
}
