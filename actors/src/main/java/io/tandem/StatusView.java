package io.tandem;

import io.tandem.routing.Registries;
import io.tandem.routing.WorkerDirectory;
import io.tandem.supervisor.SupervisorReport;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
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
            ActorSystem<?> system, String self, WorkerDirectory directory, String model, String unheard) {
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
        String missing = missing(up, workers, model);
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

    /** Any role alone serves: where no pair is there, a request runs whole on what is. */
    static String missing(boolean up, List<ClusterStatus.Worker> workers, String model) {
        if (!up) {
            return "this node has not joined the cluster yet";
        }
        List<ClusterStatus.Worker> live =
                workers.stream().filter(ClusterStatus.Worker::live).toList();
        if (live.isEmpty()) {
            return "no worker serves " + model;
        }
        return live.stream().allMatch(ClusterStatus.Worker::draining) ? "every worker of " + model + " is drained" : "";
    }
}
