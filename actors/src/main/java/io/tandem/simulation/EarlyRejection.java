package io.tandem.simulation;

import io.tandem.admission.SizeLimit;
import io.tandem.routing.RoutingDecision;

/**
 * Refuses a request at arrival, before any GPU work, when its best plan is predicted to miss a target, for itself or for the
 * decodes beside its prompt: what would be served too late only makes others late. Under overload the largest go first.
 */
final class EarlyRejection {
    /** A little below the TTFT target, since predictions err to the low side when prompts queue. */
    private static final double TTFT_SHARE = 0.95;

    private static final double TTFT_SPARE = 0.5;
    private static final double ITL_SPARE = 0.9;

    private static final double FALL = 0.9;
    private static final double RISE_PER_SECOND = 0.02;
    private static final double GPU_NANOS_MAX = 3e9;

    private final Slo slo;
    private final SizeLimit sizes;

    private EarlyRejection(Slo slo, double fall) {
        this.slo = slo;
        sizes = new SizeLimit(fall, RISE_PER_SECOND, GPU_NANOS_MAX);
    }

    /** The largest first. */
    static EarlyRejection bySize(Slo slo) {
        return new EarlyRejection(slo, FALL);
    }

    /** By prediction alone. */
    static EarlyRejection plain(Slo slo) {
        return new EarlyRejection(slo, 1);
    }

    /** @param decodeNanos GPU time of the request's output, its share of the steps */
    boolean refuses(RoutingDecision.Plan plan, double decodeNanos, long nowNanos) {
        if (!sizes.admits(plan.workNanos() + decodeNanos, nowNanos)) {
            if (within(plan, TTFT_SPARE, ITL_SPARE)) {
                sizes.roomToSpare(nowNanos);
            }
            return true;
        }
        boolean refused = !within(plan, TTFT_SHARE, 1);
        if (refused && plan.workNanos() <= TTFT_SHARE * slo.ttftNanos()) {
            sizes.noRoom(nowNanos);
        }
        return refused;
    }

    private boolean within(RoutingDecision.Plan plan, double ttftShare, double itlShare) {
        return plan.predictedTtftNanos() <= ttftShare * slo.ttftNanos()
                && plan.predictedItlNanos() <= itlShare * slo.itlNanos();
    }
}
