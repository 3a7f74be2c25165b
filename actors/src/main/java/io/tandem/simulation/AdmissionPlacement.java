package io.tandem.simulation;

import com.typesafe.config.ConfigFactory;
import io.tandem.admission.AdmissionPolicy;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.Applicant;
import io.tandem.admission.Forecast;
import io.tandem.admission.Forecaster;
import io.tandem.admission.ServiceClass;
import io.tandem.admission.Verdict;
import io.tandem.routing.RoutingDecision;
import io.tandem.routing.WorkerLoad;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;

/** The production {@link AdmissionPolicy} before the production routing: requests are sent on, wait or are refused as there. */
public final class AdmissionPlacement implements Placement {
    private static final String TENANT = "trace";
    private static final int ALL = 1_000_000;

    private final CostPlacement cost;
    private final Trace trace;
    private final AdmissionPolicy policy;
    private final ServiceClass serviceClass;
    private final long tickNanos;
    private final int workers;
    private final Map<Long, RoutingDecision.Plan> forecasts = new HashMap<>();
    private final Map<Long, Plan> booked = new HashMap<>();
    private final List<Verdict> verdicts = new ArrayList<>();
    private IntFunction<Arrival> arrivals;
    private long nextReleaseNanos = Long.MAX_VALUE;

    /** @param settings with one class, that of all requests; see {@link #settings} */
    public AdmissionPlacement(Scenario scenario, CostPlacement cost, AdmissionSettings settings) {
        this.cost = cost;
        trace = scenario.trace();
        serviceClass = settings.classes().getFirst();
        tickNanos = settings.tickInterval().toNanos();
        workers = scenario.layout().workers();
        policy = new AdmissionPolicy(settings, new CostForecaster());
    }

    /** One class with the scenario's targets, no bound on the queue. */
    public static AdmissionSettings settings(Slo slo, Duration dispatchAhead) {
        ServiceClass one = new ServiceClass("slo", slo.ttftNanos(), slo.itlNanos(), 1, 1, false, ALL);
        return new AdmissionSettings(
                true,
                List.of(one),
                one.name(),
                ALL,
                dispatchAhead.toNanos(),
                ALL,
                0.95,
                AdmissionSettings.rejectItlAbove(ConfigFactory.load()),
                AdmissionSettings.sizeLimit(ConfigFactory.load()),
                false,
                2,
                300,
                1,
                Map.of(),
                0,
                false,
                Duration.ofMillis(5));
    }

    private final class CostForecaster implements Forecaster {
        @Override
        public Forecast forecast(Applicant applicant, long nowNanos) {
            Arrival arrival = arrivals.apply((int) applicant.id());
            RoutingDecision.Plan plan = cost.decide(arrival);
            forecasts.put(applicant.id(), plan);
            WorkerLoad prefill = cost.load(CostPlacement.number(plan.prefillGpu()));
            WorkerLoad decode = cost.load(CostPlacement.number(plan.decodeGpu()));
            boolean idle = prefill.backlogTokens() <= 0 && decode.decodes() == 0;
            return new Forecast(
                    workers,
                    cost.promptsLearned(plan),
                    idle,
                    plan.decodeGpu(),
                    Math.max(0, plan.predictedTtftNanos() - plan.workNanos()),
                    plan.predictedTtftNanos(),
                    plan.workNanos(),
                    plan.uncachedTokens(),
                    cost.learnedItlNanos(plan),
                    cost.outputNanos(plan, arrival));
        }

        @Override
        public double itlNanos(Applicant applicant, Forecast forecast, int fewerDecodes, double fewerContextTokens) {
            WorkerLoad load = cost.load(CostPlacement.number(forecast.decodeGpu()));
            double now = load.decodeStepNanos(1, applicant.promptTokens());
            double then = load.decodeStepNanos(1 - fewerDecodes, applicant.promptTokens() - fewerContextTokens);
            return now <= 0 ? forecast.itlNanos() : forecast.itlNanos() * then / now;
        }

        @Override
        public void book(Applicant applicant, Forecast forecast, long nowNanos) {
            RoutingDecision.Plan plan = forecasts.get(applicant.id());
            cost.arrived(plan, nowNanos);
            booked.put(applicant.id(), cost.book(arrivals.apply((int) applicant.id()), plan));
        }
    }

    @Override
    public Plan place(Arrival arrival) {
        arrivals = request -> arrival;
        int request = arrival.request();
        Applicant applicant = new Applicant(
                request,
                TENANT,
                serviceClass,
                arrival.inputTokens(),
                Integer.MAX_VALUE,
                arrival.nowNanos(),
                Long.MAX_VALUE / 4);
        policy.arrive(applicant, arrival.nowNanos(), verdicts);
        Plan plan = verdicts.isEmpty() ? Plan.HELD : plan(verdicts.getFirst());
        verdicts.clear();
        if (policy.queued() > 0 && nextReleaseNanos == Long.MAX_VALUE) {
            nextReleaseNanos = arrival.nowNanos() + tickNanos;
        }
        return plan;
    }

    private Plan plan(Verdict verdict) {
        long id = verdict.applicant().id();
        forecasts.remove(id);
        return verdict instanceof Verdict.Dispatch ? booked.remove(id) : Plan.REJECTED;
    }

    @Override
    public long nextReleaseNanos() {
        return nextReleaseNanos;
    }

    @Override
    public void release(Door door, long nowNanos) {
        arrivals = door::arrival;
        policy.pump(nowNanos, verdicts);
        for (Verdict verdict : verdicts) {
            door.release((int) verdict.applicant().id(), plan(verdict));
        }
        verdicts.clear();
        nextReleaseNanos = policy.queued() > 0 ? nowNanos + tickNanos : Long.MAX_VALUE;
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        cost.prefillEnded(request, worker, nowNanos);
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        cost.finished(request, worker, nowNanos);
        policy.ended(request, trace.outputTokens()[request], true);
    }

    @Override
    public void passEnded(int worker, PassShape pass, long durationNanos, long nowNanos) {
        cost.passEnded(worker, pass, durationNanos, nowNanos);
    }
}
