package io.tandem;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.TestWorker;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class OwnGpusTest {
    private final WorkerDirectory directory = new WorkerDirectory();
    private final List<String> taken = new ArrayList<>();
    private final OwnGpus gpus = new OwnGpus(
            Set.of("a", "b"), "here:1", directory, Duration.ofNanos(100), (gpu, node) -> taken.add(gpu + " " + node));

    private static WorkerDirectory.Entry on(String gpu, String node) {
        return TestWorker.named(gpu).on(node).live();
    }

    @Test
    void shouldSayOnceThatAnotherNodeHasItsGpu() {
        directory.publish(List.of(on("a", "there:1"), on("b", "here:1"), on("c", "there:1")));
        gpus.look(0);
        gpus.look(99);
        assertEquals(List.of(), taken);
        gpus.look(100);
        gpus.look(300);
        assertEquals(List.of("a there:1"), taken);
    }

    /** It was killed and started again under another port: its last report lives for a while. */
    @Test
    void shouldWaitForTheEndOfTheOneItComesAfter() {
        directory.publish(List.of(on("a", "here:2")));
        gpus.look(0);
        directory.publish(List.of(TestWorker.named("a").on("here:2").lost()));
        gpus.look(99);
        directory.publish(List.of(on("a", "here:1")));
        gpus.look(200);
        gpus.look(1_000);
        assertEquals(List.of(), taken);
    }
}
