package io.tandem.simulation;

import io.tandem.routing.RoutingDecision;

/**
 * Refuses a request at arrival, before any GPU work, when its best plan is predicted to miss a target, for itself or for the
 * decodes beside its prompt. What would be served too late only makes others late.
 *
 * @param ttftShare share of the TTFT target that the prediction may reach; infinite = never refuse
 * @param itlShare the same of the ITL target
 */
public record EarlyRejection(double ttftShare, double itlShare) {
    /** A little below the TTFT target, since predictions err to the low side when prompts queue. */
    public static final EarlyRejection DEFAULT = new EarlyRejection(0.95, 1);

    /** Everything is accepted. */
    public static final EarlyRejection OFF = new EarlyRejection(Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY);

    boolean refuses(RoutingDecision.Plan plan, long ttftTargetNanos, long itlTargetNanos) {
        return plan.predictedTtftNanos() > ttftShare * ttftTargetNanos
                || plan.predictedItlNanos() > itlShare * itlTargetNanos;
    }
}
