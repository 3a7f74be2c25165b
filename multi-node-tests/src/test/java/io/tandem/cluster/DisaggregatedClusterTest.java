package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.cluster.Golden.Row;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.io.TempDir;

/**
 * An API node, a prefill worker and a decode worker in three JVMs, with the real model over real Aeron; in the end another
 * decode worker joins, and the first one is killed. One cluster for all tests: to start it costs more than they do.
 */
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class DisaggregatedClusterTest {
    private static final double FLOAT32_MARGIN = 0.01;
    private static final int FLIPPED_TOKENS = 40;
    private static final int LOSS_PROMPT_TOKENS = 200;
    private static final int LOSS_TOKENS = 80;

    @TempDir
    static Path directory;

    private static ForkedCluster cluster;
    private static List<Row> rows;

    @BeforeAll
    static void startCluster() {
        rows = Golden.rows("greedy.jsonl");
        cluster = ForkedCluster.start(directory, Golden.modelFile(), 1, 1);
    }

    @AfterAll
    static void stopCluster() {
        if (cluster != null) {
            cluster.close();
        }
    }

    @AfterEach
    void everyBlockIsFree() {
        cluster.awaitNothingHeld();
    }

    @Test
    void shouldAnswerWithTheReferenceTokensThroughPrefillAndDecodeWorkers() {
        List<Row> some = rows.subList(0, 8);
        List<JsonNode> answers =
                Concurrently.map(some, row -> cluster.api().complete(cluster.model(), row.prompt(), row.ids().length));
        for (int i = 0; i < some.size(); i++) {
            Row row = some.get(i);
            JsonNode answer = answers.get(i);
            int steps = row.certainSteps(FLOAT32_MARGIN);
            assertArrayEquals(
                    Arrays.copyOf(row.ids(), steps), Arrays.copyOf(Api.tokenIds(answer), steps), "row " + row.number());
            JsonNode report = answer.path("tandem");
            assertEquals("prefill-0", report.path("prefill_gpu").asText(), report.toString());
            assertEquals("decode-0", report.path("decode_gpu").asText(), report.toString());
            assertEquals(0, report.path("checksum_failures").asInt());
            assertTrue(report.path("split").asBoolean(), report.toString());
        }
    }

    @Test
    void shouldMoveTheKvOfALongPromptAndContinueItExactly() {
        Row row = Golden.rows("long.jsonl").getFirst();
        JsonNode answer = cluster.api().complete(cluster.model(), row.prompt(), row.ids().length);
        int steps = row.certainSteps(FLOAT32_MARGIN);
        assertArrayEquals(Arrays.copyOf(row.ids(), steps), Arrays.copyOf(Api.tokenIds(answer), steps));
        int blocks = answer.path("tandem").path("kv_blocks").asInt();
        int all = (row.prompt().length + 15) / 16;
        // Other tests' prompts begin alike: a few leading blocks may be there already.
        assertTrue(blocks <= all && blocks >= all - 4, answer.path("tandem").toString());
        assertTrue(answer.path("tandem").path("kv_bytes").asLong() > 0);

        JsonNode again = cluster.api().complete(cluster.model(), row.prompt(), row.ids().length);
        assertArrayEquals(Api.tokenIds(answer), Api.tokenIds(again));
        assertTrue(
                again.path("tandem").path("kv_blocks").asInt() < blocks,
                "blocks the decode worker has already must not be sent again: " + again.path("tandem"));
    }

    @Test
    void shouldNotChangeATokenWhenRolesFlipWhileRequestsRun() throws Exception {
        List<Row> some = rows.subList(8, 14);
        Function<Row, int[]> ask =
                row -> Api.tokenIds(cluster.api().complete(cluster.model(), row.prompt(), FLIPPED_TOKENS));
        List<int[]> plain = Concurrently.map(some, ask);
        List<int[]> flipped = Concurrently.map(some, ask, () -> {
            String[] roles = {"decode", "prefill", "mixed", "prefill"};
            String[] opposite = {"prefill", "decode", "mixed", "decode"};
            for (int i = 0; i < roles.length; i++) {
                cluster.setRole("prefill-0", roles[i]);
                cluster.setRole("decode-0", opposite[i]);
            }
        });
        for (int i = 0; i < some.size(); i++) {
            assertArrayEquals(plain.get(i), flipped.get(i), "row " + some.get(i).number());
        }
    }

    @Test
    void shouldFreeAllBlocksOnBothSidesWhenAClientGoesAway() throws IOException {
        Row row = Golden.rows("long.jsonl").get(1);
        try (InputStream stream = cluster.api().openStream(Api.completion(cluster.model(), row.prompt(), 400, true))) {
            byte[] first = stream.readNBytes(20);
            assertTrue(new String(first, StandardCharsets.UTF_8).startsWith("data: "), "a token arrived first");
            Poll.until("the running request's blocks to show", () -> cluster.blocksInUse() > 0, () -> "none in use");
        }
        cluster.awaitNothingHeld();
    }

    @Test
    void shouldAnswerBadInputWithTheRightErrorAndLeakNothing() {
        String model = cluster.model();
        assertError(400, cluster.api().post("/v1/chat/completions", ""));
        assertError(400, cluster.api().post("/v1/chat/completions", "{\"model\": 7, \"messages\": []}"));
        assertError(400, cluster.api().post("/v1/completions", "{\"model\":\"" + model + "\",\"prompt\":{}}"));
        assertError(
                400,
                cluster.api()
                        .post(
                                "/v1/completions",
                                "{\"model\":\"" + model + "\",\"prompt\":\"a\",\"max_tokens\":\"x\"}"));
        assertError(404, cluster.api().post("/v1/completions", "{\"model\":\"nobody\",\"prompt\":\"a\"}"));
        assertError(404, cluster.api().get("/v1/nothing"));
        byte[] badUtf8 = "{\"model\":\"x\",\"prompt\":\"\u00ff\"}".getBytes(StandardCharsets.ISO_8859_1);
        assertError(400, cluster.api().post("/v1/completions", badUtf8, "application/json"));
        assertError(413, cluster.api().post("/v1/completions", new byte[10 << 20], "application/json"));
        int[] tooLong = new int[10_000];
        Arrays.fill(tooLong, 42);
        assertError(
                400,
                cluster.api()
                        .post(
                                "/v1/completions",
                                Api.completion(model, tooLong, 4, false).toString()));
        assertError(
                400,
                cluster.api()
                        .post(
                                "/v1/completions",
                                Api.completion(model, new int[] {1 << 30}, 4, false)
                                        .toString()));
        cluster.awaitNothingHeld();
    }

    @Test
    @Order(Integer.MAX_VALUE)
    void shouldFinishOnAnotherWorkerWithExactlyTheSameTokensWhenTheFirstIsKilled() {
        cluster.add("decode-1", "decode");
        int[] prompt = Arrays.copyOf(Golden.rows("long.jsonl").getLast().prompt(), LOSS_PROMPT_TOKENS);
        int[] undisturbed = Api.tokenIds(cluster.api().complete(cluster.model(), prompt, LOSS_TOKENS));
        try (Streams streams = new Streams(cluster)) {
            Streams.Answer answer = streams.start(prompt, LOSS_TOKENS);
            Poll.until("some tokens", () -> answer.received() >= 10, () -> answer.received() + " tokens");
            cluster.kill(cluster.busyDecodeWorker());
            assertTrue(answer.received() < LOSS_TOKENS, "it was killed before the end");
            assertArrayEquals(undisturbed, answer.tokens());
            assertEquals(undisturbed.length == LOSS_TOKENS ? "length" : "stop", answer.finish());
        }
    }

    private static void assertError(int status, HttpResponse<String> response) {
        assertEquals(status, response.statusCode(), response.body());
        JsonNode error = Api.parse(response.body()).path("error");
        assertTrue(error.path("message").asText().length() > 10, response.body());
        assertTrue(error.has("type") && error.has("param") && error.has("code"), response.body());
    }
}
