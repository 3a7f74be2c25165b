package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A GPU that fails for good while it works: its requests go on elsewhere, token for token, and its node ends and says why. */
class LostDeviceTest {
    private static final int QUESTIONS = 24;
    private static final int AT_ONCE = 6;

    private static final String SETTINGS = """
            tandem.compute.backend = simulated
            tandem.engine.kv-blocks = 2048
            tandem.routing.policy = least-loaded
            tandem.supervisor.mode = off
            tandem.simulated { step-micros = 3000, prompt-token-micros = 2 }
            """;

    @TempDir
    Path directory;

    private static int freePort() throws IOException {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        }
    }

    private ForkedNode node(String name, List<String> flags, int seedPort, String... more) throws IOException {
        Path settings = Files.writeString(directory.resolve(name + ".conf"), SETTINGS);
        List<String> arguments = new ArrayList<>(List.of("node", "--profile", "quickstart", "--model"));
        arguments.addAll(List.of(ModelFile.path().toString(), "--config", settings.toString()));
        arguments.addAll(
                List.of("--parent-pid", Long.toString(ProcessHandle.current().pid())));
        arguments.addAll(List.of("--seeds", "127.0.0.1:" + seedPort));
        arguments.addAll(List.of(more));
        List<String> all = new ArrayList<>(ForkedCluster.NO_COMPUTE_FLAGS);
        all.add("-Dtandem.transfer.directory=" + directory);
        all.addAll(flags);
        return ForkedNode.start(name, directory, List.of(), all, arguments);
    }

    @Test
    void shouldGoOnElsewhereAndEndTheNodeWithItsReason() throws Exception {
        int seed = freePort();
        int http = freePort();
        List<String> breaks = List.of("-Dtandem.simulated.lose-with-step=20");
        try (Api api = new Api(http);
                ForkedNode door = node(
                        "api", List.of(), seed, "--roles", "api", "--port", "" + http, "--cluster-port", "" + seed);
                ForkedNode broken = node("broken", breaks, seed, "--gpus", "broken=mixed", "--cluster-port", "0");
                ForkedNode whole = node("whole", List.of(), seed, "--gpus", "whole=mixed", "--cluster-port", "0")) {
            Poll.until("two workers", () -> workers(api) == 2, () -> door.tail() + broken.tail() + whole.tail());
            Map<Question, JsonNode> answers = ask(api);
            int resumes = 0;
            for (Map.Entry<Question, JsonNode> a : answers.entrySet()) {
                assertArrayEquals(a.getKey().answer(), Api.tokenIds(a.getValue()));
                resumes += a.getValue().path("tandem").path("resumes").asInt();
            }
            assertTrue(resumes > 0, "nothing ran on the device that was lost");
            assertEquals(1, broken.awaitEnd(), broken::tail);
            assertTrue(broken.tail().contains("this process cannot open it again"), broken::tail);
            assertTrue(whole.isAlive() && door.isAlive());
        }
    }

    private static int workers(Api api) {
        try {
            int live = 0;
            for (JsonNode worker : api.getJson("/admin/cluster").path("workers")) {
                live += worker.path("live").asBoolean() ? 1 : 0;
            }
            return live;
        } catch (RuntimeException e) {
            return 0; // it does not listen yet
        }
    }

    private static Map<Question, JsonNode> ask(Api api) throws Exception {
        SimulatedAnswers questions = new SimulatedAnswers(ModelFile.path(), 5);
        String model = api.getJson("/v1/models").path("data").path(0).path("id").asText();
        Map<Question, JsonNode> answers = new LinkedHashMap<>();
        try (ExecutorService clients = Executors.newFixedThreadPool(AT_ONCE)) {
            Map<Question, Future<JsonNode>> asked = new LinkedHashMap<>();
            for (int n = 0; n < QUESTIONS; n++) {
                Question q = questions.question(n);
                asked.put(q, clients.submit(() -> api.complete(model, q.prompt(), q.answer().length)));
            }
            for (Map.Entry<Question, Future<JsonNode>> a : asked.entrySet()) {
                answers.put(a.getKey(), a.getValue().get());
            }
        }
        return answers;
    }
}
