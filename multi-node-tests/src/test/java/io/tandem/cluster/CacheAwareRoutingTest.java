package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.GenerationRequest;
import io.tandem.GenerationResult;
import io.tandem.RouteDecision;
import io.tandem.RoutingStatus;
import io.tandem.Tandem;
import io.tandem.sampling.SamplingParams;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Real nodes over real remoting, engines that only take time: requests go where their prefix is, whoever routes them. */
class CacheAwareRoutingTest {
    private static final Duration GUARD = Duration.ofSeconds(60);
    private static final int PROMPT = 800;

    private final List<Tandem> nodes = new ArrayList<>();
    private final int port = freePort();
    private final Random random = new Random(11);
    private String model;

    @AfterEach
    void stop() {
        for (Tandem node : nodes.reversed()) {
            node.close();
        }
    }

    private static int freePort() {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return probe.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Tandem node(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of(
                "tandem.node.model.path",
                Golden.modelFile().toString(),
                "tandem.node.cluster-name",
                "cache-aware",
                "tandem.compute.backend",
                "simulated",
                "tandem.engine.kv-memory-bytes",
                "1M",
                // A prefix is worth more than a busy machine's noise in the times of steps.
                "tandem.simulated.prompt-token-micros",
                200,
                "tandem.routing.policy",
                "cost"));
        if (!nodes.isEmpty()) {
            settings.put("tandem.node.seeds", List.of("127.0.0.1:" + port));
        }
        settings.putAll(more);
        Tandem node = Tandem.start(ConfigFactory.parseMap(settings));
        nodes.add(node);
        return node;
    }

    private Tandem api() {
        Map<String, Object> settings = new HashMap<>(Map.of("tandem.node.roles", List.of("api")));
        if (nodes.isEmpty()) {
            settings.put("tandem.node.port", port);
        }
        Tandem api = node(settings);
        model = api.client().models().getFirst().name();
        return api;
    }

    private Tandem worker(String gpu) {
        return node(Map.of("tandem.node.gpus", List.of(Map.of("id", gpu, "role", "mixed"))));
    }

    private static void awaitWorkers(Tandem at, int count) throws InterruptedException {
        assertTrue(at.awaitReady(GUARD), at.client().clusterStatus().toString());
        Poll.until(
                count + " live workers",
                () -> at.client().clusterStatus().workers().stream()
                                .filter(w -> w.live())
                                .count()
                        == count,
                () -> at.client().clusterStatus().toString());
    }

    /** A shared prefix and the worker that computed it. */
    private record Family(int[] prefix, String home) {}

    /** A prompt of its own: a shared prefix and an end that nobody else has. */
    private int[] prompt(int[] prefix) {
        int[] tokens = Arrays.copyOf(prefix, prefix.length + 20);
        for (int i = prefix.length; i < tokens.length; i++) {
            tokens[i] = 100 + random.nextInt(20_000);
        }
        return tokens;
    }

    private int[] prefix() {
        return random.ints(PROMPT, 100, 20_000).toArray();
    }

    private GenerationResult run(Tandem at, int[] prefix, String salt) {
        return at.client()
                .generate(new GenerationRequest(
                        model,
                        new GenerationRequest.TokenIds(prompt(prefix)),
                        4,
                        SamplingParams.greedy(),
                        List.of(),
                        true,
                        salt,
                        Duration.ZERO));
    }

    private static RouteDecision decision(Tandem at, GenerationResult result) {
        return at.client().decisions(result.report().requestId()).orElseThrow().getFirst();
    }

    private static int cachedOn(RouteDecision decision, String gpu) {
        return decision.plans().stream()
                .filter(p -> p.prefillGpu().equals(gpu))
                .mapToInt(RouteDecision.Plan::cachedTokens)
                .max()
                .orElse(0);
    }

    @Test
    void shouldSendSiblingsWhereTheirPrefixIsWhoeverRoutesAndAfterARestart() throws Exception {
        Tandem first = api();
        Tandem a = worker("gpu-a");
        worker("gpu-b");
        awaitWorkers(first, 2);

        List<Family> families = new ArrayList<>();
        Set<String> used = new HashSet<>();
        for (int i = 0; i < 8; i++) {
            int[] prefix = prefix();
            String home = run(first, prefix, "").report().prefillGpu();
            families.add(new Family(prefix, home));
            used.add(home);
        }
        assertEquals(Set.of("gpu-a", "gpu-b"), used, "both have something");
        families.forEach(family -> {
            int[] prefix = family.prefix();
            String home = family.home();
            GenerationResult sibling = run(first, prefix, "");
            assertEquals(home, sibling.report().prefillGpu());
            assertEquals(PROMPT, sibling.report().cachedPromptTokens());
            GenerationResult stranger = run(first, prefix, "another tenant");
            assertEquals(0, stranger.report().cachedPromptTokens(), "salts keep tenants apart");
            assertEquals(0, decision(first, stranger).plan().cachedTokens());
        });

        Tandem late = api();
        awaitWorkers(late, 2);
        families.forEach(family -> {
            int[] prefix = family.prefix();
            String home = family.home();
            GenerationResult sibling = run(late, prefix, "");
            assertEquals(PROMPT, cachedOn(decision(late, sibling), home), "known from the first request on");
            assertEquals(home, sibling.report().prefillGpu());
        });

        a.close();
        nodes.remove(a);
        awaitWorkers(late, 1);
        worker("gpu-a");
        awaitWorkers(late, 2);
        awaitWorkers(first, 2);
        families.forEach(family -> {
            int[] prefix = family.prefix();
            String home = family.home();
            GenerationResult sibling = run(first, prefix, "");
            int expected = home.equals("gpu-a") ? 0 : PROMPT;
            assertEquals(expected, cachedOn(decision(first, sibling), home), "a new incarnation has an empty cache");
        });
        for (Tandem router : List.of(first, late)) {
            families.forEach(family -> {
                int[] prefix = family.prefix();
                GenerationResult again = run(router, prefix, "");
                assertEquals(PROMPT, again.report().cachedPromptTokens(), "held somewhere, found there");
                assertTrue(decision(router, again).observed().ttftNanos() > 0, "set beside what was predicted");
            });
            RoutingStatus status = router.client().routing();
            assertTrue(status.index().snapshots() >= 3 && status.index().events() > 0, status.toString());
            assertTrue(status.index().blocks() >= 8 * PROMPT / 16, status.toString());
            long predictions = status.errors().stream()
                    .filter(e -> e.figure().equals("ttft") && e.role().equals("mixed"))
                    .flatMap(e -> e.counts().stream())
                    .mapToLong(n -> n)
                    .sum();
            assertTrue(predictions >= 16, status.toString());
        }
    }
}
