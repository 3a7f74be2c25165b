package io.tandem.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.GenerationException;
import io.tandem.http.security.Tenants;
import java.net.http.HttpResponse;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Service tiers, tenants and refusals as clients see them. */
class AdmissionRoutesTest {
    private static final String CHAT = "/v1/chat/completions";
    private static final String KEYS = "tandem.http.api-keys = [key-of-alice, key-of-bob]";
    private static final String ADMIN = "tandem.http.admin-keys = [key-of-root]";

    private static String chat(String more) {
        return "{'model':'org/tiny','messages':[{'role':'user','content':'hi'}]" + more + "}";
    }

    private static String lastTier(TestServer server) {
        return server.fake.requests.getLast().serviceTier();
    }

    private static String lastTenant(TestServer server) {
        return server.fake.requests.getLast().tenant();
    }

    @Test
    void shouldPassTheTierOnAndEchoTheClassThatServes() throws Exception {
        try (TestServer server = new TestServer()) {
            JsonNode priority = TestServer.json(server.post(CHAT, chat(",'service_tier':'priority'")));
            assertEquals("priority", priority.path("service_tier").asText());
            assertEquals("priority", lastTier(server));
            JsonNode auto = TestServer.json(server.post(CHAT, chat(",'service_tier':'auto'")));
            assertEquals("default", auto.path("service_tier").asText());
            assertEquals("default", lastTier(server));
            JsonNode none = TestServer.json(server.post(CHAT, chat("")));
            assertFalse(none.has("service_tier"), "only where it was asked for");
            assertEquals("", lastTier(server));
            String stream = server.post(CHAT, chat(",'stream':true,'service_tier':'priority'"))
                    .body();
            long events = stream.lines().filter(l -> l.startsWith("data: {")).count();
            long tiers = stream.lines()
                    .filter(l -> l.contains("\"service_tier\":\"priority\""))
                    .count();
            assertTrue(events > 0 && events == tiers, stream);
        }
    }

    @Test
    void shouldRefuseATierThatDoesNotExistAndNameThoseThatDo() throws Exception {
        try (TestServer server = new TestServer()) {
            HttpResponse<String> refused = server.post(CHAT, chat(",'service_tier':'gold'"));
            assertEquals(400, refused.statusCode());
            JsonNode error = TestServer.json(refused).path("error");
            assertEquals("service_tier", error.path("param").asText());
            String message = error.path("message").asText();
            assertTrue(message.contains("'gold'") && message.contains("priority, default"), message);
            assertEquals(400, server.post(CHAT, chat(",'service_tier':7")).statusCode());
            assertEquals(400, server.post(CHAT, chat(",'service_tier':''")).statusCode());
            assertTrue(server.fake.requests.isEmpty());
        }
    }

    @Test
    void shouldAnswerARefusalByPredictionWith429AndItsFigures() throws Exception {
        try (TestServer server = new TestServer()) {
            server.fake.failure = new GenerationException(
                    "service_tier 'priority' promises a first token within 500 ms, and 2340 ms are predicted",
                    2,
                    new GenerationException.Refusal("priority", "ttft", 2340, 500, 12, 50));
            for (FakeClient.Mode mode : List.of(FakeClient.Mode.FAIL_AT_ONCE, FakeClient.Mode.FAIL_ACCEPTED)) {
                server.fake.mode = mode;
                for (String stream : List.of("", ",'stream':true")) {
                    HttpResponse<String> refused = server.post(CHAT, chat(",'service_tier':'priority'" + stream));
                    assertEquals(429, refused.statusCode(), mode + stream);
                    assertEquals(
                            "2", refused.headers().firstValue("Retry-After").orElse(""));
                    JsonNode error = TestServer.json(refused).path("error");
                    assertEquals("rate_limit_exceeded", error.path("code").asText());
                    assertTrue(error.path("message").asText().contains("2340 ms are predicted"));
                    assertEquals("priority", error.at("/tandem/service_tier").asText());
                    assertEquals("ttft", error.at("/tandem/reason").asText());
                    assertEquals(2340, error.at("/tandem/predicted_ttft_ms").asDouble());
                    assertEquals(500, error.at("/tandem/ttft_target_ms").asDouble());
                    assertEquals(50, error.at("/tandem/itl_target_ms").asDouble());
                }
            }
        }
    }

    @Test
    void shouldTakeTheTenantFromTheKeyWhereThereAreKeys() throws Exception {
        try (TestServer server = new TestServer(KEYS, ADMIN)) {
            server.post(CHAT, chat(",'user':'mallory'"), "Authorization", "Bearer key-of-alice", Tenants.HEADER, "bob");
            String alice = lastTenant(server);
            assertTrue(alice.matches("key-[0-9a-f]{8}"), alice);
            assertFalse(alice.contains("alice"), "the key itself is nowhere");
            server.post(CHAT, chat(""), "Authorization", "Bearer key-of-bob");
            assertNotEquals(alice, lastTenant(server));
            server.post(CHAT, chat(""), "Authorization", "Bearer key-of-root", Tenants.HEADER, "team-7");
            assertEquals("team-7", lastTenant(server), "an admin key may act for others");
        }
    }

    @Test
    void shouldTakeTheTenantFromTheHeaderOrTheUserWhereThereAreNoKeys() throws Exception {
        try (TestServer server = new TestServer()) {
            server.post(CHAT, chat(""));
            assertEquals("", lastTenant(server));
            server.post(CHAT, chat(",'user':'u-1'"));
            assertEquals("u-1", lastTenant(server));
            server.post(CHAT, chat(",'user':'u-1'"), Tenants.HEADER, "team-7");
            assertEquals("team-7", lastTenant(server));
        }
    }

    @Test
    void shouldBoundTenantsNamesAndKeepThemApart() {
        String a = Tenants.named("x".repeat(100) + "a");
        String b = Tenants.named("x".repeat(100) + "b");
        assertEquals(64, a.length());
        assertNotEquals(a, b);
        assertNotEquals(Tenants.named("a b"), Tenants.named("a_b"));
        assertFalse(Tenants.named("evil\"\n").contains("\n"));
        assertEquals("plain@host", Tenants.named("plain@host"));
    }

    @Test
    void shouldShowTheDoorInMetricsAndInTheCluster() throws Exception {
        try (TestServer server = new TestServer()) {
            String text = server.get("/metrics").body();
            for (String line : List.of(
                    "tandem_admission_requests_total{class=\"priority\",outcome=\"rejected_ttft\",tenant=\"key-00000000\"} 7.0",
                    "tandem_admission_queued_requests{class=\"default\"} 3.0",
                    "tandem_admission_running_requests{class=\"default\"} 4.0",
                    "tandem_admission_ttft_target_seconds{class=\"default\"} 0.5",
                    "tandem_admission_queue_seconds_bucket{class=\"priority\",le=\"0.1\"} 5",
                    "tandem_admission_queue_seconds_bucket{class=\"priority\",le=\"1.0\"} 7",
                    "tandem_admission_queue_seconds_bucket{class=\"priority\",le=\"+Inf\"} 8",
                    "tandem_admission_queue_seconds_sum{class=\"priority\"} 4.5")) {
                assertTrue(text.contains(line), line + " is missing in\n" + text);
            }
            JsonNode admission = TestServer.json(server.get("/admin/cluster")).path("admission");
            assertEquals("default", admission.path("default_class").asText());
            assertEquals(3, admission.at("/classes/0/queued").asInt());
            assertEquals("key-00000000", admission.at("/tenants/0/name").asText());
            assertEquals(7, admission.at("/outcomes/0/count").asInt());
        }
    }
}
