package io.tandem.routing;

import io.tandem.supervisor.DemandReport;
import io.tandem.supervisor.SupervisorReport;
import io.tandem.worker.WorkerReport;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * All workers as this node knows them: one immutable snapshot, replaced by the registry, read by any thread without a lock.
 * Beside it, the work this node has given out and not seen the end of, which the reports do not show yet.
 */
public final class WorkerDirectory {

    /** A worker and whether it is there. */
    public record Entry(WorkerReport report, boolean live, long seenNanos) {}

    private final Map<String, AtomicInteger> inFlight = new ConcurrentHashMap<>();
    private volatile List<Entry> entries = List.of();
    private volatile SupervisorReport supervisor = SupervisorReport.NONE;
    private final Map<String, SeenDemand> demand = new ConcurrentHashMap<>();

    private record SeenDemand(DemandReport report, long seenNanos) {}

    /** Ordered by GPU id. */
    public List<Entry> entries() {
        return entries;
    }

    public Optional<WorkerReport> live(String gpuId) {
        return entries.stream()
                .filter(e -> e.live() && e.report().gpuId().equals(gpuId))
                .map(Entry::report)
                .findFirst();
    }

    /** What the supervisor said last. */
    public SupervisorReport supervisor() {
        return supervisor;
    }

    /** The demand that nodes have reported within the time given. */
    public List<DemandReport> demand(long nowNanos, long notOlderNanos) {
        demand.values().removeIf(d -> nowNanos - d.seenNanos() > notOlderNanos);
        return demand.values().stream().map(SeenDemand::report).toList();
    }

    /** A node said what it is asked for. */
    public void publishDemand(DemandReport report, long nowNanos) {
        demand.put(report.node(), new SeenDemand(report, nowNanos));
    }

    /** The node is no member any more. */
    void forgetDemand(String node) {
        demand.remove(node);
    }

    /** Replaces the snapshot; the registry's call. */
    public void publish(List<Entry> snapshot) {
        entries = List.copyOf(snapshot);
    }

    void publishSupervisor(SupervisorReport report) {
        supervisor = report;
    }

    /** Counts work given to a GPU (+1) or over (-1). */
    public void countInFlight(String gpuId, int change) {
        inFlight.computeIfAbsent(gpuId, g -> new AtomicInteger()).addAndGet(change);
    }

    public int inFlight(String gpuId) {
        AtomicInteger count = inFlight.get(gpuId);
        return count == null ? 0 : count.get();
    }
}
