package io.tandem.simulation;

import com.typesafe.config.ConfigFactory;
import io.tandem.routing.WorkerLoad;
import io.tandem.simulation.ClusterSimulation.Cluster;
import io.tandem.supervisor.Demand;
import io.tandem.supervisor.RebalancePolicy;
import io.tandem.supervisor.RebalanceSettings;
import io.tandem.supervisor.WorkerView;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * The supervisor's {@link RebalancePolicy} under virtual time, with the settings of reference.conf and the scenario's targets. It
 * sees demand and workers as the router believes them to be.
 */
final class SupervisedRoles implements RoleController {
    private final RebalancePolicy policy;
    private final RebalanceSettings settings;
    private final CostPlacement placement;
    private final long kvTokens;
    private final int maxSequences;
    private RebalancePolicy.State state = RebalancePolicy.State.START;

    SupervisedRoles(Scenario scenario, CostPlacement placement) {
        this.placement = placement;
        settings = settings(scenario.slo());
        policy = new RebalancePolicy(settings);
        Cluster cluster = scenario.cluster();
        maxSequences = cluster.maxSequences();
        kvTokens = (long) cluster.blocks() * cluster.blockTokens();
    }

    private static RebalanceSettings settings(Slo slo) {
        RebalanceSettings s = RebalanceSettings.from(ConfigFactory.load());
        return new RebalanceSettings(
                RebalanceSettings.Mode.ACT,
                s.interval(),
                s.demandHalfLife(),
                s.minDwell(),
                s.settleTime(),
                s.flipTimeout(),
                s.confirmations(),
                s.margin(),
                s.actAbove(),
                s.changeShare(),
                Duration.ofNanos(slo.ttftNanos()),
                Duration.ofNanos(slo.itlNanos()));
    }

    @Override
    public long intervalNanos() {
        return settings.interval().toNanos();
    }

    @Override
    public void round(RoleBoard roles, long nowNanos) {
        Demand demand = placement.demand().demand(nowNanos);
        // The policy knows the KV pool as the limit of a batch; here the number of sequences may be the tighter one.
        long room = (long) Math.min((double) kvTokens, maxSequences * Math.max(1, demand.meanContextTokens()));
        List<WorkerView> workers = new ArrayList<>(roles.workers());
        for (int w = 0; w < roles.workers(); w++) {
            WorkerLoad load = placement.load(w);
            workers.add(new WorkerView(
                    load.gpuId(),
                    true,
                    roles.role(w),
                    roles.previousRole(w),
                    nowNanos - roles.sinceNanos(w),
                    load.steps(),
                    (long) load.backlogTokens(),
                    roles.decodes(w),
                    room));
        }
        var outcome = policy.decide(state, workers, demand, nowNanos);
        state = outcome.state();
        for (RebalancePolicy.Flip flip : outcome.flips()) {
            int worker = worker(workers, flip.gpuId());
            roles.flip(worker, flip.to(), nowNanos);
            placement.load(worker).roleChanged(nowNanos);
        }
    }

    private static int worker(List<WorkerView> workers, String gpuId) {
        for (int w = 0; w < workers.size(); w++) {
            if (workers.get(w).gpuId().equals(gpuId)) {
                return w;
            }
        }
        throw new IllegalStateException("the supervisor named " + gpuId + ", which is not here");
    }
}
