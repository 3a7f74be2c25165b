package io.tandem.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.GenerationException;
import io.tandem.GenerationException.Kind;
import io.tandem.GenerationRequest;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class OpenAiRoutesTest {

    private static final String CHAT = "/v1/chat/completions";
    private static final String TEXT = "/v1/completions";
    private static final String SAID = "Hello \"wörld\"\n🦜";
    private TestServer server;

    @BeforeEach
    void start() throws Exception {
        server = new TestServer("tandem.http { max-concurrent-requests = 2, max-body-bytes = 4 KiB, max-choices = 4 }");
    }

    @AfterEach
    void stop() throws Exception {
        server.close();
    }

    private static String chat(String fields) {
        return "{'model':'org/tiny','messages':[{'role':'user','content':'hi'}]" + fields + "}";
    }

    private static String text(String fields) {
        return "{'model':'org/tiny','prompt':'hi'" + fields + "}";
    }

    private static List<JsonNode> chunks(String body, boolean done) throws IOException {
        List<JsonNode> chunks = new ArrayList<>();
        String[] events = body.split("\n\n");
        for (int i = 0; i < events.length; i++) {
            if (done && i == events.length - 1) {
                assertEquals("data: [DONE]", events[i]);
            } else if (!events[i].equals(":")) {
                assertTrue(events[i].startsWith("data: "), events[i]);
                chunks.add(TestServer.MAPPER.readTree(events[i].substring(6)));
            }
        }
        return chunks;
    }

    @Test
    void shouldAnswerAChatWithUsageAndReport() throws Exception {
        HttpResponse<String> response = server.post(CHAT, chat(""), "X-Tandem-Report", "true");
        assertEquals(200, response.statusCode(), response.body());
        JsonNode body = TestServer.json(response);
        assertEquals("chat.completion", body.path("object").asText());
        assertEquals("chatcmpl-r1", body.path("id").asText());
        assertEquals("r1", response.headers().firstValue("x-request-id").orElse(""));
        JsonNode choice = body.path("choices").path(0);
        assertEquals(SAID, choice.path("message").path("content").asText());
        assertEquals("stop", choice.path("finish_reason").asText());
        assertEquals(6, body.path("usage").path("total_tokens").asInt());
        assertEquals("g1", body.path("tandem").path("decode_gpu").asText());
        assertEquals(4096, body.path("tandem").path("kv_bytes").asInt());
        JsonNode kept = TestServer.json(server.get("/admin/requests/chatcmpl-r1"));
        assertEquals("long prompt", kept.path("routing_reason").asText());
    }

    @Test
    void shouldStreamAChatAsServerSentEvents() throws Exception {
        HttpResponse<String> response = server.post(
                CHAT,
                chat(",'stream':true,'stream_options':{'include_usage':true},'return_token_ids':true"),
                "X-Tandem-Report",
                "true");
        assertEquals(200, response.statusCode(), response.body());
        assertEquals(
                "text/event-stream",
                response.headers().firstValue("content-type").orElse("").split(";")[0]);
        List<JsonNode> chunks = chunks(response.body(), true);
        assertEquals("assistant", chunks.get(0).at("/choices/0/delta/role").asText());
        assertEquals(3, chunks.get(0).path("prompt_token_ids").size());
        StringBuilder said = new StringBuilder();
        int ids = 0;
        for (JsonNode chunk : chunks) {
            said.append(chunk.at("/choices/0/delta/content").asText(""));
            ids += chunk.at("/choices/0/token_ids").size();
            assertTrue(chunk.has("usage"));
        }
        assertEquals(SAID, said.toString());
        assertEquals(3, ids);
        JsonNode last = chunks.get(chunks.size() - 1);
        assertEquals(0, last.path("choices").size());
        assertEquals(3, last.path("usage").path("completion_tokens").asInt());
        assertEquals("r1", last.path("tandem").path("request_id").asText());
        assertEquals(
                "stop",
                chunks.get(chunks.size() - 2).at("/choices/0/finish_reason").asText());
    }

    @Test
    void shouldStreamPlainTextWithoutExtrasByDefault() throws Exception {
        List<JsonNode> chunks = chunks(server.post(TEXT, text(",'stream':true")).body(), true);
        StringBuilder said = new StringBuilder();
        chunks.forEach(c -> said.append(c.at("/choices/0/text").asText()));
        assertEquals(SAID, said.toString());
        assertFalse(chunks.get(0).has("usage"));
        assertFalse(chunks.get(0).has("tandem"));
    }

    @Test
    void shouldPassEverySamplingFieldOn() throws Exception {
        HttpResponse<String> response = server.post(
                CHAT,
                chat(",'n':2,'seed':7,'temperature':0.5,'top_p':0.9,'top_k':5,'min_p':0.1,'max_tokens':9,"
                        + "'presence_penalty':1,'frequency_penalty':-1,'repetition_penalty':1.1,'logit_bias':{'5':-3},"
                        + "'stop':['x','y'],'ignore_eos':true,'user':'u','metadata':{},'tools':[],'suffix':null"));
        assertEquals(200, response.statusCode(), response.body());
        assertEquals(2, TestServer.json(response).path("choices").size());
        assertEquals(3, TestServer.json(response).at("/usage/prompt_tokens").asInt());
        List<GenerationRequest> sent = server.fake.requests;
        assertEquals(
                List.of(7L, 8L), sent.stream().map(r -> r.sampling().seed()).toList());
        GenerationRequest first = sent.get(0);
        assertEquals(9, first.maxNewTokens());
        assertEquals(List.of("x", "y"), first.stop());
        assertTrue(first.ignoreEos());
        assertEquals(5, first.sampling().topK());
        assertEquals(0.9f, first.sampling().topP());
        assertEquals(-3f, first.sampling().biases()[0]);
    }

    @Test
    void shouldGiveLogprobsInBothForms() throws Exception {
        JsonNode chat = TestServer.json(server.post(CHAT, chat(",'logprobs':true,'top_logprobs':2")));
        JsonNode entry = chat.at("/choices/0/logprobs/content/0");
        assertEquals("a", entry.path("token").asText());
        assertEquals(-0.5, entry.path("logprob").asDouble());
        assertEquals(0xc3, entry.at("/top_logprobs/1/bytes/0").asInt());
        assertEquals(-9999.0, entry.at("/top_logprobs/1/logprob").asDouble());
        JsonNode text = TestServer.json(server.post(TEXT, text(",'logprobs':2")));
        assertEquals("b", text.at("/choices/0/logprobs/tokens/1").asText());
        assertEquals(1, text.at("/choices/0/logprobs/text_offset/1").asInt());
        assertEquals(
                -9999.0,
                text.at("/choices/0/logprobs/top_logprobs/0")
                        .path("bytes:\\xc3")
                        .asDouble());
    }

    @Test
    void shouldTakePromptsInAllForms() throws Exception {
        for (String prompt : List.of("'a'", "['a','b']", "[1,2]", "[[1],[2,3]]")) {
            String body = "{'model':'org/tiny','return_token_ids':true,'prompt':" + prompt + "}";
            HttpResponse<String> response = server.post(TEXT, body);
            assertEquals(200, response.statusCode(), response.body());
            assertEquals(3, TestServer.json(response).at("/choices/0/token_ids").size());
        }
        assertEquals(6, server.fake.requests.size());
    }

    @Test
    void shouldNameTheFieldOfEveryBadRequest() throws Exception {
        String[][] cases = {
            {",'temperature':'hot'", "temperature"},
            {",'temperature':11", "temperature"},
            {",'n':5", "n"},
            {",'stop':[1]", "stop[0]"},
            {",'stop':1", "stop"},
            {",'tools':[{}]", "tools"},
            {",'response_format':{'type':'json_object'}", "response_format"},
            {",'nonsense':1", "nonsense"},
            {",'stream':1", "stream"},
            {",'seed':1.5", "seed"},
            {",'top_logprobs':2", "top_logprobs"},
            {",'logit_bias':{'999':1}", "logit_bias"},
            {",'stream_options':{}", "stream_options"},
            {",'max_tokens':0", "max_tokens"},
        };
        for (String[] c : cases) {
            HttpResponse<String> response = server.post(CHAT, chat(c[0]));
            assertEquals(400, response.statusCode(), c[0] + response.body());
            JsonNode error = TestServer.json(response).path("error");
            assertEquals(c[1], error.path("param").asText(), response.body());
            assertEquals("invalid_request_error", error.path("type").asText());
        }
        String image = "{'model':'org/tiny','messages':[{'role':'user','content':[{'type':'image_url'}]}]}";
        JsonNode error = TestServer.json(server.post(CHAT, image)).path("error");
        assertEquals("messages[0].content[0].type", error.path("param").asText());
        JsonNode empty = TestServer.json(server.post(CHAT, "{'model':'org/tiny','messages':[]}"));
        assertTrue(empty.at("/error/message").asText().endsWith("not an empty array"), empty.toString());
    }

    @Test
    void shouldSayWhatIsNoJsonInTheClientsTermsAlone() throws Exception {
        String[][] cases = {
            {"{", "expected close marker for Object (line 1, column 2)"},
            {"{'n':NaN}", "Non-standard token 'NaN' (line 1, column"},
            {"{'a':" + "[".repeat(100), "nested deeper than 64"},
        };
        for (String[] c : cases) {
            String message = TestServer.json(server.post(CHAT, c[0]))
                    .at("/error/message")
                    .asText();
            assertTrue(message.contains(c[1]), message);
            assertFalse(message.contains("Feature") || message.contains("Constraints"), message);
        }
    }

    @Test
    void shouldRefuseABodyThatIsCompressed() throws Exception {
        HttpResponse<String> gzip = server.post(CHAT, chat(""), "Content-Encoding", "gzip");
        assertEquals(415, gzip.statusCode());
        assertTrue(TestServer.json(gzip).at("/error/message").asText().contains("not gzip"));
        assertEquals(
                200, server.post(CHAT, chat(""), "Content-Encoding", "identity").statusCode());
    }

    @Test
    void shouldRefuseWhatIsNoRequest() throws Exception {
        assertEquals(400, server.post(CHAT, "").statusCode());
        assertEquals(400, server.post(CHAT, "{").statusCode());
        assertEquals(400, server.post(CHAT, "[]").statusCode());
        assertEquals(400, server.post(CHAT, "{'model':'a','model':'b'}").statusCode());
        assertEquals(
                400,
                server.post(CHAT, "{'a':" + "[".repeat(100) + "]".repeat(100) + "}")
                        .statusCode());
        assertEquals(
                413,
                server.post(CHAT, chat(",'user':'" + "x".repeat(5000) + "'")).statusCode());
        assertEquals(405, server.get(CHAT).statusCode());
        assertEquals(404, server.get("/v2").statusCode());
        HttpResponse<String> type = server.http.send(
                server.request(CHAT)
                        .POST(HttpRequest.BodyPublishers.ofString("{}"))
                        .build(),
                HttpResponse.BodyHandlers.ofString());
        assertEquals(415, type.statusCode());
        HttpResponse<String> utf8 = server.http.send(
                server.request(CHAT, "Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofByteArray(new byte[] {'{', (byte) 0xff, '}'}))
                        .build(),
                HttpResponse.BodyHandlers.ofString());
        assertEquals(400, utf8.statusCode());
        assertTrue(TestServer.json(utf8).at("/error/message").asText().contains("UTF-8"));
        HttpResponse<String> model = server.post(CHAT, "{'model':'no','messages':[{'role':'user','content':''}]}");
        assertEquals(404, model.statusCode());
        assertEquals("model_not_found", TestServer.json(model).at("/error/code").asText());
    }

    @Test
    void shouldMapEveryFailureOfTheClusterWhetherStreamedOrNot() throws Exception {
        for (FakeClient.Mode mode : List.of(FakeClient.Mode.FAIL_AT_ONCE, FakeClient.Mode.FAIL_ACCEPTED)) {
            server.fake.mode = mode;
            for (Kind kind : Kind.values()) {
                server.fake.failure = new GenerationException(kind, "why", "field", 7);
                for (String stream : List.of("", ",'stream':true")) {
                    HttpResponse<String> response = server.post(CHAT, chat(stream));
                    assertEquals(status(kind), response.statusCode(), kind + response.body());
                    assertEquals(
                            "why",
                            TestServer.json(response).at("/error/message").asText());
                    boolean retry = kind == Kind.OVERLOADED || kind == Kind.UNAVAILABLE;
                    assertEquals(
                            retry ? "7" : "none",
                            response.headers().firstValue("Retry-After").orElse("none"));
                }
            }
        }
    }

    private static int status(Kind kind) {
        return switch (kind) {
            case INVALID_REQUEST, CONTEXT_OVERFLOW -> 400;
            case MODEL_NOT_FOUND -> 404;
            case OVERLOADED -> 429;
            case UNAVAILABLE -> 503;
            case DEADLINE -> 504;
            case INTERNAL -> 500;
        };
    }

    @Test
    void shouldSayWhichRoutesThereAreInsteadOfOthersOfOpenAi() throws Exception {
        HttpResponse<String> answer = server.post("/v1/embeddings", "{'model':'org/tiny','input':'hi'}");
        assertEquals(404, answer.statusCode());
        JsonNode error = TestServer.json(answer).path("error");
        assertEquals("not_found", error.path("code").asText());
        assertEquals(
                "There is no /v1/embeddings here; of OpenAI's routes there are /v1/chat/completions, /v1/completions and"
                        + " /v1/models",
                error.path("message").asText());
        assertEquals(
                "There is no / here",
                TestServer.json(server.get("/")).at("/error/message").asText());
    }

    @Test
    void shouldEndABrokenStreamWithAnErrorEvent() throws Exception {
        server.fake.mode = FakeClient.Mode.FAIL_MIDWAY;
        String body = server.post(CHAT, chat(",'stream':true")).body();
        assertFalse(body.contains("[DONE]"), body);
        List<JsonNode> chunks = chunks(body, false);
        assertEquals(
                "broken", chunks.get(chunks.size() - 1).at("/error/message").asText());
    }

    @Test
    void shouldCancelWhenTheClientLeaves() throws Exception {
        for (String stream : List.of("", ",'stream':true")) {
            try (TestServer own = new TestServer()) {
                own.fake.mode = FakeClient.Mode.HANG;
                try (Socket socket = open(own, chat(stream))) {
                    awaitActive(own, 1);
                    if (!stream.isEmpty()) {
                        InputStream in = socket.getInputStream();
                        assertTrue(in.read() >= 0);
                    }
                }
                assertTrue(own.fake.cancelled.await(60, TimeUnit.SECONDS), "stream" + stream);
                awaitActive(own, 0);
            }
        }
    }

    @Test
    void shouldKeepNothingForAClientThatLeftBeforeItsWholeAnswer() throws Exception {
        server.fake.mode = FakeClient.Mode.HANG;
        try (Socket socket = open(server, chat(""))) {
            awaitActive(server, 1);
            assertTrue(socket.isConnected());
        }
        String given = "tandem_http_requests_total{route=\"v1/chat/completions\",status=\"499\"} 1.0";
        String metrics = "";
        for (int i = 0; i < 10_000 && !metrics.contains(given); i++) {
            metrics = server.get("/metrics").body();
        }
        assertTrue(metrics.contains(given), metrics);
        assertTrue(metrics.contains("tandem_http_disconnects_total 1.0"), metrics);
    }

    @Test
    void shouldAnswerAClientThatEndsItsConnectionWithTheRequest() throws Exception {
        byte[] body = chat("").replace('\'', '"').getBytes(StandardCharsets.UTF_8);
        try (Socket socket = new Socket(
                InetAddress.getLoopbackAddress(), server.server.address().getPort())) {
            String head = "POST " + CHAT
                    + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
                    + "Content-Length: " + body.length + "\r\n\r\n";
            socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().write(body);
            socket.getOutputStream().flush();
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(answer.startsWith("HTTP/1.1 200"), answer);
        }
    }

    @Test
    void shouldRefuseMoreThanTheLimitAndRecover() throws Exception {
        server.fake.mode = FakeClient.Mode.HANG;
        Socket first = open(server, chat(",'stream':true"));
        Socket second = open(server, chat(",'stream':true"));
        awaitActive(server, 2);
        HttpResponse<String> refused = server.post(CHAT, chat(""));
        assertEquals(429, refused.statusCode());
        assertEquals("1", refused.headers().firstValue("Retry-After").orElse(""));
        first.close();
        second.close();
        awaitActive(server, 0);
        server.fake.mode = FakeClient.Mode.ANSWER;
        int status = 429;
        for (int i = 0; i < 10_000 && status == 429; i++) {
            status = server.post(CHAT, chat("")).statusCode();
        }
        assertEquals(200, status);
    }

    @Test
    void shouldGiveWhatIsNoHttpTheSameErrorBody() throws Exception {
        try (Socket socket = new Socket(
                InetAddress.getLoopbackAddress(), server.server.address().getPort())) {
            socket.getOutputStream().write("GET /v1/models HTTP/9.9\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().flush();
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(answer.contains("{\"error\":{\"message\":"), answer);
        }
    }

    @Test
    void shouldCancelForAClientThatTakesNothing() throws Exception {
        try (TestServer own = new TestServer("tandem.http { slow-client-timeout = 1 s, slow-client-chars = 64 MiB }")) {
            own.fake.words = Collections.nCopies(64, "x".repeat(256 * 1024));
            own.fake.endless = true;
            try (Socket unread = open(own, chat(",'stream':true"))) {
                assertTrue(own.fake.cancelled.await(60, TimeUnit.SECONDS));
                assertTrue(unread.isConnected());
            }
            awaitActive(own, 0);
        }
    }

    @Test
    void shouldRefuseNewRequestsWhileItDrains() throws Exception {
        try (TestServer own = new TestServer("tandem.http.drain-timeout = 60 s")) {
            own.fake.mode = FakeClient.Mode.HANG;
            try (Socket running = open(own, chat(",'stream':true"))) {
                awaitActive(own, 1);
                CompletableFuture<Void> stopped = own.server.drainAndStop().toCompletableFuture();
                assertEquals(503, own.post(CHAT, chat("")).statusCode());
                assertEquals(503, own.get("/ready").statusCode());
                assertFalse(stopped.isDone());
                assertTrue(running.isConnected());
            }
            own.server.drainAndStop().toCompletableFuture().get(60, TimeUnit.SECONDS);
        }
    }

    @Test
    void shouldListModelsAndTokenize() throws Exception {
        assertEquals(
                "org/tiny",
                TestServer.json(server.get("/v1/models")).at("/data/0/id").asText());
        assertEquals(
                "org/tiny",
                TestServer.json(server.get("/v1/models/org/tiny")).path("id").asText());
        assertEquals(
                "org/tiny",
                TestServer.json(server.get("/v1/models/org%2Ftiny")).path("id").asText());
        assertEquals(404, server.get("/v1/models/none").statusCode());
        server.fake.maxTokens = 48;
        assertEquals(
                48,
                TestServer.json(server.get("/v1/models"))
                        .at("/data/0/max_model_len")
                        .asInt(),
                "what fits here, not what the model could");
        JsonNode tokens = TestServer.json(server.post("/tokenize", "{'prompt':'aé'}"));
        assertEquals(3, tokens.path("count").asInt());
        JsonNode text = TestServer.json(server.post("/detokenize", "{'tokens':[97,195,169]}"));
        assertEquals("aé", text.path("prompt").asText());
        assertEquals(400, server.post("/detokenize", "{'tokens':[256]}").statusCode());
    }

    private static Socket open(TestServer server, String body) throws IOException {
        byte[] bytes = body.replace('\'', '"').getBytes(StandardCharsets.UTF_8);
        Socket socket = new Socket(
                InetAddress.getLoopbackAddress(), server.server.address().getPort());
        String head =
                "POST " + CHAT + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
                        + bytes.length + "\r\n\r\n";
        socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
        socket.getOutputStream().write(bytes);
        socket.getOutputStream().flush();
        return socket;
    }

    private static void awaitActive(TestServer server, int wanted) {
        long guard = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (server.fake.active.get() != wanted) {
            assertTrue(System.nanoTime() < guard, "active stays " + server.fake.active.get());
            Thread.onSpinWait();
            Thread.yield();
        }
    }
}
