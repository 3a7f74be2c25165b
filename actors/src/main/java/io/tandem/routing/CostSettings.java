package io.tandem.routing;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.time.Duration;

/**
 * How {@link CostPolicy} weighs: {@code tandem.routing.cost}, see reference.conf for ranges and reasons. Times in nanoseconds.
 *
 * @param itlHeadroomMin share of the ITL target up to which decodes are packed on one GPU while no prompt waits, in (0, 1]
 * @param itlHeadroomMax the same while prompts queue
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
    private static final String PATH = "tandem.routing.cost.";

    /** What reference.conf says. */
    public static final CostSettings DEFAULT = from(ConfigFactory.defaultReference());

    public CostSettings {
        range("itl-headroom-min", itlHeadroomMin, 0.01, 1);
        range("itl-headroom-max", itlHeadroomMax, 0.01, 1);
        if (itlHeadroomMin > itlHeadroomMax) {
            throw new IllegalArgumentException(PATH + "itl-headroom-min must not be above itl-headroom-max");
        }
        range("pressure-share", pressureShare, 0.001, 100);
        range("ttft-headroom", ttftHeadroom, 0.01, 10);
        range("late-penalty", latePenalty, 1, 1000);
        range("work-weight", workWeight, 0, 1000);
        range("interference-weight", interferenceWeight, 0, 1000);
        range("decode-backlog-max (ns)", decodeBacklogNanosMax, 0, 6e10);
        range("expected-output-tokens", expectedOutputTokens, 1, 1_000_000);
    }

    private static void range(String key, double value, double min, double max) {
        if (!(value >= min && value <= max)) {
            throw new IllegalArgumentException(PATH + key + " must be " + min + " to " + max + ", not " + value);
        }
    }

    /** @throws IllegalArgumentException naming the key and its range */
    public static CostSettings from(Config root) {
        Config c = root.getConfig("tandem.routing.cost");
        Duration decodeBacklog = c.getDuration("decode-backlog-max");
        return new CostSettings(
                c.getDouble("itl-headroom-min"),
                c.getDouble("itl-headroom-max"),
                c.getDouble("pressure-share"),
                c.getDouble("ttft-headroom"),
                c.getDouble("late-penalty"),
                c.getDouble("work-weight"),
                c.getDouble("interference-weight"),
                (double) decodeBacklog.toNanos(),
                c.getInt("expected-output-tokens"),
                false);
    }

    /** Here the prefill GPU gives the first token; engines that are simulated after others give it from the decode GPU. */
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
