package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class NodeOptionsTest {
    @TempDir
    private Path folder;

    private static Config config(String... arguments) {
        return CommandLine.populateCommand(new NodeOptions(), arguments).config();
    }

    @Test
    void shouldPutOptionsOverTheFileAndTheFileOverTheProfile() throws IOException {
        Path file = Files.writeString(
                folder.resolve("node.conf"), "tandem { http.port = 8181, compute { threads = 3, backend = cpu } }");
        Config c = config("--config", file.toString(), "--threads", "2");
        assertEquals(8181, c.getInt("tandem.http.port"));
        assertEquals(2, c.getInt("tandem.compute.threads"));
        assertEquals("cpu", c.getString("tandem.compute.backend"));
    }

    /** Settings that are not read are not left out in silence. */
    @Test
    void shouldRefuseAFileThatIsNone() {
        for (Path file : new Path[] {folder, folder.resolve("none.conf")}) {
            IllegalArgumentException e =
                    assertThrows(IllegalArgumentException.class, () -> config("--config", file.toString()));
            assertTrue(e.getMessage().contains("--config " + file), e.getMessage());
        }
    }
}
