package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The PTX in the jar is what the kernels compile to. Skipped, visibly, where the pinned compiler cannot be had. */
class CommittedPtxTest {
    private static final int NO_COMPILER = 75;

    /** A minute for the compiler, of which a slow core that others use as well makes many. */
    @Test
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void shouldBeWhatTheSourcesCompileTo() throws Exception {
        Path script = Path.of("src/main/cuda/build_ptx.py").toAbsolutePath();
        assumeTrue(Files.exists(script), "the sources of the kernels are not here");
        Process process;
        try {
            process = new ProcessBuilder("python3", script.toString(), "--check")
                    .redirectErrorStream(true)
                    .start();
        } catch (IOException e) {
            assumeTrue(false, "no python3: " + e.getMessage());
            return;
        }
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = process.waitFor();
        assumeTrue(status != NO_COMPILER, output);
        assertEquals(0, status, output);
    }
}
