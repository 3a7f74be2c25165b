package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.ClusterStatus;
import io.tandem.engine.EngineRole;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;

/** The supervisor changes roles while the traffic turns from long prompts to long answers; no answer is lost or changed. */
class SupervisorActTest {
    /**
     * A prompt token takes 40 us, a decode of n sequences 4 + 2n ms: one worker takes 25,000 prompt tokens a second, and yields 450
     * output tokens a second at the target between tokens.
     */
    private static final Map<String, Object> SETTINGS = Map.ofEntries(
            Map.entry("tandem.simulated.prompt-token-micros", 40),
            Map.entry("tandem.simulated.sequence-micros", 2000),
            Map.entry("tandem.routing.split", "on"),
            // What the layout cannot serve in time is to wait for the layout here, not to be refused.
            Map.entry("tandem.admission.enabled", "off"),
            Map.entry("tandem.supervisor.mode", "act"),
            Map.entry("tandem.supervisor.interval", "200ms"),
            Map.entry("tandem.supervisor.demand-half-life", "2s"),
            Map.entry("tandem.supervisor.min-dwell", "2s"),
            Map.entry("tandem.supervisor.settle-time", "2s"),
            Map.entry("tandem.supervisor.confirmations", 2),
            Map.entry("tandem.supervisor.ttft-target", "300ms"),
            Map.entry("tandem.supervisor.itl-target", "40ms"));

    private static final int GUARD_SECONDS = 60;

    private final SimulatedAnswers known = new SimulatedAnswers(ModelFile.path(), 7);
    private final Random random = new Random(7);
    private final List<int[]> expected = new ArrayList<>();
    private final List<EmbeddedCluster.Answer> answers = new ArrayList<>();

    @Test
    void shouldFollowTrafficThatDriftsFromPromptsToAnswersAndKeepEveryToken() {
        Map<String, String> gpus = new LinkedHashMap<>();
        gpus.put("act-0", "prefill");
        gpus.put("act-1", "decode");
        gpus.put("act-2", "decode");
        try (EmbeddedCluster cluster = new EmbeddedCluster(gpus, SETTINGS)) {
            load(cluster, 12, 2_000, 4, () -> count(cluster, EngineRole.DECODE) < 2);
            // A change counts once it is done, which is told with the supervisor's next report.
            Poll.until(
                    "the first change to be told",
                    () -> cluster.status().supervisor().changes() > 0,
                    () -> cluster.status().toString());
            long changes = cluster.status().supervisor().changes();
            load(
                    cluster,
                    6,
                    30,
                    200,
                    () -> cluster.status().supervisor().changes() > changes
                            && count(cluster, EngineRole.DECODE) + count(cluster, EngineRole.MIXED) >= 2);
            for (int i = 0; i < answers.size(); i++) {
                assertArrayEquals(expected.get(i), answers.get(i).tokens(), "answer " + i);
            }
            assertTrue(answers.size() > 20, answers.size() + " requests");
            cluster.awaitIdle();
        }
    }

    private static long count(EmbeddedCluster cluster, EngineRole role) {
        return cluster.status().workers().stream()
                .filter(ClusterStatus.Worker::live)
                .filter(w -> w.role() == role)
                .count();
    }

    /** Requests at a steady rate until something has come about. */
    private void load(
            EmbeddedCluster cluster, int perSecond, int promptTokens, int outputTokens, BooleanSupplier until) {
        long start = System.nanoTime();
        for (int sent = 0; !until.getAsBoolean(); sent++) {
            assertTrue(sent < GUARD_SECONDS * perSecond, () -> "the roles stay as they are: " + cluster.status());
            int[] prompt = random.ints(promptTokens, 100, 40_000).toArray();
            expected.add(known.answer(prompt, outputTokens));
            answers.add(cluster.start(prompt, outputTokens));
            LockSupport.parkNanos(start + (sent + 1) * TimeUnit.SECONDS.toNanos(1) / perSecond - System.nanoTime());
        }
    }
}
