package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Nodes in JVMs of their own die by SIGKILL, hang by SIGSTOP, leave by SIGTERM and come back, under load: no request is lost,
 * no token is wrong, no block stays in use. The engine is simulated: its tokens depend on the KV before them. The short run
 * is part of the daily tests; docs/benchmarks/faults.md has the long one's command and figures.
 */
class ChaosTest {
    /** Requests of the long run at least, rounds of its strikes, and clients. */
    private static final int REQUESTS = Integer.getInteger("tandem.chaos.requests", 10_000);

    private static final int ROUNDS = Integer.getInteger("tandem.chaos.rounds", 2);
    private static final int CLIENTS = Integer.getInteger("tandem.chaos.clients", 32);
    private static final long SEED = Long.getLong("tandem.chaos.seed", 1);

    /** HOCON over the settings below, to compare. */
    private static final String MORE_SETTINGS = System.getProperty("tandem.chaos.settings", "");

    /**
     * Workers are given up after a second of silence, which is what decides the gap. Members are given up later: a pause of a
     * whole process must not end nodes whose requests would end with them.
     */
    static final String SETTINGS = """
            tandem.compute { backend = simulated, warm-up = 0s }
            tandem.simulated { step-micros = 5000, prompt-token-micros = 20, sequence-micros = 10 }
            tandem.engine { kv-blocks = 4096, max-sequences = 32, verify-each-step = on }
            tandem.node.worker-timeout = 1s
            tandem.worker.report-interval = 100ms
            tandem.request { retry-delay = 50ms, ask-interval = 500ms }
            tandem.supervisor.mode = off
            pekko.cluster {
              failure-detector.acceptable-heartbeat-pause = 4s
              seed-node-timeout = 5s
            }
            """;

    /** On a small host workers compute for each other's cores: a second of silence is no sign of death. */
    private static final String CPU_SETTINGS = """
            tandem.routing.policy = least-loaded
            tandem.node.worker-timeout = 3s
            tandem.supervisor.mode = off
            pekko.cluster {
              failure-detector.acceptable-heartbeat-pause = 6s
              seed-node-timeout = 5s
            }
            """;

    @TempDir
    static Path directory;

    private static ForkedCluster start(List<String> apis, List<String> workers) {
        return start(apis, workers, SETTINGS, ForkedCluster.NO_COMPUTE_FLAGS);
    }

    private static ForkedCluster start(List<String> apis, List<String> workers, String settings, List<String> flags) {
        Map<String, String> gpus = new LinkedHashMap<>();
        workers.forEach(w -> gpus.put(w, w.substring(0, w.indexOf('-'))));
        return ForkedCluster.start(
                directory,
                new ForkedCluster.Plan(ModelFile.path(), apis, gpus, settings + MORE_SETTINGS, flags, Hosts.LOOPBACK));
    }

    private static VerifiedLoad load(ForkedCluster cluster) {
        return new VerifiedLoad(cluster, new SimulatedAnswers(ModelFile.path(), SEED)::question);
    }

    @Test
    void shouldLoseNothingWhenAWorkerIsKilledAndAnotherHangs() {
        try (ForkedCluster cluster = start(List.of("api"), List.of("prefill-0", "mixed-0", "decode-0"))) {
            VerifiedLoad load = load(cluster);
            Strikes strikes = new Strikes(cluster, load, 40);
            load.run(8, 0, () -> {
                strikes.kill("decode-0");
                strikes.hang("prefill-0", 2_500);
            });
            check(cluster, load, strikes);
            assertTrue(load.answered().stream().anyMatch(a -> a.resumes() > 0), strikes.table());
        }
    }

