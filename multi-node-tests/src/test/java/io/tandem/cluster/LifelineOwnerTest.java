package io.tandem.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.GenerationRequest;
import io.tandem.TandemClient;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Who watches whose process: roles tell of most owners of requests, and the others tell themselves. */
class LifelineOwnerTest {

    @Test
    void shouldWatchOtherWorkersOnceANodeWithGpusOwnsRequests() {
        try (EmbeddedCluster cluster = new EmbeddedCluster(Map.of("left", "mixed", "right", "mixed"), Map.of())) {
            TandemClient left = cluster.client("left");
            Poll.until(
                    "lifelines to first and api",
                    () -> left.lifelines().open() == 2,
                    () -> left.lifelines().toString());
            left.generate(GenerationRequest.chat(left.models().getFirst().name(), "Hello", 2));
            Poll.until(
                    "one to right",
                    () -> left.lifelines().open() == 3,
                    () -> left.lifelines().toString());
            assertEquals(3, left.lifelines().watched());
        }
    }
}
