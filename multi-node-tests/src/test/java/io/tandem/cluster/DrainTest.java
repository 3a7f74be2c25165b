package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.GenerationException;
import io.tandem.GenerationException.Kind;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;

/** The only GPU of a cluster is taken out: nothing can move, so its answer runs to its end. */
class DrainTest {
    private static final String GPU = "drain-0";

    /** 3.2 s of steps at least. */
    private static final int MAX_TOKENS = 800;

    private static final int DRAINS_MAX = 60;

    private final int[] prompt = new Random(5).ints(40, 100, 40_000).toArray();

    /** Drains and answers why it did not become idle in time; empty when it did. */
    private static Optional<GenerationException> drain(EmbeddedCluster cluster) {
        try {
            cluster.client().drain(GPU).toCompletableFuture().join();
            return Optional.empty();
        } catch (CompletionException e) {
            return Optional.of(assertInstanceOf(GenerationException.class, e.getCause()));
        }
    }

    @Test
    void shouldWaitOnWhenItIsAskedForAgainAndSayWhyNobodyServesMeanwhile() {
        try (EmbeddedCluster cluster =
                new EmbeddedCluster(Map.of(GPU, "mixed"), Map.of("tandem.node.drain-timeout", "1s"))) {
            EmbeddedCluster.Answer answer = cluster.start(prompt, MAX_TOKENS);
            Poll.until(
                    "a token",
                    () -> answer.received() > 0,
                    () -> cluster.status().toString());
            GenerationException late = drain(cluster).orElseThrow();
            assertEquals(Kind.DEADLINE, late.kind());
            assertTrue(late.getMessage().contains("1 sequences run"), late.getMessage());
            assertTrue(late.getMessage().contains("another drain waits on"), late.getMessage());

            GenerationException nobody = cluster.start(prompt, 5).failure();
            assertEquals(Kind.UNAVAILABLE, nobody.kind());
            assertEquals(cluster.status().reason(), nobody.getMessage());
            assertTrue(nobody.getMessage().endsWith("is drained: " + GPU), nobody.getMessage());

            Optional<GenerationException> waiting = Optional.of(late);
            for (int i = 0; i < DRAINS_MAX && waiting.isPresent(); i++) {
                assertEquals(Kind.DEADLINE, waiting.get().kind(), waiting.get().getMessage());
                waiting = drain(cluster);
            }
            assertTrue(waiting.isEmpty(), "it never becomes idle");
            assertArrayEquals(new SimulatedAnswers(ModelFile.path(), 5).answer(prompt, MAX_TOKENS), answer.tokens());
            assertEquals(0, cluster.worker(GPU).stats().running());
        }
    }
}
