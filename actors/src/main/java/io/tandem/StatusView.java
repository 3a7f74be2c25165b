package io.tandem;

import io.tandem.model.ModelBundle;
import io.tandem.routing.Registries;
import io.tandem.routing.WorkerDirectory;
import io.tandem.supervisor.SupervisorReport;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.cluster.ClusterEvent;
import org.apache.pekko.cluster.Member;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;

/** Makes a {@link ClusterStatus} out of what this node knows. */
final class StatusView {
    private StatusView() {}

    /** @param unheard what this node must learn of the workers before it serves; empty = nothing */
    static ClusterStatus of(
            ActorSystem<?> system, String self, WorkerDirectory directory, ModelBundle model, String unheard) {
        ClusterEvent.CurrentClusterState state = Cluster.get(system).state();
        Set<Member> unreachable = new HashSet<>(state.getUnreachable());
        List<ClusterStatus.Member> members = new ArrayList<>();
        boolean up = false;
        for (Member member : state.getMembers()) {
            String address = Registries.node(member.address());
            boolean reachable = !unreachable.contains(member);
            up |= address.equals(self) && member.status().equals(MemberStatus.up());
            members.add(new ClusterStatus.Member(
                    address,
                    member.getRoles().stream()
                            .filter(role -> !ProcessWatch.isInternal(role))
                            .sorted()
                            .toList(),
                    reachable ? member.status().toString() : "Unreachable"));
        }
        List<ClusterStatus.Worker> workers =
                directory.entries().stream().map(StatusView::worker).toList();
        String missing = up
                ? unserved(directory.entries(), model.name(), model.fingerprint())
                : "this node has not joined the cluster yet";
        missing = missing.isEmpty() ? unheard : missing;
        return new ClusterStatus(
                self, missing.isEmpty(), missing, members, workers, supervisor(directory.supervisor()));
    }

    private static ClusterStatus.Supervisor supervisor(SupervisorReport r) {
        return new ClusterStatus.Supervisor(
                r.node(),
                r.mode(),
                r.layout(),
                r.wanted(),
                r.promptStrain(),
                r.decodeStrain(),
                r.reason(),
                r.requestsPerSecond(),
                r.promptTokensPerSecond(),
                r.outputTokensPerSecond(),
                r.changes(),
                r.lastChange(),
                r.lastChangeMillis());
    }

    private static ClusterStatus.Worker worker(WorkerDirectory.Entry e) {
        var r = e.report();
        return new ClusterStatus.Worker(
                r.gpuId(),
                r.node(),
                r.epoch(),
                r.model(),
                r.modelFingerprint(),
                r.kvSignature(),
                r.backend(),
                r.transferWire(),
                r.transferPaths(),
                r.draining(),
                e.live(),
                r.stats());
    }

    /**
     * Why no worker takes requests for a model; empty when one does. Any role alone serves: where no pair is there, a request runs whole
     * on what is.
     */
    static String unserved(List<WorkerDirectory.Entry> workers, String model, String fingerprint) {
        List<WorkerDirectory.Entry> live = only(workers, WorkerDirectory.Entry::live);
        List<WorkerDirectory.Entry> able =
                only(live, e -> e.report().modelFingerprint().equals(fingerprint));
        String lost = named("; lost: ", only(workers, e -> !e.live()));
        if (able.isEmpty()) {
            return "no worker serves " + model + named("; with another model file: ", live) + lost;
        }
        boolean drained = able.stream().allMatch(e -> e.report().draining());
        return drained ? "every worker of " + model + " is drained" + named(": ", able) + lost : "";
    }

    private static List<WorkerDirectory.Entry> only(
            List<WorkerDirectory.Entry> workers, Predicate<WorkerDirectory.Entry> which) {
        return workers.stream().filter(which).toList();
    }

    private static String named(String what, List<WorkerDirectory.Entry> workers) {
        return workers.isEmpty()
                ? ""
                : workers.stream().map(e -> e.report().gpuId()).collect(Collectors.joining(", ", what, ""));
    }
}
