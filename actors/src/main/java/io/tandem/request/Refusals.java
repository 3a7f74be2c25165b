package io.tandem.request;

import io.tandem.GenerationException;
import io.tandem.GenerationException.Refusal;
import io.tandem.admission.ServiceClass;
import io.tandem.admission.Verdict;
import java.util.Locale;

/** What a client is told when the door refuses it. */
final class Refusals {
    private static final int RETRY_SECONDS_MAX = 3600;

    private Refusals() {}

    static GenerationException of(Verdict.Reject v) {
        ServiceClass c = v.applicant().serviceClass();
        int retry = retryAfterSeconds(v.retryAfterNanos(), v.applicant().id());
        Refusal refusal = new Refusal(
                c.name(),
                v.cause().name().toLowerCase(Locale.ROOT),
                v.predictedTtftNanos() / 1e6,
                c.ttftTargetNanos() / 1e6,
                v.forecast().itlNanos() / 1e6,
                c.itlTargetNanos() / 1e6);
        return new GenerationException(message(refusal) + "; try again in " + retry + " s", retry, refusal);
    }

    private static String message(Refusal r) {
        return switch (r.reason()) {
            case "itl" ->
                String.format(
                        Locale.ROOT,
                        "service_tier '%s' promises %s ms between tokens, and %s",
                        r.serviceClass(),
                        millis(r.itlTargetMs()),
                        predicted(r.predictedItlMs(), r.itlTargetMs()));
            case "ttft" ->
                String.format(
                        Locale.ROOT,
                        "service_tier '%s' promises a first token within %s ms, and %s",
                        r.serviceClass(),
                        millis(r.ttftTargetMs()),
                        predicted(r.predictedTtftMs(), r.ttftTargetMs()));
            case "size" ->
                "the cluster is overloaded and serves smaller requests first; a shorter prompt may be served in '"
                        + r.serviceClass() + "'";
            case "displaced" ->
                "the queue is full, and a request of a dearer service_tier took the place of this one in '"
                        + r.serviceClass() + "'";
            default -> "too many requests wait in service_tier '" + r.serviceClass() + "'";
        };
    }

    /** Below the target too a request is refused, by tandem.admission.reject-above. */
    private static String predicted(double millis, double targetMillis) {
        String near = millis <= targetMillis ? ", too near to be sure" : "";
        return millis(millis) + " ms are predicted" + near;
    }

    /** Few milliseconds with a tenth, or target and prediction would read alike. */
    private static String millis(double value) {
        return value < 100 && value != Math.rint(value)
                ? String.format(Locale.ROOT, "%.1f", value)
                : String.format(Locale.ROOT, "%.0f", value);
    }

    /** Rounded up, and up to a quarter later by the request's number: those refused together do not come back together. */
    static int retryAfterSeconds(long nanos, long requestId) {
        double spread = 1 + (requestId * 0x9E3779B97F4A7C15L >>> 56) / 1024.0;
        return Math.clamp((long) Math.ceil(nanos * spread / 1e9), 1, RETRY_SECONDS_MAX);
    }
}
