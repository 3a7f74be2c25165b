package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.ClusterStatus;
import io.tandem.engine.EngineRole;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Answers that change GPUs while they run: every client gets the tokens of the undisturbed run. */
class LiveMoveTest {
    private static final int MAX_TOKENS = 250;
    private static final int REQUESTS = 12;

    private static EmbeddedCluster cluster;
    private static final List<int[]> PROMPTS = new ArrayList<>();
    private static final List<int[]> EXPECTED = new ArrayList<>();

    @BeforeAll
    static void start() {
        Map<String, String> gpus = new LinkedHashMap<>();
        gpus.put("move-p", "prefill");
        gpus.put("move-d0", "decode");
        gpus.put("move-d1", "decode");
        cluster = new EmbeddedCluster(gpus, Map.of("tandem.routing.split", "on"));
        Random random = new Random(3);
        List<EmbeddedCluster.Answer> undisturbed = new ArrayList<>();
        for (int i = 0; i < REQUESTS; i++) {
            PROMPTS.add(random.ints(20 + 37 * i, 100, 40_000).toArray());
            undisturbed.add(cluster.start(PROMPTS.get(i), MAX_TOKENS));
        }
        undisturbed.forEach(a -> EXPECTED.add(a.tokens()));
    }

    @AfterAll
    static void stop() {
        if (cluster != null) {
            cluster.close();
        }
    }

    private static List<EmbeddedCluster.Answer> load() {
        List<EmbeddedCluster.Answer> answers = new ArrayList<>();
        PROMPTS.forEach(p -> answers.add(cluster.start(p, MAX_TOKENS)));
        Poll.until(
                "every answer to have begun",
                () -> answers.stream().allMatch(a -> a.received() >= 5),
                () -> cluster.status().toString());
        return answers;
    }

    private static void assertUndisturbed(List<EmbeddedCluster.Answer> answers) {
        for (int i = 0; i < answers.size(); i++) {
            assertArrayEquals(EXPECTED.get(i), answers.get(i).tokens(), "answer " + i);
        }
        cluster.awaitIdle();
    }

    private static int resumes(List<EmbeddedCluster.Answer> answers) {
        return answers.stream()
                .mapToInt(a -> a.finished.get().report().resumes())
                .sum();
    }

    private static int decoding(String gpu) {
        return cluster.worker(gpu).stats().running();
    }

    @Test
    void shouldDrainAWorkerByMovingItsAnswersWhileTheyRun() {
        List<EmbeddedCluster.Answer> answers = load();
        Poll.until(
                "decodes",
                () -> decoding("move-d0") + decoding("move-d1") > 0,
                () -> cluster.status().toString());
        // Where they run is the router's choice: all may go where their prompts are cached.
        String drained = decoding("move-d0") > 0 ? "move-d0" : "move-d1";
        String other = drained.equals("move-d0") ? "move-d1" : "move-d0";
        cluster.client().drain(drained).toCompletableFuture().join();
        assertTrue(answers.stream().anyMatch(a -> a.received() < MAX_TOKENS), "it did not just wait for their end");
        assertUndisturbed(answers);
        assertEquals(0, resumes(answers), "nothing was computed again");
        assertTrue(answers.stream()
                .anyMatch(a -> a.finished.get().report().routingReason().contains("moved")
                        || a.finished.get().report().decodeGpu().equals(other)));
        long frozen = cluster.worker(drained).stats().generatedTokens();
        assertUndisturbed(load());
        assertEquals(frozen, cluster.worker(drained).stats().generatedTokens(), "no new work while drained");
        cluster.client().undrain(drained).toCompletableFuture().join();
    }

    @Test
    void shouldFlipRolesUnderLoadAndMoveWhatTheNewRoleDoesNotWant() {
        List<EmbeddedCluster.Answer> answers = load();
        EngineRole role = cluster.client()
                .setRole("move-d1", EngineRole.PREFILL)
                .toCompletableFuture()
                .join();
        assertEquals(EngineRole.PREFILL, role);
        Poll.until(
                "its decodes to move",
                () -> decoding("move-d1") == 0,
                () -> cluster.status().toString());
        assertTrue(answers.stream().anyMatch(a -> a.received() < MAX_TOKENS), "they did not just end");
        cluster.client()
                .setRole("move-p", EngineRole.DECODE)
                .toCompletableFuture()
                .join();
        List<EmbeddedCluster.Answer> more = load();
        cluster.client()
                .setRole("move-p", EngineRole.PREFILL)
                .toCompletableFuture()
                .join();
        cluster.client()
                .setRole("move-d1", EngineRole.DECODE)
                .toCompletableFuture()
                .join();
        assertUndisturbed(answers);
        assertUndisturbed(more);
        assertEquals(0, resumes(answers) + resumes(more), "nothing was computed again");
    }

    @Test
    void shouldRestartEveryWorkerNodeUnderLoadWithoutLosingOrRepeatingAToken() {
        for (String node : List.of("move-d0", "move-p", "move-d1")) {
            List<EmbeddedCluster.Answer> answers = load();
            cluster.restart(node);
            assertUndisturbed(answers);
        }
    }

    @Test
    void shouldKnowRolesAndTheirAgeAfterTheSupervisorMoves() {
        cluster.client()
                .setRole("move-d1", EngineRole.MIXED)
                .toCompletableFuture()
                .join();
        Poll.until(
                "the role to show",
                () -> cluster.worker("move-d1").role() == EngineRole.MIXED,
                () -> cluster.status().toString());
        String before = cluster.status().supervisor().node();
        List<EmbeddedCluster.Answer> answers = load();
        cluster.stop("first");
        Poll.until(
                "another supervisor",
                () -> !cluster.status().supervisor().node().equals(before),
                () -> cluster.status().supervisor().toString());
        assertUndisturbed(answers);
        ClusterStatus status = cluster.status();
        assertNotEquals(before, status.supervisor().node());
        assertEquals(EngineRole.MIXED, cluster.worker("move-d1").role());
        assertEquals(
                EngineRole.DECODE,
                cluster.client()
                        .setRole("move-d1", EngineRole.DECODE)
                        .toCompletableFuture()
                        .join());
        cluster.restartFirst();
    }
}
