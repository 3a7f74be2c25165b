package io.tandem;

import io.tandem.routing.RoutingDecision;
import java.util.List;

/**
 * Why an attempt of a request went where it went. Times in nanoseconds.
 *
 * @param plans those of least cost among the weighed ones
 * @param chosen index into {@code plans}
 * @param reason one sentence
 * @param sinceNanos when it was made, from the request's acceptance
 * @param ended why the attempt ended before the output did; empty = it did not
 * @param observed what came of it, as far as is known
 */
public record RouteDecision(
        List<Plan> plans, int chosen, String reason, long sinceNanos, String ended, Observed observed) {

    /**
     * What the attempt saw; 0 = nothing yet, or too little to tell.
     *
     * @param ttftNanos from the decision to its first token
     * @param itlNanos mean time between its tokens on the chosen decode GPU
     */
    public record Observed(double ttftNanos, double itlNanos) {
        public static final Observed NOTHING = new Observed(0, 0);
    }

    /** Nothing came of it yet. */
    public RouteDecision(List<Plan> plans, int chosen, String reason) {
        this(plans, chosen, reason, 0, "", Observed.NOTHING);
    }

    /** The same of an attempt that is over. */
    public RouteDecision over(Observed what, String why) {
        return new RouteDecision(plans, chosen, reason, sinceNanos, why, what);
    }

    /**
     * One way to serve the request.
     *
     * @param prefillGpu computes the prompt
     * @param decodeGpu computes the output; the same GPU = not split
     * @param cachedTokens of the prompt on the prefill GPU
     * @param uncachedTokens left to compute there
     * @param predictedTtftNanos until the first token
     * @param predictedItlNanos between tokens
     * @param workNanos GPU time of the prompt
     * @param interferenceNanos delay of decodes that run beside the prompt, summed over them
     * @param lateNanos predicted time to first token beyond what the target allows
     * @param slowNanos predicted time between tokens beyond what the target allows, summed over the expected output
     * @param transferNanos to bring the prompt's blocks to the decode GPU; 0 = not split
     * @param cost what was compared: predicted TTFT, work, interference and transfer, and many times what is late or slow
     */
    public record Plan(
            String prefillGpu,
            String decodeGpu,
            int cachedTokens,
            int uncachedTokens,
            double predictedTtftNanos,
            double predictedItlNanos,
            double workNanos,
            double interferenceNanos,
            double lateNanos,
            double slowNanos,
            double transferNanos,
            double cost) {
        public boolean split() {
            return !prefillGpu.equals(decodeGpu);
        }
    }

    public Plan plan() {
        return plans.get(chosen);
    }

    /** The policy's own decision as callers see it, made so long after the request's acceptance. */
    public static RouteDecision of(RoutingDecision decision, long sinceNanos) {
        List<Plan> plans = decision.plans().stream()
                .map(p -> new Plan(
                        p.prefillGpu(),
                        p.decodeGpu(),
                        p.cachedTokens(),
                        p.uncachedTokens(),
                        p.predictedTtftNanos(),
                        p.predictedItlNanos(),
                        p.workNanos(),
                        p.interferenceNanos(),
                        p.lateNanos(),
                        p.slowNanos(),
                        p.transferNanos(),
                        p.cost()))
                .toList();
        return new RouteDecision(plans, decision.chosen(), decision.reason(), sinceNanos, "", Observed.NOTHING);
    }
}
