package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.StepTimeModel;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.WorkerReport;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Turns the workers' reports into what {@link RebalancePolicy} decides on. */
final class SupervisorView {
    private final RoutingSettings.Prior prior;
    private final int prefillStepTokens;

    SupervisorView(RoutingSettings routing, EngineSettings engine) {
        prior = routing.prior();
        prefillStepTokens = engine.chunkTokens(EngineRole.PREFILL);
    }

    List<WorkerView> workers(WorkerDirectory directory, long nowNanos) {
        return directory.entries().stream().map(e -> worker(e, nowNanos)).toList();
    }

    private WorkerView worker(WorkerDirectory.Entry entry, long nowNanos) {
        WorkerReport r = entry.report();
        StepTimeModel steps = prior.newModel(prefillStepTokens);
        steps.adopt(r.facts().steps(), prefillStepTokens);
        long age = TimeUnit.MILLISECONDS.toNanos(r.history().ageMillis()) + nowNanos - entry.seenNanos();
        return new WorkerView(
                r.gpuId(),
                entry.live() && !r.draining(),
                r.role(),
                r.history().previous(),
                age,
                steps,
                r.stats().waitingPromptTokens(),
                r.stats().decodes(),
                (long) r.stats().totalBlocks() * r.facts().blockTokens());
    }

    /** Whether another worker can take over what the worker has to give up. */
    static boolean othersTake(WorkerDirectory directory, String gpuId, EngineRole kind) {
        return directory.entries().stream()
                .anyMatch(e -> e.live()
                        && !e.report().draining()
                        && !e.report().gpuId().equals(gpuId)
                        && (e.report().role() == kind || e.report().role() == EngineRole.MIXED));
    }
}
