package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerDirectory;
import io.tandem.worker.WorkerMessage;
import java.time.Duration;
import java.util.List;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * The supervisor without the actor: from what workers and nodes report to the changes of role that are to be told now. It keeps
 * nothing that would be lost with it but a few counts. Time as an argument. Not thread-safe.
 */
public final class Supervision {
    /** Demand of a node that says nothing for this long is gone with it. */
    private static final Duration DEMAND_TIMEOUT = Duration.ofSeconds(10);

    private final WorkerDirectory directory;
    private final RebalanceSettings settings;
    private final RebalancePolicy policy;
    private final SupervisorView view;
    private RebalancePolicy.State state = RebalancePolicy.State.START;

    public Supervision(
            WorkerDirectory directory, RebalanceSettings settings, RoutingSettings routing, EngineSettings engine) {
        this.directory = directory;
        this.settings = settings;
        policy = new RebalancePolicy(settings);
        view = new SupervisorView(routing, engine);
    }

    /**
     * What one round came to.
     *
     * @param demand it was decided for
     * @param flips decided now; to be told to the workers if {@code acts}
     * @param acts or only advises
     */
    public record Round(
            Demand demand, RebalancePolicy.Verdict verdict, List<RebalancePolicy.Flip> flips, boolean acts) {}

    /** One round; to be called once an interval. */
    public Round decide(long nowNanos) {
        Demand demand = DemandWindow.sum(directory.demand(nowNanos, DEMAND_TIMEOUT.toNanos()));
        if (settings.mode() == RebalanceSettings.Mode.OFF) {
            RebalancePolicy.Verdict byHand =
                    new RebalancePolicy.Verdict("", 0, 0, "", "roles are changed by hand only");
            return new Round(demand, byHand, List.of(), false);
        }
        RebalancePolicy.Outcome outcome = policy.decide(state, view.workers(directory, nowNanos), demand, nowNanos);
        boolean acts = settings.mode() == RebalanceSettings.Mode.ACT;
        state = acts || outcome.flips().isEmpty() ? outcome.state() : RebalancePolicy.State.START;
        return new Round(demand, outcome.verdict(), outcome.flips(), acts);
    }

    /** What the new role does not want moves away when somebody else takes it; else it runs to its end where it is. */
    public WorkerMessage.ChangeRole changeRole(String gpuId, EngineRole to, ActorRef<WorkerMessage.Done> replyTo) {
        EngineRole unwanted = to == EngineRole.PREFILL ? EngineRole.DECODE : EngineRole.PREFILL;
        return new WorkerMessage.ChangeRole(to, SupervisorView.othersTake(directory, gpuId, unwanted), replyTo);
    }

    /** The same for a worker that is drained. */
    public WorkerMessage.SetDraining setDraining(String gpuId, boolean draining, ActorRef<WorkerMessage.Done> replyTo) {
        boolean moves = SupervisorView.othersTake(directory, gpuId, EngineRole.DECODE);
        return new WorkerMessage.SetDraining(draining, moves, replyTo);
    }
}
