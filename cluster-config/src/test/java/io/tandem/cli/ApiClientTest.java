package io.tandem.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class ApiClientTest {
    private static final String PIECE = "data: {\"piece\":1}\n\n";

    private HttpServer server;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.start();
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    /** @param announcedBytes more than there are = the connection ends too soon */
    private void answer(String path, String body, int announcedBytes) {
        server.createContext(path, exchange -> {
            exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, announcedBytes);
            exchange.getResponseBody().write(body.getBytes(StandardCharsets.UTF_8));
            exchange.getResponseBody().flush();
            exchange.close();
        });
    }

    private IOException failure(String path, List<String> pieces) {
        try (ApiClient api =
                new ApiClient("http://127.0.0.1:" + server.getAddress().getPort(), "")) {
            return assertThrows(
                    IOException.class, () -> api.stream(path, Map.of(), chunk -> pieces.add(chunk.toString())));
        }
    }

    /** Commands say what the server said, and tell it apart from a mistake of their own. */
    @Test
    void shouldThrowWhatAnEventOfTheStreamSays() {
        String error = "data: {\"error\":{\"message\":\"no GPU is left\"}}\n\n";
        answer("/broken", PIECE + error, PIECE.length() + error.length());
        List<String> pieces = new ArrayList<>();
        ApiClient.ApiException e = assertInstanceOf(ApiClient.ApiException.class, failure("/broken", pieces));
        assertEquals("no GPU is left", e.getMessage());
        assertEquals(0, e.status());
        assertEquals(List.of("{\"piece\":1}"), pieces);
    }

    /** Below zero the time of the next request would never come to an end: they would all be sent at once. */
    @Test
    void shouldNotSendRequestsAtARateThatIsNone() {
        for (String rates : List.of("0", "5,-1", "NaN")) {
            List<Exception> seen = new ArrayList<>();
            new CommandLine(new OverloadBench())
                    .setExecutionExceptionHandler((e, line, parsed) -> {
                        seen.add(e);
                        return 2;
                    })
                    .execute("--url", "http://127.0.0.1:1", "--rates", rates);
            assertInstanceOf(IllegalArgumentException.class, seen.getFirst(), rates);
        }
    }

    @Test
    void shouldThrowWhenTheStreamBreaksOff() {
        answer("/cut", PIECE, 1000);
        List<String> pieces = new ArrayList<>();
        failure("/cut", pieces);
        assertEquals(List.of("{\"piece\":1}"), pieces);
    }
}
