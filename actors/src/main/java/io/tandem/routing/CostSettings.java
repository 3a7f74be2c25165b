package io.tandem.routing;

/**
 * How {@link CostPolicy} weighs. Times in nanoseconds.
 *
 * @param itlHeadroomMin share of the ITL target up to which decodes are packed on one GPU while no prompt waits, in (0, 1]
 * @param itlHeadroomMax the same while prompts queue; also the limit of a DECODE GPU
 * @param pressureShare mean prompt backlog of a GPU, as a share of the TTFT target, at which the headroom is the largest
 * @param ttftHeadroom share of the TTFT target above which predicted TTFT costs {@code latePenalty} times as much
 * @param latePenalty at least 1
 * @param workWeight weight of the GPU time a prompt takes, beside its own wait; above 0 rewards cached prefixes
 * @param interferenceWeight weight of the delay that a prompt causes to each decode running beside it
 * @param decodeBacklogNanosMax a GPU with more queued prompt time takes no new decodes while another can
 * @param expectedOutputTokens what an output is assumed to have until outputs were seen
 * @param firstTokenFromDecode whether the first token waits for the transfer and a decode step
 */
public record CostSettings(
        double itlHeadroomMin,
        double itlHeadroomMax,
        double pressureShare,
        double ttftHeadroom,
        double latePenalty,
        double workWeight,
        double interferenceWeight,
        double decodeBacklogNanosMax,
        int expectedOutputTokens,
        boolean firstTokenFromDecode) {
    public static final CostSettings DEFAULT = new CostSettings(0.5, 0.92, 0.05, 0.75, 10, 1, 1, 300e6, 300, false);

    public CostSettings {
        if (!(itlHeadroomMin > 0 && itlHeadroomMin <= itlHeadroomMax && itlHeadroomMax <= 1)) {
            throw new IllegalArgumentException(
                    "itl-headroom-min and -max must be in (0, 1], the first not above the second");
        }
        if (!(pressureShare > 0)) {
            throw new IllegalArgumentException("pressure-share must be above 0, not " + pressureShare);
        }
        if (!(ttftHeadroom > 0) || latePenalty < 1 || workWeight < 0 || interferenceWeight < 0) {
            throw new IllegalArgumentException(
                    "ttft-headroom must be above 0, late-penalty at least 1, weights at least 0");
        }
    }

    public CostSettings withFirstTokenFromDecode(boolean fromDecode) {
        return new CostSettings(
                itlHeadroomMin,
                itlHeadroomMax,
                pressureShare,
                ttftHeadroom,
                latePenalty,
                workWeight,
                interferenceWeight,
                decodeBacklogNanosMax,
                expectedOutputTokens,
                fromDecode);
    }
}
