package io.tandem.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.engine.EngineRole;
import io.tandem.http.security.ApiKeys;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

class OperatorRoutesTest {

    private static final String CHAT = "{'model':'org/tiny','messages':[{'role':'user','content':'hi'}]}";

    @Test
    void shouldReportHealthReadinessAndTheCluster() throws Exception {
        try (TestServer server = new TestServer()) {
            JsonNode health = TestServer.json(server.get("/health"));
            assertEquals("ok", health.path("status").asText());
            assertEquals(
                    "cuda: no device",
                    health.at("/workers/0/backend/refusals/0").asText());
            assertEquals(200, server.get("/alive").statusCode());
            assertEquals(200, server.get("/ready").statusCode());
            HttpResponse<String> head = server.http.send(
                    server.request("/ready")
                            .method("HEAD", HttpRequest.BodyPublishers.noBody())
                            .build(),
                    HttpResponse.BodyHandlers.ofString());
            assertEquals(200, head.statusCode(), "as load balancers ask");
            assertEquals("", head.body());
            server.fake.ready = false;
            assertEquals(503, server.get("/ready").statusCode());
            assertEquals(
                    "no worker can decode",
                    TestServer.json(server.get("/ready")).path("reason").asText());
            JsonNode cluster = TestServer.json(server.get("/admin/cluster"));
            assertEquals(3, cluster.at("/workers/0/stats/used_blocks").asInt());
            assertEquals("Up", cluster.at("/members/0/status").asText());
        }
    }

    @Test
    void shouldChangeRolesAndDrain() throws Exception {
        try (TestServer server = new TestServer()) {
            JsonNode answer = TestServer.json(server.post("/admin/workers/g0/role", "{'role':'prefill'}"));
            assertEquals("prefill", answer.path("role").asText());
            assertEquals(EngineRole.PREFILL, server.fake.role);
            assertEquals(
                    400, server.post("/admin/workers/g0/role", "{'role':'x'}").statusCode());
            assertEquals(
                    404,
                    server.post("/admin/workers/g9/role", "{'role':'mixed'}").statusCode());
            assertEquals(200, server.post("/admin/workers/g0/drain", "").statusCode());
            assertEquals(200, server.post("/admin/workers/g0/undrain", "").statusCode());
            assertEquals(404, server.get("/admin/requests/none").statusCode());
            assertEquals(
                    403,
                    server.post("/admin/workers/g0/drain", "", "Origin", "http://elsewhere")
                            .statusCode());
        }
    }

    /** Answers may run for longer than a connection is kept waiting. */
    @Test
    void shouldWaitOnForADrainThatIsAskedForAgain() throws Exception {
        try (TestServer server = new TestServer("tandem.http.generation-timeout = 1 s")) {
            server.fake.idle = new CompletableFuture<>();
            HttpResponse<String> late = server.post("/admin/workers/g0/drain", "");
            assertEquals(504, late.statusCode());
            String why = TestServer.json(late).at("/error/message").asText();
            assertTrue(why.startsWith("Not done within ") && why.contains("again waits on"), why);
            server.fake.idle.complete(null);
            HttpResponse<String> drained = server.post("/admin/workers/g0/drain", "");
            assertEquals("drained", TestServer.json(drained).path("status").asText());
        }
    }

    @Test
    void shouldCountWhatHappensInPrometheusForm() throws Exception {
        try (TestServer server = new TestServer()) {
            server.post("/v1/chat/completions", CHAT);
            String text = server.get("/metrics").body();
            for (String line : List.of(
                    "tandem_http_requests_total{route=\"v1/chat/completions\",status=\"200\"} 1.0",
                    "tandem_output_tokens_total 3.0",
                    "tandem_time_to_first_token_seconds_count 1",
                    "tandem_inter_token_latency_seconds_count 2",
                    "tandem_kv_transfer_bytes_total 4096.0",
                    "tandem_kv_direct_blocks_total 3.0",
                    "tandem_generations_total{finish_reason=\"stop\"} 1.0",
                    "tandem_worker_kv_blocks{gpu=\"g0\"} 10.0",
                    "# TYPE tandem_worker_steps_total counter",
                    "tandem_worker_steps_total{gpu=\"g0\"} 100.0",
                    "tandem_worker_computed_tokens_total{gpu=\"g0\"} 200.0",
                    "tandem_worker_generated_tokens_total{gpu=\"g0\"} 50.0",
                    "tandem_worker_cache_hit_tokens_total{gpu=\"g0\"} 20.0",
                    "tandem_worker_preemptions_total{gpu=\"g0\"} 0.0",
                    "# TYPE tandem_supervisor_role_changes_total counter",
                    "tandem_http_active_generation_requests 0.0",
                    "tandem_block_index_blocks 11.0",
                    "tandem_block_events_total 5.0",
                    "tandem_block_event_bytes_total 320.0",
                    "tandem_block_event_gaps_total 2.0",
                    "tandem_route_prediction_error_ratio_bucket{figure=\"ttft\",role=\"mixed\",side=\"under\",le=\"1.0\"} 5",
                    "tandem_route_prediction_error_ratio_count{figure=\"ttft\",role=\"mixed\",side=\"under\"} 6",
                    "process_resident_memory_bytes")) {
                assertTrue(text.contains(line), line + " is missing in\n" + text);
            }
        }
    }

