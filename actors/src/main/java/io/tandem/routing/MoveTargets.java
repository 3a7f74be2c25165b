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
     * A sequence that moves.
     *
     * @param contextTokens prompt and output so far
     * @param tokensMax prompt and output at most
     */
    record Moving(String fromGpu, int contextTokens, int tokensMax) {}

    /**
     * The worker with most free KV blocks a sequence among those that decode, hold blocks of the same layout and have room for
     * it. One that is too small for what it may become is taken only when no other is there.
     *
     * @param inFlight work this node has given to a GPU and not seen the end of
     * @param apart whether blocks found no way from a worker to another one lately
     */
    static Optional<Route> choose(
            Moving sequence,
            List<WorkerDirectory.Entry> workers,
            ToIntFunction<String> inFlight,
            BiPredicate<WorkerReport, WorkerReport> apart) {
        Optional<WorkerReport> from = workers.stream()
                .map(WorkerDirectory.Entry::report)
                .filter(w -> w.gpuId().equals(sequence.fromGpu()))
                .findFirst();
        return from.flatMap(source -> workers.stream()
                        .filter(WorkerDirectory.Entry::live)
                        .map(WorkerDirectory.Entry::report)
                        .filter(w -> !w.gpuId().equals(sequence.fromGpu())
                                && !w.draining()
                                && w.role() != EngineRole.PREFILL
                                && w.modelFingerprint().equals(source.modelFingerprint())
                                && w.kvSignature().equals(source.kvSignature())
                                && holds(w, sequence.contextTokens())
                                && !apart.test(source, w))
                        .max(Comparator.<WorkerReport, Boolean>comparing(w -> toItsEnd(w, source, sequence))
                                .thenComparingDouble(w -> room(w, inFlight))
                                .thenComparing(WorkerReport::gpuId)))
                .map(w -> new Route(w.gpuId(), w.epoch(), w.gpuId(), w.epoch(), "moved from " + sequence.fromGpu()));
    }

    /** A token more than it has, in blocks that nobody uses now, beside those that run there. */
    private static boolean holds(WorkerReport w, int contextTokens) {
        var s = w.stats();
        long free = (long) (s.totalBlocks() - s.usedBlocks()) * w.facts().blockTokens();
        return w.maxTokens() > contextTokens
                && free > contextTokens
                && s.running() + s.reserved() < w.facts().maxSequences();
    }

    /** It may grow as long there as where it is. */
    private static boolean toItsEnd(WorkerReport w, WorkerReport source, Moving sequence) {
        return w.maxTokens() >= Math.min(sequence.tokensMax(), source.maxTokens());
    }

    private static double room(WorkerReport w, ToIntFunction<String> inFlight) {
        var s = w.stats();
        int sequences = Math.max(s.waiting() + s.running() + s.reserved(), inFlight.applyAsInt(w.gpuId()));
        return (s.totalBlocks() - s.usedBlocks()) / (1.0 + sequences);
    }
}
