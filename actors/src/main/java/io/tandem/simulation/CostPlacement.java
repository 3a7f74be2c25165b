package io.tandem.simulation;

import io.tandem.routing.CostPolicy;
import io.tandem.routing.CostSettings;
import io.tandem.routing.RoutingDecision;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.StepTimes;
import io.tandem.routing.WorkerLoad;
import io.tandem.simulation.ClusterSimulation.Cluster;
import io.tandem.supervisor.DemandWindow;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** The production {@link CostPolicy} in the simulated cluster: it learns step times and books as it does there. */
public final class CostPlacement implements Placement {
    private static final long DEMAND_HALF_LIFE_NANOS = 20_000_000_000L;
    private static final RoutingSettings.Prior PRIOR =
            new RoutingSettings.Prior(Duration.ofMillis(10), Duration.ofNanos(20_000), Duration.ofNanos(50));
    private static final long REPORT_INTERVAL_NANOS = 200_000_000L;

    private final CostPolicy policy;
    private final Optional<EarlyRejection> rejection;
    private final Cluster cluster;
    private final Trace trace;
    private final RoleBoard roles;
    private final WorkerLoad[] loads;
    private final Slo slo;
    private final DemandWindow demand = new DemandWindow(DEMAND_HALF_LIFE_NANOS);
    private final int[] prefillAt;
    private final int[] decodeAt;
    private final List<CostPolicy.Candidate> candidates = new ArrayList<>();
    private long nextReportNanos;

    /** @param rejection empty = every request is served, however late */
    CostPlacement(Scenario scenario, RoleBoard roles, CostSettings settings, Optional<EarlyRejection> rejection) {
        this.roles = roles;
        this.rejection = rejection;
        cluster = scenario.cluster();
        trace = scenario.trace();
        slo = scenario.slo();
        policy = new CostPolicy(settings, scenario.seed());
        loads = new WorkerLoad[roles.workers()];
        for (int w = 0; w < loads.length; w++) {
            loads[w] = new WorkerLoad("gpu-" + w, PRIOR.newModel(cluster.maxBatchTokens()));
        }
        prefillAt = new int[trace.size()];
        decodeAt = new int[trace.size()];
    }

    @Override
    public Plan place(Arrival arrival) {
        long now = arrival.nowNanos();
        RoutingDecision.Plan plan = decide(arrival);
        double decodeNanos = outputNanos(plan, arrival);
        if (rejection.isPresent()
                && promptsLearned(plan)
                && rejection.get().refuses(plan, learnedItlNanos(plan), decodeNanos, now)) {
            return Plan.REJECTED;
        }
        arrived(plan, now);
        return book(arrival, plan);
    }

    /** Traces say how long an output was, and not how long it might have been: no policy here is told either. */
    private CostPolicy.Request request(Arrival arrival) {
        return new CostPolicy.Request(arrival.request(), arrival.inputTokens(), slo.ttftNanos(), slo.itlNanos());
    }

    /** Whether a plan's TTFT rests on measurements. Nothing is refused for a prior: what is served instead corrects it. */
    boolean promptsLearned(RoutingDecision.Plan plan) {
        return load(number(plan.prefillGpu())).steps().prefillLearned();
    }

    /** A plan's ITL; 0 = nothing was measured yet. */
    double learnedItlNanos(RoutingDecision.Plan plan) {
        boolean learned = load(number(plan.decodeGpu())).steps().decodeLearned();
        return learned ? plan.predictedItlNanos() : 0;
    }

    /** Decides and books nothing. */
    RoutingDecision.Plan decide(Arrival arrival) {
        if (arrival.nowNanos() >= nextReportNanos) {
            nextReportNanos = arrival.nowNanos() + REPORT_INTERVAL_NANOS;
            lendTimes();
        }
        return policy.decide(request(arrival), candidates(arrival), arrival.nowNanos())
                .orElseThrow()
                .plan();
    }

    /** Counts a request that is let in as demand. */
    void arrived(RoutingDecision.Plan plan, long nowNanos) {
        demand.arrived(plan.uncachedTokens(), nowNanos);
    }

    /** Books a decision: from now on the request is expected there. */
    Plan book(Arrival arrival, RoutingDecision.Plan plan) {
        int prefill = number(plan.prefillGpu());
        int decode = number(plan.decodeGpu());
        policy.book(request(arrival), plan, loads[prefill], loads[decode], arrival.nowNanos());
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
            long free = loads[w].freeTokens(capacity, cluster.maxSequences());
            candidates.add(new CostPolicy.Candidate(loads[w], roles.role(w), cached, transfer, free));
        }
        return candidates;
    }

    /**
     * What a worker has not measured is taken from the one that measured most of it, as routers do with the reports of workers that are
     * alike. Else one whose prior is beyond a target is never tried.
     */
    private void lendTimes() {
        List<StepTimes> own =
                Arrays.stream(loads).map(load -> load.steps().learned()).toList();
        StepTimes most = StepTimes.mostMeasured(own);
        for (int w = 0; w < loads.length; w++) {
            long decodeSamples = own.get(w).decodeKnown() ? 0 : most.decodeSamples();
            long prefillSamples = own.get(w).prefillKnown() ? 0 : most.prefillSamples();
            if (decodeSamples > 0 || prefillSamples > 0) {
                StepTimes lent = new StepTimes(most.decode(), most.prefill(), decodeSamples, prefillSamples);
                loads[w].steps().adopt(lent, cluster.maxBatchTokens());
            }
        }
    }

    static int number(String gpu) {
        return Integer.parseInt(gpu, 4, gpu.length(), 10);
    }

    /** GPU time of the output under a plan. */
    double outputNanos(RoutingDecision.Plan plan, Arrival arrival) {
        return policy.outputNanos(loads[number(plan.decodeGpu())].steps(), request(arrival));
    }

    /** What the router believes of a worker. */
    WorkerLoad load(int worker) {
        return loads[worker];
    }

    /** What clients asked for lately. */
    DemandWindow demand() {
        return demand;
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        loads[worker].prefillEnded(request);
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        loads[decodeAt[request]].finished(request);
        loads[prefillAt[request]].finished(request);
        policy.outputEnded(trace.outputTokens()[request]);
        demand.finished(trace.inputTokens()[request], trace.outputTokens()[request], nowNanos);
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
