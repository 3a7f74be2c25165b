package io.tandem.routing;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Where a request goes and why, kept with it for whoever asks. Times in nanoseconds.
 *
 * @param plans every plan that was weighed
 * @param chosen index into {@code plans}
 * @param reason one sentence
 */
public record RoutingDecision(List<Plan> plans, int chosen, String reason) {

    /**
     * One way to serve the request.
     *
     * @param prefillGpu computes the prompt
     * @param decodeGpu computes the output; the same GPU = not split
     * @param cachedTokens of the prompt on the prefill GPU
     * @param uncachedTokens left to compute there
     * @param predictedTtftNanos until the first token
     * @param predictedItlNanos between tokens on the decode GPU, the request included, or of the decodes beside the
     *     prompt if they are slower
     * @param workNanos GPU time of the prompt
     * @param interferenceNanos delay of decodes that run beside the prompt, summed over them
     * @param lateNanos predicted TTFT beyond what the target allows
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

    /** The same with the chosen plan first and at most {@code most} plans, those of least cost. */
    public RoutingDecision best(int most) {
        List<Plan> kept = new ArrayList<>(Math.min(most, plans.size()));
        kept.add(plan());
        IntStream.range(0, plans.size())
                .filter(i -> i != chosen)
                .mapToObj(plans::get)
                .sorted(Comparator.comparingDouble(Plan::cost))
                .limit(most - 1L)
                .forEach(kept::add);
        return new RoutingDecision(List.copyOf(kept), 0, reason);
    }
}
