package io.tandem.cluster;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** A plain HTTP client of a Tandem node, as an outsider would write it. */
final class Api implements AutoCloseable {
    static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration HANG_GUARD = Duration.ofMinutes(2);

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final String baseUrl;
    private final String key;

    /** @param key empty where the server wants none */
    Api(String host, int port, String key) {
        baseUrl = "http://" + host + ":" + port;
        this.key = key;
    }

    Api(int port) {
        this("127.0.0.1", port, "");
    }

    String baseUrl() {
        return baseUrl;
    }

    private HttpRequest.Builder request(String path) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(baseUrl + path));
        return key.isEmpty() ? builder : builder.header("Authorization", "Bearer " + key);
    }

    HttpResponse<String> get(String path) {
        return send(request(path).timeout(HANG_GUARD).GET().build());
    }

    JsonNode getJson(String path) {
        return parse(get(path).body());
    }

    HttpResponse<String> post(String path, String body) {
        return post(path, body.getBytes(StandardCharsets.UTF_8), "application/json");
    }

    HttpResponse<String> post(String path, byte[] body, String contentType) {
        return send(request(path)
                .timeout(HANG_GUARD)
                .header("Content-Type", contentType)
                .header("X-Tandem-Report", "true")
                .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                .build());
    }

    /** A greedy completion of token ids that also answers ids and the request's report; must succeed. */
    JsonNode complete(String model, int[] prompt, int maxTokens) {
        HttpResponse<String> response = post(
                "/v1/completions", completion(model, prompt, maxTokens, false).toString());
        if (response.statusCode() != 200) {
            throw new AssertionError("status " + response.statusCode() + ": " + response.body());
        }
        return parse(response.body());
    }

    static ObjectNode completion(String model, int[] prompt, int maxTokens, boolean stream) {
        ObjectNode body = JSON.createObjectNode();
        body.put("model", model).put("max_tokens", maxTokens).put("temperature", 0);
        body.put("return_token_ids", true).put("stream", stream);
        ArrayNode ids = body.putArray("prompt");
        for (int id : prompt) {
            ids.add(id);
        }
        return body;
    }

    static int[] tokenIds(JsonNode completion) {
        JsonNode ids = completion.path("choices").path(0).path("token_ids");
        int[] out = new int[ids.size()];
        for (int i = 0; i < out.length; i++) {
            out[i] = ids.get(i).asInt();
        }
        return out;
    }

    /** A stream, or a refusal. */
    record Opened(int status, InputStream body) {}

    /**
     * Opens a streamed completion that answers the request's report too, whatever the status.
     *
     * @throws IOException when no answer came: the connection was refused or broke
     */
    Opened open(ObjectNode body) throws IOException {
        try {
            HttpResponse<InputStream> response = http.send(
                    request("/v1/completions")
                            .header("Content-Type", "application/json")
                            .header("X-Tandem-Report", "true")
                            .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
                            .build(),
                    HttpResponse.BodyHandlers.ofInputStream());
            return new Opened(response.statusCode(), response.body());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    /** Opens a streamed completion and hands back the raw stream; closing it is what a client that goes away does. */
    InputStream openStream(ObjectNode body) {
        try {
            Opened opened = open(body);
            if (opened.status() != 200) {
                throw new AssertionError("status " + opened.status() + ": "
                        + new String(opened.body().readAllBytes(), StandardCharsets.UTF_8));
            }
            return opened.body();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static JsonNode parse(String body) {
        try {
            return JSON.readTree(body);
        } catch (IOException e) {
            throw new UncheckedIOException("not JSON: " + body, e);
        }
    }

    private HttpResponse<String> send(HttpRequest request) {
        try {
            return http.send(request, HttpResponse.BodyHandlers.ofString());
        } catch (IOException e) {
            throw new UncheckedIOException(request.uri() + ": " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void close() {
        http.close();
    }
}
