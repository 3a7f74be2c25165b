package io.tandem.simulation;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.tandem.engine.EngineRole;
import io.tandem.simulation.SimulationResult.Spread;

/**
 * One run in figures. Times in milliseconds.
 *
 * @param policy by name
 * @param layout at the start
 * @param speedup of the trace's arrivals
 * @param arrivalsPerSecond requests over the time of their arrivals
 * @param good requests within both targets, of all that arrived
 * @param itl gaps between single tokens
 * @param tpot mean gap of a request
 * @param hitRate share of prompt tokens found cached
 * @param prefillUse share of time in which PREFILL workers computed; NaN when none had the role
 * @param flips role changes
 */
public record RunSummary(
        String policy,
        String layout,
        double speedup,
        long seed,
        int requests,
        double arrivalsPerSecond,
        int completed,
        int rejected,
        int good,
        @JsonProperty("ttft_ms") Spread ttft,
        @JsonProperty("itl_ms") Spread itl,
        @JsonProperty("tpot_ms") Spread tpot,
        double hitRate,
        double outputTokensPerSecond,
        double prefillUse,
        double decodeUse,
        double mixedUse,
        int flips,
        long preemptions,
        double durationSeconds,
        Timeline timeline) {

    static RunSummary of(String policy, double speedup, Scenario s, SimulationResult r) {
        long[] arrivals = s.trace().arrivalNanos();
        double seconds = Math.max(1e-9, arrivals[arrivals.length - 1] / 1e9);
        return new RunSummary(
                policy,
                s.layout().toString(),
                speedup,
                s.seed(),
                r.requests(),
                r.requests() / seconds,
                r.completedRequests(),
                r.rejectedRequests(),
                r.goodput(s.slo()),
                r.ttft(),
                r.itl(),
                r.tpot(),
                r.reuse(),
                r.outputTokensPerSecond(),
                r.roles().use(EngineRole.PREFILL, r.durationNanos()),
                r.roles().use(EngineRole.DECODE, r.durationNanos()),
                r.roles().use(EngineRole.MIXED, r.durationNanos()),
                r.roles().flips(),
                r.preemptions(),
                r.durationNanos() / 1e9,
                Timeline.of(s, r));
    }

    /** Good requests as a share of all that arrived. */
    public double goodShare() {
        return (double) good / requests;
    }
}
