package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PackageIndexTest {
    @TempDir
    private Path folder;

    private HttpServer server;

    @BeforeEach
    void startIndex() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        answer(
                "/simple/some-model/",
                "{\"files\":[{\"filename\":\"some_model-1.0-py3-none-any.whl\",\"url\":\"../../f/old.whl\"},"
                        + "{\"filename\":\"some_model-1.1.tar.gz\",\"url\":\"../../f/source\"},"
                        + "{\"filename\":\"some_model-1.1-py3-none-any.whl\",\"url\":\"../../f/new.whl\"}]}");
        answer("/f/new.whl", "the wheel");
        server.start();
    }

    private void answer(String path, String body) {
        server.createContext(path, exchange -> {
            byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, bytes.length);
            exchange.getResponseBody().write(bytes);
            exchange.close();
        });
    }

    @AfterEach
    void stopIndex() {
        server.stop(0);
    }

    private String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort() + "/simple";
    }

    @Test
    void shouldFetchTheWheelOfTheVersion() throws Exception {
        Path wheel = new PackageIndex(URI.create(url())).download("some-model", "1.1", folder);
        assertEquals("some_model-1.1-py3-none-any.whl", wheel.getFileName().toString());
        assertArrayEquals("the wheel".getBytes(StandardCharsets.UTF_8), Files.readAllBytes(wheel));
    }

    @Test
    void shouldSayWhatTheIndexDoesNotHave() {
        PackageIndex index = new PackageIndex(URI.create(url()));
        Exception version = assertThrows(IOException.class, () -> index.download("some-model", "2.0", folder));
        assertTrue(version.getMessage().endsWith("has no wheel of version 2.0"), version.getMessage());
        Exception project = assertThrows(IOException.class, () -> index.download("nothing", "1.0", folder));
        assertTrue(project.getMessage().endsWith("answers 404"), project.getMessage());
        Exception file = assertThrows(IOException.class, () -> index.download("some-model", "1.0", folder));
        assertTrue(file.getMessage().endsWith("answers 404"), file.getMessage());
    }

    @Test
    void shouldUseTheIndexOfThisMachinesPip() throws IOException {
        assertEquals(
                "http://mirror/simple", PackageIndex.indexUrl(Map.of("PIP_INDEX_URL", "http://mirror/simple"), folder));
        Path settings = Files.writeString(folder.resolve("pip.conf"), "[global]\nindex-url = http://other/simple/\n");
        assertEquals(
                "http://other/simple/", PackageIndex.indexUrl(Map.of("PIP_CONFIG_FILE", settings.toString()), folder));
    }
}
