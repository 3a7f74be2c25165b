package io.tandem.routing;

import io.tandem.engine.EngineRole;
import io.tandem.worker.WorkerReport;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.BiPredicate;
import java.util.function.ToIntFunction;

/** Where a sequence that decodes may move: plain arithmetic over a snapshot of the workers. */
final class MoveTargets {
    private MoveTargets() {}

    /**
     * The worker with most free KV blocks a sequence among those that decode and hold blocks of the same layout.
     *
     * @param inFlight work this node has given to a GPU and not seen the end of
     * @param apart whether blocks found no way from a worker to another one lately
     */
    static Optional<Route> choose(
            String fromGpu,
            List<WorkerDirectory.Entry> workers,
            ToIntFunction<String> inFlight,
            BiPredicate<WorkerReport, WorkerReport> apart) {
        Optional<WorkerReport> from = workers.stream()
                .map(WorkerDirectory.Entry::report)
                .filter(w -> w.gpuId().equals(fromGpu))
                .findFirst();
        return from.flatMap(source -> workers.stream()
                        .filter(WorkerDirectory.Entry::live)
                        .map(WorkerDirectory.Entry::report)
                        .filter(w -> !w.gpuId().equals(fromGpu)
                                && !w.draining()
                                && w.role() != EngineRole.PREFILL
                                && w.modelFingerprint().equals(source.modelFingerprint())
                                && w.kvSignature().equals(source.kvSignature())
                                && !apart.test(source, w))
                        .max(Comparator.<WorkerReport>comparingDouble(w -> room(w, inFlight))
                                .thenComparing(WorkerReport::gpuId)))
                .map(w -> new Route(w.gpuId(), w.epoch(), w.gpuId(), w.epoch(), "moved from " + fromGpu));
    }

    private static double room(WorkerReport w, ToIntFunction<String> inFlight) {
        var s = w.stats();
        int sequences = Math.max(s.waiting() + s.running() + s.reserved(), inFlight.applyAsInt(w.gpuId()));
        return (s.totalBlocks() - s.usedBlocks()) / (1.0 + sequences);
    }
}