    /** Tokens that were computed and sent, blocks that travelled and workers that were lost count, whatever became of the answer. */
    @Test
    void shouldCountWhatGenerationsTookThatDidNotEndByThemselves() throws Exception {
        try (TestServer server = new TestServer()) {
            server.post("/v1/chat/completions", CHAT);
            server.fake.mode = FakeClient.Mode.FAIL_MIDWAY;
            assertEquals(500, server.post("/v1/chat/completions", CHAT).statusCode());
            server.fake.mode = FakeClient.Mode.FAIL_AT_ONCE;
            assertEquals(500, server.post("/v1/chat/completions", CHAT).statusCode());
            server.fake.mode = FakeClient.Mode.ANSWER;
            server.fake.endless = true;
            leaveAfterThreeTokens(server);
            String cancelled = "tandem_generations_total{finish_reason=\"cancelled\"} 1.0";
            String text = "";
            for (int i = 0; i < 10_000 && !text.contains(cancelled); i++) {
                text = server.get("/metrics").body();
            }
            for (String line : List.of(
                    "tandem_generations_total{finish_reason=\"stop\"} 1.0",
                    "tandem_generations_total{finish_reason=\"error\"} 1.0",
                    cancelled,
                    "tandem_prompt_tokens_total 9.0",
                    "tandem_output_tokens_total 9.0",
                    "tandem_request_resumes_total 6.0",
                    "tandem_kv_checksum_failures_total 3.0",
                    "tandem_kv_transfer_blocks_total 12.0",
                    "tandem_request_seconds_count 1\n")) {
                assertTrue(text.contains(line), line + " is missing in\n" + text);
            }
        }
    }

    private static void leaveAfterThreeTokens(TestServer server) throws Exception {
        var request = server.request("/v1/chat/completions")
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(
                        CHAT.replace('\'', '"').replace("{\"model\"", "{\"stream\":true,\"model\"")))
                .build();
        var answer = server.http.send(request, HttpResponse.BodyHandlers.ofInputStream());
        try (BufferedReader body = new BufferedReader(new InputStreamReader(answer.body(), StandardCharsets.UTF_8))) {
            String line = "";
            while (!line.contains(server.fake.words.getLast())) {
                line = body.readLine();
            }
        }
    }

    @Test
    void shouldAskForTheRightKey() throws Exception {
        try (TestServer server =
                new TestServer("tandem.http { api-keys = [client-key-1], admin-keys = [admin-key-1] }")) {
            assertEquals(401, server.get("/v1/models").statusCode());
            assertEquals(
                    401,
                    server.get("/v1/models", "Authorization", "Bearer wrong").statusCode());
            assertEquals(
                    200,
                    server.get("/v1/models", "Authorization", "Bearer client-key-1")
                            .statusCode());
            assertEquals(
                    401,
                    server.get("/admin/cluster", "Authorization", "Bearer client-key-1")
                            .statusCode());
            assertEquals(
                    200,
                    server.get("/admin/cluster", "Authorization", "bearer admin-key-1")
                            .statusCode());
            assertEquals(200, server.get("/health").statusCode());
            JsonNode error = TestServer.json(server.get("/v1/models")).path("error");
            assertEquals("invalid_api_key", error.path("code").asText());
        }
    }

    /** The answer's status to a request that names the server so. */
    private static int statusAs(TestServer server, String host) throws Exception {
        try (Socket socket = new Socket(
                InetAddress.getLoopbackAddress(), server.server.address().getPort())) {
            socket.getOutputStream()
                    .write(("GET /admin/cluster HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
                            .getBytes(StandardCharsets.US_ASCII));
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return Integer.parseInt(answer.split(" ")[1]);
        }
    }

    /** A page's name may be made to mean 127.0.0.1: to the browser it is of this origin then. */
    @Test
    void shouldAnswerOnLoopbackToItsOwnNamesOnly() throws Exception {
        try (TestServer server = new TestServer("tandem.http.allowed-hosts = [llm.example.com]")) {
            for (String own : List.of(
                    "localhost",
                    "LOCALHOST:8080",
                    "tandem.localhost:1",
                    "127.0.0.1:8080",
                    "127.1.2.3",
                    "[::1]:8080",
                    "llm.example.com",
                    "localhost.:8080")) {
                assertEquals(200, statusAs(server, own), own);
            }
            for (String foreign : List.of(
                    "evil.example",
                    "evil.example:8080",
                    "127.0.0.1.evil.example",
                    "localhost.evil.example",
                    "10.0.0.1",
                    "[::2]:8080")) {
                assertEquals(403, statusAs(server, foreign), foreign);
            }
        }
        try (TestServer keyed = new TestServer("tandem.http.api-keys = [client-key-1]")) {
            assertEquals(401, statusAs(keyed, "evil.example"), "who needs a key is no page's prey");
        }
        try (TestServer half = new TestServer("tandem.http.admin-keys = [admin-key-1]")) {
            assertEquals(403, statusAs(half, "evil.example"), "the model routes are open");
        }
        try (TestServer any = new TestServer("tandem.http.allowed-hosts = [\"*\"]")) {
            assertEquals(200, statusAs(any, "evil.example"));
        }
    }

    @Test
    void shouldNotListenOpenlyWithoutAKey() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> new ApiKeys("0.0.0.0", List.of(), List.of("admin-key-1")));
        assertTrue(e.getMessage().contains("tandem.http.api-keys"), e.getMessage());
    }
}