    @Test
    @Tag("slow")
    @Timeout(value = 60, unit = TimeUnit.MINUTES)
    void shouldLoseNothingWhenEveryKindOfNodeDiesUnderLoad() {
        List<String> workers = List.of("prefill-0", "prefill-1", "decode-0", "decode-1", "mixed-0");
        try (ForkedCluster cluster = start(List.of("api-0", "api-1"), workers)) {
            VerifiedLoad load = load(cluster);
            Strikes strikes = new Strikes(cluster, load, REQUESTS / (ROUNDS * 10));
            load.run(CLIENTS, REQUESTS, () -> {
                for (int round = 0; round < ROUNDS; round++) {
                    strikes.kill("decode-0");
                    strikes.kill("prefill-0");
                    strikes.kill("mixed-0");
                    strikes.hang("decode-1", 3_000);
                    strikes.hang("prefill-1", 20_000);
                    strikes.kill("api-1");
                    strikes.killSupervisor();
                }
            });
            check(cluster, load, strikes);
        }
    }

    @Test
    @Tag("slow")
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void shouldLoseNothingWhenEveryNodeIsRestartedOneAfterTheOther() {
        List<String> workers = List.of("prefill-0", "prefill-1", "decode-0", "decode-1");
        try (ForkedCluster cluster = start(List.of("api-0", "api-1"), workers)) {
            VerifiedLoad load = load(cluster);
            Strikes strikes = new Strikes(cluster, load, 60);
            load.run(Math.min(CLIENTS, 16), 0, () -> cluster.names().forEach(strikes::restart));
            check(cluster, load, strikes);
            assertEquals(
                    0,
                    load.answered().stream()
                            .mapToInt(VerifiedLoad.Answered::broken)
                            .sum(),
                    "broken answers");
        }
    }

    @Test
    @Tag("slow")
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void shouldKeepTheTokensOfARealModelWhenWorkersDieUnderLoad() {
        List<String> workers = List.of("prefill-0", "mixed-0", "decode-0");
        try (ForkedCluster cluster = start(List.of("api"), workers, CPU_SETTINGS, List.of())) {
            List<Question> questions = realQuestions(cluster);
            VerifiedLoad load = new VerifiedLoad(cluster, n -> questions.get(n % questions.size()));
            Strikes strikes = new Strikes(cluster, load, 6);
            load.run(4, 0, () -> {
                strikes.kill("decode-0");
                strikes.kill("prefill-0");
                strikes.hang("mixed-0", 10_000);
                strikes.kill("mixed-0");
            });
            check(cluster, load, strikes);
            assertTrue(load.answered().stream().anyMatch(a -> a.resumes() > 0), strikes.table());
        }
    }

    /** Their answers are what an undisturbed cluster says. */
    private static List<Question> realQuestions(ForkedCluster cluster) {
        int[] text = Golden.rows("long.jsonl").getFirst().prompt();
        List<int[]> prompts = IntStream.range(0, 8)
                .mapToObj(i -> Arrays.copyOfRange(text, 40 * i, 40 * i + 90 + 10 * i))
                .toList();
        String model = cluster.model();
        return Concurrently.map(prompts, prompt -> {
            JsonNode answer = cluster.api().complete(model, prompt, 60);
            return new Question(prompt, Api.tokenIds(answer));
        });
    }

    static void check(ForkedCluster cluster, VerifiedLoad load, Strikes strikes) {
        System.out.printf(
                "%d requests: %d answers whole, %d lost, %d wrong; time to first token ms %s%n%s%nlate first tokens:%n%s%nresumed by reason: %s%n",
                load.asked(),
                load.answered().size(),
                load.lost().size(),
                load.wrong().size(),
                Quantiles.of(load.answered().stream().mapToLong(VerifiedLoad.Answered::ttftNanos)),
                strikes.table(),
                load.late(),
                load.answered().stream()
                        .filter(a -> a.resumes() > 0)
                        .collect(Collectors.groupingBy(VerifiedLoad.Answered::why, Collectors.counting())));
        assertEquals(List.of(), load.lost(), cluster::tails);
        assertEquals(List.of(), load.wrong(), cluster::tails);
        assertEquals(load.asked(), load.answered().size(), "answers");
        cluster.awaitNothingHeld();
    }
}
