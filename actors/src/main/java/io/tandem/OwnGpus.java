package io.tandem;

import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.WorkerReport;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiConsumer;

/**
 * Whether the GPUs of this node are its own: another one that names the same id has the worker of it, and the device here would stand
 * idle without a word. The one that was there before keeps the id. Time as an argument. Not thread-safe.
 */
final class OwnGpus {
    private final Set<String> gpus;
    private final String self;
    private final WorkerDirectory directory;
    private final long patienceNanos;
    private final BiConsumer<String, String> taken;
    private final Map<String, Long> elsewhereSince = new HashMap<>();
    private final Set<String> told = new HashSet<>();

    /**
     * @param self host:port of this node
     * @param patience with another node's reports: a dead one's are believed for a while, where its successor has another address
     * @param taken told once of a GPU id and the node that has it
     */
    OwnGpus(
            Set<String> gpus,
            String self,
            WorkerDirectory directory,
            Duration patience,
            BiConsumer<String, String> taken) {
        this.gpus = gpus;
        this.self = self;
        this.directory = directory;
        patienceNanos = patience.toNanos();
        this.taken = taken;
    }

    /** To be called now and then. */
    void look(long nowNanos) {
        for (String gpu : gpus) {
            Optional<WorkerReport> elsewhere =
                    directory.live(gpu).filter(w -> !w.node().equals(self));
            if (elsewhere.isEmpty()) {
                elsewhereSince.remove(gpu);
            } else if (nowNanos - elsewhereSince.computeIfAbsent(gpu, g -> nowNanos) >= patienceNanos
                    && told.add(gpu)) {
                taken.accept(gpu, elsewhere.get().node());
            }
        }
    }
}
