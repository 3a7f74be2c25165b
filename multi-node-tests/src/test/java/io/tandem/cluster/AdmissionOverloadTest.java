package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.AdmissionStatus;
import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationRequest;
import io.tandem.Tandem;
import io.tandem.TandemClient;
import io.tandem.engine.FinishReason;
import io.tandem.sampling.SamplingParams;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A whole node with a simulated GPU, one millisecond a prompt token, under far more than it can do. */
class AdmissionOverloadTest {
    private static final int GUARD_SECONDS = 120;
    private static final int PROMPT_TOKENS = 200;
    private static final int OUTPUT_TOKENS = 4;

    private static Tandem tandem;
    private static TandemClient client;
    private static String model;
    private static final Random RANDOM = new Random(7);

    @BeforeAll
    static void start() throws InterruptedException {
        tandem = Tandem.start(ConfigFactory.parseMap(Map.ofEntries(
                Map.entry("tandem.node.model.path", Golden.modelFile().toString()),
                Map.entry("tandem.node.gpus", List.of(Map.of("id", "door-0", "role", "mixed"))),
                Map.entry("tandem.compute.backend", "simulated"),
                Map.entry("tandem.engine.kv-blocks", 4096),
                Map.entry("tandem.simulated.prompt-token-micros", 1000),
                Map.entry("tandem.admission.classes.default.ttft-target", "1s"),
                Map.entry("tandem.admission.classes.flex.ttft-target", "10m"))));
        assertTrue(tandem.awaitReady(Duration.ofSeconds(GUARD_SECONDS)));
        client = tandem.client();
        model = client.models().getFirst().name();
        learn();
    }

    @AfterAll
    static void stop() {
        if (tandem != null) {
            tandem.close();
        }
    }

    /** One after the other, until the router knows how long steps take. */
    private static void learn() {
        for (int i = 0; i < 12; i++) {
            client.generate(request("default", "teacher"));
        }
        Poll.until(
                "the last request to be over",
                () -> client.activeRequests() == 0,
                () -> client.admission().toString());
    }

    /** A prompt that nobody sent before. */
    private static GenerationRequest request(String tier, String tenant) {
        int[] prompt = RANDOM.ints(PROMPT_TOKENS, 100, 40_000).toArray();
        return new GenerationRequest(
                        model,
                        new GenerationRequest.TokenIds(prompt),
                        OUTPUT_TOKENS,
                        SamplingParams.greedy(),
                        List.of(),
                        true,
                        "",
                        Duration.ZERO)
                .of(tier, tenant);
    }

    /** Notes what one request is told. */
    private static final class Told implements TandemClient.GenerationObserver {
        final AtomicInteger terminal = new AtomicInteger();
        final CountDownLatch over = new CountDownLatch(1);
        volatile boolean started;
        volatile GenerationEvent.Finished finished;
        volatile GenerationException error;

        @Override
        public void onEvent(GenerationEvent event) {
            if (event instanceof GenerationEvent.Started) {
                started = true;
            } else if (event instanceof GenerationEvent.Finished f) {
                finished = f;
                end();
            }
        }

        @Override
        public void onError(GenerationException e) {
            error = e;
            end();
        }

        private void end() {
            terminal.incrementAndGet();
            over.countDown();
        }

        void await() throws InterruptedException {
            assertTrue(over.await(GUARD_SECONDS, TimeUnit.SECONDS), "no end came");
        }
    }

    private static long computedTokens() {
        return client.clusterStatus().workers().getFirst().stats().computedTokens();
    }

    private static long outcomes(String... names) {
        return client.admission().outcomes().stream()
                .filter(o -> List.of(names).contains(o.outcome()))
                .mapToLong(AdmissionStatus.Outcome::count)
                .sum();
    }

    private static void awaitCounted(long outcomes) {
        Poll.until(
                outcomes + " outcomes",
                () -> outcomes(
                                "admitted",
                                "rejected_ttft",
                                "rejected_itl",
                                "rejected_size",
                                "rejected_full",
                                "displaced",
                                "expired",
                                "cancelled")
                        == outcomes,
                () -> client.admission().toString());
    }

