package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.cluster.Golden.Row;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Answers that change GPUs while they run, in JVMs of their own: every client gets the tokens of the undisturbed run. Minutes of
 * computing on a small host, so not in the daily run, which has {@link LiveMoveTest}: {@code ./tandem test
 * -Dtandem.test.excludedGroups= -Dtest=LiveMoveClusterTest -Dsurefire.failIfNoSpecifiedTests=false}.
 */
@Tag("slow")
class LiveMoveClusterTest {
    private static final int MAX_TOKENS = 160;
    private static final int REQUESTS = 4;
    private static final int PROMPT_TOKENS = 240;

    @TempDir
    static Path directory;

    private static ForkedCluster cluster;
    private static Streams streams;
    private static final List<int[]> EXPECTED = new ArrayList<>();

    @BeforeAll
    static void start() {
        cluster = ForkedCluster.start(directory, Golden.modelFile(), 1, 2);
        streams = new Streams(cluster);
        List<Integer> all = IntStream.range(0, REQUESTS).boxed().toList();
        EXPECTED.addAll(Concurrently.map(
                all, i -> Api.tokenIds(cluster.api().complete(cluster.model(), prompt(i), MAX_TOKENS))));
    }

    @AfterAll
    static void stop() {
        if (cluster != null) {
            streams.close();
            cluster.close();
        }
    }

    private static int[] prompt(int i) {
        Row row = Golden.rows("long.jsonl").getFirst();
        return Arrays.copyOf(row.prompt(), PROMPT_TOKENS - i);
    }

    private static List<Streams.Answer> load() {
        List<Streams.Answer> answers = new ArrayList<>();
        for (int i = 0; i < REQUESTS; i++) {
            answers.add(streams.start(prompt(i), MAX_TOKENS));
        }
        Poll.until(
                "every answer to have begun",
                () -> answers.stream().allMatch(a -> a.received() >= 5),
                () -> "received "
                        + answers.stream().map(Streams.Answer::received).toList());
        return answers;
    }

    private static void assertUndisturbed(List<Streams.Answer> answers) {
        for (int i = 0; i < answers.size(); i++) {
            assertArrayEquals(EXPECTED.get(i), answers.get(i).tokens(), "answer " + i);
            assertEquals(
                    EXPECTED.get(i).length == MAX_TOKENS ? "length" : "stop",
                    answers.get(i).finish());
        }
        cluster.awaitNothingHeld();
    }

    private static long steps(String gpu) {
        return cluster.worker(gpu).path("stats").path("generated_tokens").asLong();
    }

    @Test
    void shouldDrainAWorkerByMovingItsAnswersToAnother() {
        List<Streams.Answer> answers = load();
        String busy = cluster.busyDecodeWorker();
        cluster.drain(busy);
        int received = answers.stream().mapToInt(Streams.Answer::received).sum();
        assertTrue(
                received < EXPECTED.stream().mapToInt(e -> e.length).sum(),
                "the drain did not just wait for the answers to end");
        JsonNode stats = cluster.worker(busy).path("stats");
        assertEquals(0, stats.path("running").asInt() + stats.path("reserved").asInt());
        assertUndisturbed(answers);
        long frozen = steps(busy);
        assertArrayEquals(
                EXPECTED.getFirst(), Api.tokenIds(cluster.api().complete(cluster.model(), prompt(0), MAX_TOKENS)));
        assertEquals(frozen, steps(busy), "a drained worker gets no work");
        cluster.undrain(busy);
    }

    @Test
    void shouldFlipADecodeWorkerToPrefillAndBackUnderLoad() {
        List<Streams.Answer> answers = load();
        String busy = cluster.busyDecodeWorker();
        cluster.setRole(busy, "prefill");
        Poll.until(
                "its decodes to move",
                () -> cluster.worker(busy).path("stats").path("running").asInt() == 0,
                () -> cluster.worker(busy).toString());
        cluster.setRole(busy, "decode");
        cluster.setRole("prefill-0", "decode");
        cluster.setRole("prefill-0", "prefill");
        assertUndisturbed(answers);
    }

    @Test
    void shouldRestartEveryWorkerNodeUnderLoadWithoutLosingAToken() {
        for (String node : List.of("decode-0", "prefill-0", "decode-1")) {
            List<Streams.Answer> answers = load();
            cluster.restart(node);
            assertUndisturbed(answers);
        }
    }

    @Test
    void shouldKeepTheTokensWhenEitherSideDiesDuringADrain() {
        List<Streams.Answer> answers = load();
        String busy = cluster.busyDecodeWorker();
        Thread drain = Thread.ofVirtual().start(() -> cluster.api().post("/admin/workers/" + busy + "/drain", "{}"));
        cluster.killAndRestart(busy.equals("decode-0") ? "decode-1" : "decode-0");
        assertUndisturbed(answers);
        cluster.undrain(busy);
        List<Streams.Answer> again = load();
        String source = cluster.busyDecodeWorker();
        Thread second = Thread.ofVirtual().start(() -> cluster.api().post("/admin/workers/" + source + "/drain", "{}"));
        cluster.killAndRestart(source);
        assertUndisturbed(again);
        drain.interrupt();
        second.interrupt();
    }
}
