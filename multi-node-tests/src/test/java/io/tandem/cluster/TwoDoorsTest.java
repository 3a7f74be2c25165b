package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.GenerationEvent;
import io.tandem.GenerationException;
import io.tandem.GenerationRequest;
import io.tandem.Tandem;
import io.tandem.TandemClient;
import io.tandem.sampling.SamplingParams;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.pekko.cluster.typed.Cluster;
import org.junit.jupiter.api.Test;

/** Two nodes with a door each before one simulated GPU. */
class TwoDoorsTest {
    private static final int GUARD_SECONDS = 120;
    private static final int REQUESTS = 40;

    private static Config node(Map<String, Object> own) {
        return ConfigFactory.parseMap(own)
                .withFallback(ConfigFactory.parseMap(Map.of(
                        "tandem.node.model.path",
                        Golden.modelFile().toString(),
                        "tandem.compute.backend",
                        "simulated",
                        "tandem.engine.kv-blocks",
                        4096,
                        "tandem.simulated.prompt-token-micros",
                        1000)));
    }

    private static GenerationRequest request(String model, Random random) {
        return new GenerationRequest(
                        model,
                        new GenerationRequest.TokenIds(
                                random.ints(100, 100, 40_000).toArray()),
                        2,
                        SamplingParams.greedy(),
                        List.of(),
                        true,
                        "",
                        Duration.ZERO)
                .of("flex", "");
    }

    /** What one node's requests came to, and how many of the other's were over when its last one was. */
    private static final class Side {
        final AtomicInteger over = new AtomicInteger();
        final CountDownLatch done = new CountDownLatch(REQUESTS);
        final List<GenerationException> errors = new ArrayList<>();
        volatile int othersAtEnd;

        TandemClient.GenerationObserver observer(Side other) {
            return new TandemClient.GenerationObserver() {
                @Override
                public void onEvent(GenerationEvent event) {
                    if (event instanceof GenerationEvent.Finished) {
                        end();
                    }
                }

                @Override
                public void onError(GenerationException error) {
                    synchronized (errors) {
                        errors.add(error);
                    }
                    end();
                }

                private void end() {
                    if (over.incrementAndGet() == REQUESTS) {
                        othersAtEnd = other.over.get();
                    }
                    done.countDown();
                }
            };
        }
    }

    @Test
    void shouldShareTheGpuBetweenTheNodesByTheLoadsInItsReports() throws InterruptedException {
        Config first = node(Map.of("tandem.node.gpus", List.of(Map.of("id", "shared-0", "role", "mixed"))));
        try (Tandem a = Tandem.start(first)) {
            assertTrue(a.awaitReady(Duration.ofSeconds(GUARD_SECONDS)));
            String seed = Cluster.get(a.system())
                            .selfMember()
                            .address()
                            .getHost()
                            .get() + ":"
                    + Cluster.get(a.system()).selfMember().address().getPort().get();
            try (Tandem b = Tandem.start(node(Map.of("tandem.node.seeds", List.of(seed))))) {
                assertTrue(b.awaitReady(Duration.ofSeconds(GUARD_SECONDS)));
                String model = a.client().models().getFirst().name();
                Random random = new Random(3);
                for (int i = 0; i < 10; i++) {
                    a.client().generate(request(model, random));
                }
                Side left = new Side();
                Side right = new Side();
                for (int i = 0; i < REQUESTS; i++) {
                    a.client().start(request(model, random), left.observer(right));
                    b.client().start(request(model, random), right.observer(left));
                }
                assertTrue(left.done.await(GUARD_SECONDS, TimeUnit.SECONDS));
                assertTrue(right.done.await(GUARD_SECONDS, TimeUnit.SECONDS));
                assertTrue(left.errors.isEmpty() && right.errors.isEmpty(), left.errors + " " + right.errors);
                int behind = Math.min(left.othersAtEnd, right.othersAtEnd);
                assertTrue(behind >= REQUESTS / 2, behind + " of " + REQUESTS + " when the other node was done");
                assertEquals(0, queued(a) + queued(b));
                assertNull(a.startFailure().orElse(null));
            }
        }
    }

    private static int queued(Tandem node) {
        return node.client().admission().classes().stream()
                .mapToInt(c -> c.queued())
                .sum();
    }
}
