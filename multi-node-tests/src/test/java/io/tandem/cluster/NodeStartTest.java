package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.ClusterStatus;
import io.tandem.Tandem;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What a node says that cannot be what it was told to be. */
class NodeStartTest {
    private static final Duration GUARD = Duration.ofSeconds(90);

    @Test
    void shouldSayAtOnceWhyItsActorsCannotStart() {
        IllegalStateException e = assertThrows(
                IllegalStateException.class,
                () -> Tandem.start(ConfigFactory.parseMap(Map.of(
                                "tandem.node.model.path", Golden.modelFile().toString(),
                                "tandem.node.start-timeout", "10m",
                                "pekko.cluster.sharding.state-store-mode", "nowhere")))
                        .close());
        assertTrue(e.getMessage().startsWith("this node cannot start: "), e.getMessage());
        assertTrue(e.getMessage().contains("nowhere"), e.getMessage());
    }

    /** The device of the second one would stand idle, or take the place of the first. */
    @Test
    void shouldNotTakeAGpuThatAnotherNodeHas() {
        try (EmbeddedCluster cluster =
                new EmbeddedCluster(Map.of("twin", "mixed"), Map.of("tandem.node.worker-timeout", "1s"))) {
            ClusterStatus.Worker before = cluster.worker("twin");
            try (Tandem second = cluster.startBeside("twin", "prefill")) {
                IllegalStateException e = assertThrows(IllegalStateException.class, () -> second.awaitReady(GUARD));
                assertEquals(
                        "GPU twin cannot start: the node " + before.node()
                                + " has a GPU of that id; give each GPU of a cluster another one (tandem.node.gpus, or --gpus ID=ROLE)",
                        e.getMessage());
            }
            assertEquals(before.epoch(), cluster.worker("twin").epoch());
            assertEquals(before.node(), cluster.worker("twin").node());
        }
    }
}
