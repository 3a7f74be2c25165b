package io.tandem.simulation;

import com.typesafe.config.ConfigFactory;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.SizeGuard;
import io.tandem.admission.SizeLimit;
import io.tandem.routing.RoutingDecision;

/**
 * Refuses a request at arrival, before any GPU work, when its best plan is predicted to miss a target, for itself or for the
 * decodes beside its prompt: what would be served too late only makes others late. Under overload the largest go first.
 */
final class EarlyRejection {
    /** A little below the TTFT target, since predictions err to the low side when prompts queue. */
    private static final double TTFT_SHARE = 0.95;

    private static final double ITL_SHARE = AdmissionSettings.rejectItlAbove(ConfigFactory.load());

    private static final SizeLimit.Settings BY_SIZE = AdmissionSettings.sizeLimit(ConfigFactory.load());

    private static final SizeLimit.Settings ANY_SIZE =
            new SizeLimit.Settings(1, BY_SIZE.risePerSecond(), BY_SIZE.maxShare());

    private final Slo slo;
    private final SizeGuard sizes;

    private EarlyRejection(Slo slo, SizeLimit.Settings settings) {
        this.slo = slo;
        sizes = new SizeGuard(settings, slo.ttftNanos(), slo.itlNanos(), TTFT_SHARE);
    }

    /** The largest first. */
    static EarlyRejection bySize(Slo slo) {
        return new EarlyRejection(slo, BY_SIZE);
    }

    /** By prediction alone. */
    static EarlyRejection plain(Slo slo) {
        return new EarlyRejection(slo, ANY_SIZE);
    }

    /**
     * @param itl predicted between tokens; 0 = not known
     * @param decodeNanos GPU time of the request's output, its share of the steps
     */
    boolean refuses(RoutingDecision.Plan plan, double itl, double decodeNanos, long nowNanos) {
        double ttft = plan.predictedTtftNanos();
        if (sizes.refuses(plan.workNanos(), decodeNanos, ttft, itl, nowNanos)) {
            return true;
        }
        boolean refused = ttft > TTFT_SHARE * slo.ttftNanos() || itl > ITL_SHARE * slo.itlNanos();
        if (refused) {
            sizes.missed(plan.workNanos(), nowNanos);
        }
        return refused;
    }
}