    @Test
    void shouldRefuseWhatWouldBeLateBeforeAnyGpuWorksForItAndFinishTheRest() throws InterruptedException {
        Poll.until(
                "idle",
                () -> client.activeRequests() == 0,
                () -> client.admission().toString());
        long countedBefore = client.admission().outcomes().stream()
                .filter(o -> !o.outcome().equals("queued"))
                .mapToLong(AdmissionStatus.Outcome::count)
                .sum();
        long computedBefore = settledComputedTokens();
        List<Told> all = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            Told told = new Told();
            all.add(told);
            client.start(request("default", "t" + i % 3), told);
        }
        double rejectAbove = tandem.config().getDouble("tandem.admission.reject-above");
        int served = 0;
        int late = 0;
        for (Told told : all) {
            told.await();
            if (told.error == null) {
                served++;
                assertEquals(FinishReason.LENGTH, told.finished.reason());
                assertEquals("default", told.finished.report().serviceClass());
                assertTrue(told.finished.report().ttftMs()
                        >= told.finished.report().queueMs());
            } else {
                assertFalse(told.started, "nothing was started for it");
                assertEquals(GenerationException.Kind.OVERLOADED, told.error.kind());
                GenerationException.Refusal refusal = told.error.refusal().orElseThrow();
                assertEquals("default", refusal.serviceClass());
                if (refusal.reason().equals("ttft")) {
                    late++;
                    assertTrue(
                            refusal.predictedTtftMs() > rejectAbove * refusal.ttftTargetMs(), told.error.getMessage());
                } else {
                    assertEquals("size", refusal.reason(), "the size limit has fallen, and a plan is not weighed");
                }
                assertTrue(told.error.retryAfterSeconds() >= 1);
            }
        }
        assertTrue(late >= 1, "nothing lowers the size limit but what would be late");
        assertTrue(served >= 1 && served <= 30, served + " of 60 were let in");
        assertEquals((long) served * (PROMPT_TOKENS + OUTPUT_TOKENS - 1), settledComputedTokens() - computedBefore);
        awaitCounted(countedBefore + 60);
        assertTrue(all.stream().allMatch(t -> t.terminal.get() == 1), "exactly one end each");
        assertEquals(0, client.activeRequests());
    }

    /** The count of computed tokens once nothing runs and it has stood still for several of the worker's reports. */
    private static long settledComputedTokens() {
        long[] last = {-1};
        int[] still = {0};
        Poll.until(
                "the worker's count to settle",
                () -> {
                    long now = computedTokens();
                    still[0] = now == last[0] ? still[0] + 1 : 0;
                    last[0] = now;
                    return still[0] >= 20 && client.activeRequests() == 0;
                },
                () -> client.clusterStatus().toString());
        return last[0];
    }

    @Test
    void shouldFreeARequestThatIsCancelledWhileItWaits() throws InterruptedException {
        List<Told> all = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            Told told = new Told();
            all.add(told);
            client.start(request("flex", "a"), told);
        }
        Told waiting = new Told();
        TandemClient.Generation generation = client.start(request("flex", "a"), waiting);
        generation.cancel();
        generation.cancel();
        waiting.await();
        assertNotNull(waiting.finished);
        assertEquals(FinishReason.CANCELLED, waiting.finished.reason());
        assertFalse(waiting.started);
        assertEquals("", waiting.finished.report().decodeGpu());
        assertEquals(
                "cancelled before a GPU was free",
                client.report(generation.requestId()).orElseThrow().routingReason());
        for (Told told : all) {
            told.await();
            assertEquals(FinishReason.LENGTH, told.finished.reason());
            assertEquals(1, told.terminal.get());
        }
        assertTrue(all.stream().anyMatch(t -> t.finished.report().queueMs() > 0), "some waited at the door");
        assertEquals(1, waiting.terminal.get());
        Poll.until("nothing active", () -> client.activeRequests() == 0, () -> "still active");
    }

    @Test
    void shouldNameTheTiersThereAreWhenOneDoesNotExist() {
        GenerationException unknown =
                assertThrows(GenerationException.class, () -> client.generate(request("gold", "a")));
        assertEquals(GenerationException.Kind.INVALID_REQUEST, unknown.kind());
        assertEquals("service_tier", unknown.param());
        assertTrue(unknown.getMessage().contains("priority"), unknown.getMessage());
    }
}
