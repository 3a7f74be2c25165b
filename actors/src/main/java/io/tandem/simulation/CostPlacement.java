package io.tandem.simulation;

import io.tandem.routing.CostPolicy;
import io.tandem.routing.CostSettings;
import io.tandem.routing.RoutingDecision;
import io.tandem.routing.StepTimeModel;
import io.tandem.routing.WorkerLoad;
import io.tandem.simulation.ClusterSimulation.Cluster;
import java.util.ArrayList;
import java.util.List;

/** The production {@link CostPolicy} in the simulated cluster: it learns step times and books as it does there. */
public final class CostPlacement implements Placement {
    private final CostPolicy policy;
    private final EarlyRejection rejection;
    private final Cluster cluster;
    private final RoleBoard roles;
    private final WorkerLoad[] loads;
    private final long ttftTargetNanos;
    private final long itlTargetNanos;
    private final int[] prefillAt;
    private final int[] decodeAt;
    private final List<CostPolicy.Candidate> candidates = new ArrayList<>();

    public CostPlacement(Scenario scenario, RoleBoard roles, CostSettings settings, EarlyRejection rejection) {
        this.roles = roles;
        this.rejection = rejection;
        cluster = scenario.cluster();
        ttftTargetNanos = scenario.slo().ttftNanos();
        itlTargetNanos = scenario.slo().itlNanos();
        policy = new CostPolicy(settings, scenario.seed());
        loads = new WorkerLoad[roles.workers()];
        for (int w = 0; w < loads.length; w++) {
            loads[w] = new WorkerLoad("gpu-" + w, new StepTimeModel(cluster.maxBatchTokens(), 10e6, 20_000, 50));
        }
        prefillAt = new int[scenario.trace().size()];
        decodeAt = new int[scenario.trace().size()];
    }

    @Override
    public Plan place(Arrival arrival) {
        var request = new CostPolicy.Request(arrival.request(), arrival.inputTokens(), ttftTargetNanos, itlTargetNanos);
        RoutingDecision.Plan plan = policy.decide(request, candidates(arrival), arrival.nowNanos())
                .orElseThrow()
                .plan();
        if (rejection.refuses(plan, ttftTargetNanos, itlTargetNanos)) {
            return Plan.REJECTED;
        }
        int prefill = number(plan.prefillGpu());
        int decode = number(plan.decodeGpu());
        policy.book(request, plan, loads[prefill], loads[decode], arrival.nowNanos());
        prefillAt[arrival.request()] = prefill;
        decodeAt[arrival.request()] = decode;
        return new Plan(prefill, decode);
    }

    private List<CostPolicy.Candidate> candidates(Arrival arrival) {
        candidates.clear();
        int blockTokens = cluster.blockTokens();
        long capacity = (long) cluster.blocks() * blockTokens;
        int whole = (arrival.inputTokens() - 1) / blockTokens;
        double transfer = cluster.transferNanos(arrival.inputTokens());
        for (int w = 0; w < loads.length; w++) {
            int cached = Math.min(arrival.depths()[w], whole) * blockTokens;
            long free = capacity - (long) loads[w].contextTokens();
            candidates.add(new CostPolicy.Candidate(loads[w], roles.role(w), cached, transfer, free));
        }
        return candidates;
    }

    private static int number(String gpu) {
        return Integer.parseInt(gpu, 4, gpu.length(), 10);
    }

    /** What the router believes of a worker. */
    WorkerLoad load(int worker) {
        return loads[worker];
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        loads[worker].prefillEnded(request);
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        loads[decodeAt[request]].finished(request);
        loads[prefillAt[request]].finished(request);
    }

    @Override
    public void passEnded(int worker, PassShape pass, long durationNanos, long nowNanos) {
        loads[worker].stepEnded(
                pass.newTokens,
                pass.prefixTokens,
                pass.decodeSequences,
                pass.decodeContextTokens,
                durationNanos,
                nowNanos);
    }
}
