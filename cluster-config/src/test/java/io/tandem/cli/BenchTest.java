package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/** Numbers out of range are refused before a model is fetched or a node is asked, and all in the same words. */
class BenchTest {

    private static String refusal(Callable<Integer> command, String... arguments) {
        new CommandLine(command).setCaseInsensitiveEnumValuesAllowed(true).parseArgs(arguments);
        return assertThrows(IllegalArgumentException.class, command::call).getMessage();
    }

    @Test
    void shouldRefuseThreadsThatAreNone() {
        assertEquals("--threads must be 1 to 1024, not 0", refusal(new Bench.Engines(), "--threads", "0"));
        assertEquals("--threads must be 1 to 1024, not -1", refusal(new Bench.Engines(), "--threads", "2,-1"));
        assertEquals("--threads must be 1 to 1024, not 100000", refusal(new Bench.Engines(), "--threads", "100000"));
        assertEquals("--threads must be 1 to 256, not 0", refusal(new FaultSim(), "--threads", "0"));
    }

    @Test
    void shouldRefuseCountsThatAreNone() {
        assertEquals("--repeats must be 1 to 100, not 0", refusal(new Bench.Engines(), "--repeats", "0"));
        assertEquals("--repeats must be 1 to 20, not 21", refusal(new Bench.Transfers(), "--repeats", "21"));
        assertEquals(
                "--latency-blocks must be 1 to 1000, not 0", refusal(new Bench.Transfers(), "--latency-blocks", "0"));
        assertEquals("--seeds must be 1 to 1000000, not 0", refusal(new FaultSim(), "--seeds", "0"));
    }

    @Test
    void shouldRefuseRatesThatAreNone() {
        assertEquals(
                "--rates must be above 0 and at most 100000, not 0.0", refusal(new OverloadBench(), "--rates", "5,0"));
        assertEquals(
                "--rates must be above 0 and at most 100000, not NaN", refusal(new OverloadBench(), "--rates", "NaN"));
    }
}
