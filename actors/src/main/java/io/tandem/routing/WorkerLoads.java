package io.tandem.routing;

import io.tandem.worker.WorkerReport;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A {@link WorkerLoad} for each live worker, corrected by its reports. A worker that has measured too little of its own is
 * taken for as fast as the one of its kind that has measured most. Not thread-safe.
 */
final class WorkerLoads {
    /** Between a worker's count and its arrival here, besides the step in which it takes no commands. */
    private static final long REPORT_DELAY_NANOS = 10_000_000;

    private final RoutingSettings.Prior prior;
    private final Map<String, Tracked> tracked = new HashMap<>();

    /** The reports taken in last. */
    private List<WorkerDirectory.Entry> taken;

    private static final class Tracked {
        final long epoch;
        final WorkerLoad load;
        long seenNanos;

        Tracked(long epoch, WorkerLoad load, long seenNanos) {
            this.epoch = epoch;
            this.load = load;
            this.seenNanos = seenNanos;
        }
    }

    WorkerLoads(RoutingSettings.Prior prior) {
        this.prior = prior;
    }

    /** Takes in reports that came since. */
    void refresh(List<WorkerDirectory.Entry> entries, long nowNanos) {
        if (sameList(entries)) {
            return;
        }
        taken = entries;
        Set<String> live = new HashSet<>();
        for (WorkerDirectory.Entry entry : entries) {
            WorkerReport report = entry.report();
            if (!entry.live()) {
                continue;
            }
            live.add(report.gpuId());
            Tracked known = tracked.get(report.gpuId());
            if (known == null || known.epoch != report.epoch()) {
                StepTimeModel steps = prior.newModel(report.facts().stepPromptTokens());
                known = new Tracked(report.epoch(), new WorkerLoad(report.gpuId(), steps), entry.seenNanos() - 1);
                tracked.put(report.gpuId(), known);
            }
            if (known.seenNanos != entry.seenNanos()) {
                known.seenNanos = entry.seenNanos();
                takeIn(known.load, report, entries, nowNanos);
            }
        }
        tracked.keySet().retainAll(live);
    }

    @SuppressWarnings("ReferenceEquality") // The directory publishes a new list for each change.
    private boolean sameList(List<WorkerDirectory.Entry> entries) {
        return entries == taken;
    }

    private static void takeIn(
            WorkerLoad load, WorkerReport report, List<WorkerDirectory.Entry> entries, long nowNanos) {
        var stats = report.stats();
        StepTimes own = report.facts().steps();
        if (!own.decodeKnown() || !own.prefillKnown()) {
            own = completed(own, report, entries);
        }
        load.steps().adopt(own, report.facts().stepPromptTokens());
        load.promptShareReported(report.facts().promptShare(), nowNanos);
        long asOf = nowNanos - REPORT_DELAY_NANOS - stats.lastStepNanos();
        load.reported(stats.waitingPromptTokens(), stats.decodes(), stats.contextTokens(), asOf, nowNanos);
    }

    /** Fills in what a worker has not measured from those like it. */
    private static StepTimes completed(StepTimes own, WorkerReport report, List<WorkerDirectory.Entry> entries) {
        List<StepTimes> known = new ArrayList<>();
        known.add(own);
        for (WorkerDirectory.Entry entry : entries) {
            if (entry.live() && alike(report, entry.report())) {
                known.add(entry.report().facts().steps());
            }
        }
        StepTimes most = StepTimes.mostMeasured(known);
        StepTimes decode = own.decodeKnown() ? own : most;
        StepTimes prefill = own.prefillKnown() ? own : most;
        return new StepTimes(decode.decode(), prefill.prefill(), decode.decodeSamples(), prefill.prefillSamples());
    }

    private static boolean alike(WorkerReport a, WorkerReport b) {
        return a.backend().name().equals(b.backend().name())
                && a.backend().device().equals(b.backend().device())
                && a.modelFingerprint().equals(b.modelFingerprint());
    }

    /** Null when the worker is not live. */
    WorkerLoad of(String gpuId) {
        Tracked known = tracked.get(gpuId);
        return known == null ? null : known.load;
    }
}
