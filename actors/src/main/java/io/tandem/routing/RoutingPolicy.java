package io.tandem.routing;

import io.tandem.engine.EngineRole;
import io.tandem.worker.WorkerReport;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiPredicate;
import java.util.function.ToIntFunction;

/**
 * Least loaded, and "don't split" when the prompt is short: a split costs a transfer and a second queue, and spares the
 * decode GPU the prompt. Plain arithmetic over the snapshot given; no clock, no randomness.
 */
public final class RoutingPolicy {
    private final int splitFromTokens;
    private final boolean split;

    public RoutingPolicy(int splitFromTokens, boolean split) {
        this.splitFromTokens = splitFromTokens;
        this.split = split;
    }

    /**
     * @param promptTokens tokens to compute before the first output token
     * @param workers live workers of the model that are not draining
     * @param inFlight work this node has given to a GPU and not seen the end of
     * @param avoid GPUs that refused this request; used only when there is no other
     * @return empty when there is no worker at all
     */
    public Optional<Route> route(
            int promptTokens, List<WorkerReport> workers, ToIntFunction<String> inFlight, Set<String> avoid) {
        return route(promptTokens, true, workers, inFlight, avoid, (from, to) -> false);
    }

    /**
     * The same where some cannot hand blocks to one another.
     *
     * @param decodes whether there is an output beyond the prompt's own token
     * @param parted whether blocks find no way from one GPU to another, by their ids
     */
    public Optional<Route> route(
            int promptTokens,
            boolean decodes,
            List<WorkerReport> workers,
            ToIntFunction<String> inFlight,
            Set<String> avoid,
            BiPredicate<String, String> parted) {
        if (workers.isEmpty()) {
            return Optional.empty();
        }
        List<WorkerReport> willing =
                workers.stream().filter(w -> !avoid.contains(w.gpuId())).toList();
        List<WorkerReport> candidates = willing.isEmpty() ? workers : willing;
        Comparator<WorkerReport> byLoad =
                Comparator.<WorkerReport>comparingDouble(w -> load(w, inFlight)).thenComparing(WorkerReport::gpuId);
        if (!decodes) {
            return candidates.stream().min(byLoad).map(w -> together(w, "nothing to decode beyond the prompt's token"));
        }
        WorkerReport decode = candidates.stream()
                .min(Comparator.<WorkerReport>comparingInt(w -> w.role() == EngineRole.PREFILL ? 1 : 0)
                        .thenComparing(byLoad))
                .orElseThrow();
        if (!split) {
            return Optional.of(together(decode, "splitting is off"));
        }
        if (promptTokens < splitFromTokens) {
            return Optional.of(
                    together(decode, promptTokens + " prompt tokens are below the " + splitFromTokens + " of a split"));
        }
        Optional<WorkerReport> prefill = candidates.stream()
                .filter(w -> w.role() == EngineRole.PREFILL && !w.gpuId().equals(decode.gpuId()))
                .filter(w -> w.kvSignature().equals(decode.kvSignature())
                        && w.modelFingerprint().equals(decode.modelFingerprint())
                        && !parted.test(w.gpuId(), decode.gpuId()))
                .min(byLoad);
        return Optional.of(prefill.map(p -> new Route(
                        p.gpuId(), p.epoch(), decode.gpuId(), decode.epoch(), promptTokens + " prompt tokens: split"))
                .orElseGet(
                        () -> together(decode, "no other worker in the role prefill with the same model and layout")));
    }

    private static Route together(WorkerReport worker, String reason) {
        return new Route(worker.gpuId(), worker.epoch(), worker.gpuId(), worker.epoch(), reason);
    }

    /** Sequences here or on their way, plus the prompts before them in units of a full chunk, plus memory pressure. */
    private static double load(WorkerReport w, ToIntFunction<String> inFlight) {
        var s = w.stats();
        int sequences = Math.max(s.waiting() + s.running() + s.reserved(), inFlight.applyAsInt(w.gpuId()));
        double memory = s.totalBlocks() == 0 ? 0 : (double) s.usedBlocks() / s.totalBlocks();
        return sequences + s.waitingPromptTokens() / 512.0 + memory;
    }
}
