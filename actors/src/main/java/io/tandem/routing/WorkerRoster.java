package io.tandem.routing;

import io.tandem.worker.WorkerReport;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;

/**
 * Which workers there are, as one node sees it: reports, silence and the fate of their nodes in, losses out. No clock, no
 * actor. A worker is lost when its node is unreachable or gone, when its reports stop, or when a new incarnation reports;
 * each loss is told once.
 */
public final class WorkerRoster {

    /** A worker that was live and is lost. */
    public record Loss(WorkerReport worker, String why) {}

    private final long timeoutNanos;
    private final TreeMap<String, WorkerDirectory.Entry> workers = new TreeMap<>();

    /** @param timeoutNanos silence after which a worker is lost */
    public WorkerRoster(long timeoutNanos) {
        this.timeoutNanos = timeoutNanos;
    }

    /** Ordered by GPU id. */
    public List<WorkerDirectory.Entry> entries() {
        return new ArrayList<>(workers.values());
    }

    /** What is known of a worker, or null. */
    public WorkerDirectory.Entry entry(String gpuId) {
        return workers.get(gpuId);
    }

    /** A report came in; at most one loss: the incarnation before. */
    public List<Loss> onReport(WorkerReport report, long nowNanos) {
        List<Loss> losses = new ArrayList<>(1);
        WorkerDirectory.Entry known = workers.get(report.gpuId());
        if (known != null && known.report().epoch() > report.epoch()) {
            return losses;
        }
        if (known != null && known.live() && known.report().epoch() < report.epoch()) {
            lose(losses, known.report(), "a new incarnation reports", nowNanos);
        }
        workers.put(report.gpuId(), new WorkerDirectory.Entry(report, true, nowNanos));
        return losses;
    }

    /** Looks for workers whose reports stopped. */
    public List<Loss> onTick(long nowNanos) {
        List<Loss> losses = new ArrayList<>();
        for (WorkerDirectory.Entry entry : entries()) {
            if (entry.live() && nowNanos - entry.seenNanos() > timeoutNanos) {
                lose(losses, entry.report(), "its reports stopped", nowNanos);
            }
        }
        return losses;
    }

    /** The node can be reached no more, or leaves; its workers may come back. */
    public List<Loss> onNodeLost(String node, String why, long nowNanos) {
        List<Loss> losses = new ArrayList<>();
        for (WorkerDirectory.Entry entry : entries()) {
            if (entry.live() && entry.report().node().equals(node)) {
                lose(losses, entry.report(), why, nowNanos);
            }
        }
        return losses;
    }

    /** The node is no member any more; its workers are forgotten. */
    public List<Loss> onNodeRemoved(String node, String why, long nowNanos) {
        List<Loss> losses = onNodeLost(node, why, nowNanos);
        workers.values().removeIf(e -> e.report().node().equals(node));
        return losses;
    }

    private void lose(List<Loss> losses, WorkerReport report, String why, long nowNanos) {
        workers.put(report.gpuId(), new WorkerDirectory.Entry(report, false, nowNanos));
        losses.add(new Loss(report, why));
    }
}
