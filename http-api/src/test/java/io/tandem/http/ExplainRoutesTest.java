package io.tandem.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpResponse;
import org.junit.jupiter.api.Test;

/** Where a request went and why: in a header when asked, and afterwards; sessions on their way to the router. */
class ExplainRoutesTest {
    private static final String CHAT = "/v1/chat/completions";
    private static final String HEADER = "x-tandem-decision";

    private static String chat(String more) {
        return "{'model':'org/tiny','messages':[{'role':'user','content':'hi'}]" + more + "}";
    }

    @Test
    void shouldSayTheDecisionInAHeaderOnlyWhenAsked() throws Exception {
        try (TestServer server = new TestServer()) {
            for (String more : new String[] {"", ",'stream':true"}) {
                HttpResponse<String> asked = server.post(CHAT, chat(more), "X-Tandem-Explain", "true");
                JsonNode decision = TestServer.MAPPER.readTree(
                        asked.headers().firstValue(HEADER).orElseThrow());
                assertEquals("g0", decision.path("prefill_gpu").asText());
                assertEquals(1.5, decision.path("predicted_ttft_ms").asDouble());
                assertEquals("split: least cost", decision.path("reason").asText());
                assertFalse(server.post(CHAT, chat(more))
                        .headers()
                        .firstValue(HEADER)
                        .isPresent());
            }
        }
    }

    @Test
    void shouldKeepEveryPlanThatWasWeighedWithTheRequest() throws Exception {
        try (TestServer server = new TestServer()) {
            server.post(CHAT, chat(""));
            JsonNode kept = TestServer.json(server.get("/admin/requests/chatcmpl-r1"));
            assertEquals("g1", kept.path("decode_gpu").asText());
            assertEquals(1, kept.at("/decisions/0/attempt").asInt());
            assertEquals(1.5, kept.at("/decisions/0/since_ms").asDouble());
            assertEquals("worker g1 is lost", kept.at("/decisions/0/ended").asText());
            assertTrue(kept.at("/decisions/0/plans/0/chosen").asBoolean());
            assertFalse(kept.at("/decisions/0/plans/1/chosen").asBoolean());
            assertEquals(6.0, kept.at("/decisions/0/plans/1/cost_ms").asDouble());
            assertEquals(2.0, kept.at("/decisions/0/plans/0/transfer_ms").asDouble());
            assertEquals(0.0, kept.at("/decisions/0/plans/0/slow_ms").asDouble(-1));
            assertEquals(7.25, kept.at("/decisions/0/plans/0/predicted_itl_ms").asDouble());
            assertEquals(2.0, kept.at("/decisions/0/observed_ttft_ms").asDouble());
            assertTrue(kept.at("/decisions/0/observed_itl_ms").isNull(), "too few tokens to tell");
        }
    }

    @Test
    void shouldExplainARequestThatStillRuns() throws Exception {
        try (TestServer server = new TestServer()) {
            server.fake.ids.set(7);
            JsonNode running = TestServer.json(server.get("/admin/requests/r7"));
            assertTrue(running.path("running").asBoolean());
            assertEquals("g0", running.at("/decisions/0/plans/0/prefill_gpu").asText());
            assertEquals(404, server.get("/admin/requests/r8").statusCode());
        }
    }

    @Test
    void shouldHandTheSessionOnFromHeaderOrBody() throws Exception {
        try (TestServer server = new TestServer()) {
            server.post(CHAT, chat(""));
            server.post(CHAT, chat(",'prompt_cache_key':'a'"));
            server.post(CHAT, chat(",'prompt_cache_key':'a'"), "X-Tandem-Session", "b");
            assertEquals("", server.fake.requests.get(0).session());
            assertEquals("a", server.fake.requests.get(1).session());
            assertEquals("b", server.fake.requests.get(2).session());
            String tooLong = "x".repeat(257);
            HttpResponse<String> refused = server.post(CHAT, chat(",'prompt_cache_key':'" + tooLong + "'"));
            assertEquals(400, refused.statusCode());
            assertEquals(
                    "prompt_cache_key",
                    TestServer.json(refused).at("/error/param").asText());
            assertEquals(
                    400,
                    server.post(CHAT, chat(""), "X-Tandem-Session", tooLong).statusCode());
        }
    }
}
