package io.tandem.routing;

import io.tandem.worker.WorkerReport;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Which workers there are, as one node sees it: reports, silence and the fate of their nodes in, losses out. No clock, no
 * actor. A worker is lost when it says so, when its process or its node is gone or unreachable, when its reports stop, or when a new incarnation
 * reports; each loss is told once.
 */
public final class WorkerRoster {

    /** A worker that was live and is lost. */
    public record Loss(WorkerReport worker, String why) {}

    private final long timeoutNanos;
    private final TreeMap<String, WorkerDirectory.Entry> workers = new TreeMap<>();

    /** By GPU id: incarnations whose process is gone, and until when nothing that they said is believed. */
    private final Map<String, Gone> gone = new HashMap<>();

    private record Gone(long epoch, long untilNanos) {}

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

    /**
     * A report came in; at most one loss: the incarnation before. One that seems older than the one that lives is a late word; than one
     * that is lost, it may be its successor, whose clock is behind.
     */
    public List<Loss> onReport(WorkerReport report, long nowNanos) {
        List<Loss> losses = new ArrayList<>(1);
        WorkerDirectory.Entry known = workers.get(report.gpuId());
        boolean late = known != null && known.live() && known.report().epoch() > report.epoch();
        if (late || isOfTheDead(report, nowNanos)) {
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

    /** What the process said before its death may still be on its way. If it lives after all, it is heard again after a while. */
    private boolean isOfTheDead(WorkerReport report, long nowNanos) {
        Gone dead = gone.get(report.gpuId());
        if (dead == null) {
            return false;
        }
        if (nowNanos - dead.untilNanos() >= 0) {
            gone.remove(report.gpuId());
            return false;
        }
        return dead.epoch() == report.epoch();
    }

    /** A worker ends, as it says itself; at most one loss. Nothing that it said before is believed any more. */
    public List<Loss> onWorkerEnded(String gpuId, long epoch, String why, long nowNanos) {
        List<Loss> losses = new ArrayList<>(1);
        WorkerDirectory.Entry known = workers.get(gpuId);
        if (known != null && known.live() && known.report().epoch() == epoch) {
            gone.put(gpuId, new Gone(epoch, nowNanos + timeoutNanos));
            lose(losses, known.report(), why, nowNanos);
        }
        return losses;
    }

    /** The node's process is dead; a successor may report any moment. */
    public List<Loss> onProcessGone(String node, String why, long nowNanos) {
        for (WorkerDirectory.Entry entry : workers.values()) {
            if (entry.report().node().equals(node)) {
                gone.put(entry.report().gpuId(), new Gone(entry.report().epoch(), nowNanos + timeoutNanos));
            }
        }
        return onNodeLost(node, why, nowNanos);
    }

    /** The node's process is not dead after all: its workers come back with their next reports. */
    public void onProcessBack(String node) {
        for (WorkerDirectory.Entry entry : workers.values()) {
            if (entry.report().node().equals(node)) {
                gone.remove(entry.report().gpuId());
            }
        }
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
        onProcessBack(node);
        workers.values().removeIf(e -> e.report().node().equals(node));
        return losses;
    }

    private void lose(List<Loss> losses, WorkerReport report, String why, long nowNanos) {
        workers.put(report.gpuId(), new WorkerDirectory.Entry(report, false, nowNanos));
        losses.add(new Loss(report, why));
    }
}
