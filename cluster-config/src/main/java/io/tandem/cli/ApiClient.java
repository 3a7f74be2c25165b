package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** A node's HTTP API as the command line uses it. */
final class ApiClient implements AutoCloseable {
    /** Between two looks whether a node is ready: each costs a node that starts some milliseconds of its processor. */
    static final int READY_POLL_MILLIS = 100;

    private static final int CONNECT_MILLIS = 5000;
    static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofMillis(CONNECT_MILLIS))
            .build();
    private final String baseUrl;
    private final String apiKey;
    private boolean listening;

    ApiClient(String baseUrl, String apiKey) {
        if (!baseUrl.matches("https?://[^/\\s]+/?")) {
            throw new IllegalArgumentException("--url must be like http://127.0.0.1:8080, not '" + baseUrl + "'");
        }
        this.baseUrl = baseUrl.replaceAll("/$", "");
        this.apiKey = apiKey;
    }

    /** Thrown with the server's own message. */
    static final class ApiException extends IOException {
        private final int status;

        ApiException(int status, String message) {
            super(message);
            this.status = status;
        }

        /** HTTP status; 0 = an error event within a stream. */
        int status() {
            return status;
        }
    }

    /** Status of a GET; -1 = nobody answers. */
    int status(String path) throws InterruptedException {
        if (!listening) {
            listening = listens();
        }
        if (!listening) {
            return -1;
        }
        try {
            return http.send(request(path).GET().build(), HttpResponse.BodyHandlers.discarding())
                    .statusCode();
        } catch (IOException e) {
            return -1;
        }
    }

    /** By a plain connection: who waits for a node's start should not spend its processor on requests that fail. */
    private boolean listens() {
        URI uri = URI.create(baseUrl);
        int port = uri.getPort() >= 0 ? uri.getPort() : "https".equals(uri.getScheme()) ? 443 : 80;
        try (Socket probe = new Socket()) {
            probe.connect(new InetSocketAddress(uri.getHost(), port), CONNECT_MILLIS);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    JsonNode get(String path) throws IOException, InterruptedException {
        return answer(request(path).GET().build());
    }

    JsonNode post(String path, Object body) throws IOException, InterruptedException {
        return answer(request(path)
                .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
                .build());
    }

    private JsonNode answer(HttpRequest request) throws IOException, InterruptedException {
        HttpResponse<String> response = send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() >= 300) {
            throw new ApiException(response.statusCode(), message(response.statusCode(), response.body()));
        }
        return JSON.readTree(response.body().isEmpty() ? "{}" : response.body());
    }

    private <T> HttpResponse<T> send(HttpRequest request, HttpResponse.BodyHandler<T> handler)
            throws IOException, InterruptedException {
        try {
            return http.send(request, handler);
        } catch (ConnectException e) {
            throw new IOException(
                    "nothing answers at " + baseUrl + ": start a node (./tandem serve) or name one with --url", e);
        }
    }

    private static String message(int status, String body) {
        try {
            return JSON.readTree(body).path("error").path("message").asText("HTTP " + status);
        } catch (IOException e) {
            return "HTTP " + status;
        }
    }

    /** Streams a chat; each chunk goes to {@code onChunk} as it comes. */
    void stream(Map<String, Object> body, Consumer<JsonNode> onChunk) throws IOException, InterruptedException {
        stream("/v1/chat/completions", body, onChunk);
    }

    /** Streams from a path; each chunk goes to {@code onChunk} as it comes. */
    void stream(String path, Map<String, Object> body, Consumer<JsonNode> onChunk)
            throws IOException, InterruptedException {
        streamLines(path, body, line -> {
            try {
                JsonNode chunk = JSON.readTree(line);
                if (chunk.has("error")) {
                    throw new ApiException(
                            0, chunk.path("error").path("message").asText());
                }
                onChunk.accept(chunk);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    /** The data of each event as it came, without parsing. A stream that breaks off, or whose event is an error, is an IOException. */
    void streamLines(String path, Map<String, Object> body, Consumer<String> onData)
            throws IOException, InterruptedException {
        HttpRequest request = request(path)
                .header("X-Tandem-Report", "true")
                .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
                .build();
        HttpResponse<Stream<String>> response = send(request, HttpResponse.BodyHandlers.ofLines());
        try (Stream<String> lines = response.body()) {
            if (response.statusCode() != 200) {
                String answer = String.join("", lines.toList());
                throw new ApiException(response.statusCode(), message(response.statusCode(), answer));
            }
            for (String line : (Iterable<String>) lines::iterator) {
                if (line.startsWith("data: ") && !line.equals("data: [DONE]")) {
                    onData.accept(line.substring(6));
                }
            }
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private HttpRequest.Builder request(String path) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(baseUrl + path))
                .timeout(Duration.ofMinutes(15))
                .header("Content-Type", "application/json");
        return apiKey.isEmpty() ? builder : builder.header("Authorization", "Bearer " + apiKey);
    }

    @Override
    public void close() {
        http.shutdownNow();
    }
}
