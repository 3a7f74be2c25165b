package io.tandem.admission;

import io.tandem.admission.AdmissionLedger.Outcome;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.Routed;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/**
 * A node's door without the actor: requests come in, {@link AdmissionPolicy} decides, and each leaves once, by one of the
 * {@link Exits}. What waits is here and nowhere else. Time as an argument. Not thread-safe.
 *
 * @param <R> a request
 */
public final class AdmissionDoor<R> {

    /** How requests leave. */
    public interface Exits<R> {
        /**
         * It goes to its GPUs.
         *
         * @param route booked for it; empty when there is no worker
         */
        void dispatched(R request, Optional<Routed> route, long queuedNanos);

        void refused(R request, Verdict.Reject verdict);

        /** Its own time limit passed while it waited. */
        void expired(R request, long queuedNanos);

        /** Its client wants no more, and it waited still. */
        void cancelled(R request);
    }

    private record Waiting<R>(R request, Applicant applicant) {}

    private final AdmissionPolicy policy;
    private final AdmissionLedger ledger;
    private final RouterForecaster forecaster;
    private final Exits<R> exits;
    private final Map<Long, Waiting<R>> waiting = new HashMap<>();

    /** @param queries what a request asks the router */
    public AdmissionDoor(
            AdmissionSettings settings, RequestRouter router, Function<R, RouteQuery> queries, Exits<R> exits) {
        this.exits = exits;
        forecaster =
                new RouterForecaster(router, id -> queries.apply(waiting.get(id).request()));
        policy = new AdmissionPolicy(settings, forecaster);
        ledger = new AdmissionLedger(settings);
    }

    /** A request arrives. */
    public void arrive(R request, Applicant applicant, long nowNanos) {
        waiting.put(applicant.id(), new Waiting<>(request, applicant));
        List<Verdict> verdicts = new ArrayList<>(1);
        policy.arrive(applicant, nowNanos, verdicts);
        carryOut(verdicts);
        if (waiting.containsKey(applicant.id())) {
            ledger.count(applicant, Outcome.QUEUED);
        }
    }

    /** Looks at what waits; to be called when anything changed, and often while something waits. */
    public void pump(long nowNanos) {
        if (policy.queued() > 0) {
            List<Verdict> verdicts = new ArrayList<>();
            policy.pump(nowNanos, verdicts);
            carryOut(verdicts);
        }
    }

    private void carryOut(List<Verdict> verdicts) {
        for (Verdict verdict : verdicts) {
            Waiting<R> over = waiting.remove(verdict.applicant().id());
            switch (verdict) {
                case Verdict.Dispatch v -> {
                    ledger.admitted(v.applicant(), v.queuedNanos());
                    exits.dispatched(
                            over.request(), forecaster.takeRouted(v.applicant().id()), v.queuedNanos());
                }
                case Verdict.Reject v -> {
                    ledger.count(v.applicant(), outcome(v.cause()));
                    exits.refused(over.request(), v);
                }
                case Verdict.Expire v -> {
                    ledger.count(v.applicant(), Outcome.EXPIRED);
                    exits.expired(over.request(), v.queuedNanos());
                }
            }
        }
    }

    private static Outcome outcome(Verdict.Cause cause) {
        return switch (cause) {
            case TTFT -> Outcome.REJECTED_TTFT;
            case ITL -> Outcome.REJECTED_ITL;
            case SIZE -> Outcome.REJECTED_SIZE;
            case FULL -> Outcome.REJECTED_FULL;
            case DISPLACED -> Outcome.DISPLACED;
        };
    }

    /** The client wants no more; answers whether the request waited here (and is gone now). */
    public boolean cancel(long id) {
        if (!policy.cancel(id)) {
            return false;
        }
        Waiting<R> over = waiting.remove(id);
        ledger.count(over.applicant(), Outcome.CANCELLED);
        exits.cancelled(over.request());
        return true;
    }

    /** The node goes down: nothing waits any longer. */
    public void cancelAll() {
        policy.waitingIds().forEach(this::cancel);
    }

    /** This door is given up, in whatever state it is: what waits leaves it, and what was booked for it ends. */
    public void abandon(long nowNanos) {
        List<Waiting<R>> left = List.copyOf(waiting.values());
        waiting.clear();
        forecaster.endBookings(nowNanos);
        left.forEach(w -> exits.cancelled(w.request()));
    }

    /** A dispatched request decodes on another GPU than was foreseen, or will. */
    public void moved(long id, String decodeGpu) {
        policy.moved(id, decodeGpu);
    }

    /**
     * A dispatched request is over; idempotent.
     *
     * @param whole whether it ended by itself, so that its length says something about others
     */
    public void ended(long id, int outputTokens, boolean whole) {
        policy.ended(id, outputTokens, whole);
    }

    /** Requests that wait. */
    public int queued() {
        return policy.queued();
    }

    /** Requests sent on and not over. */
    public int running() {
        return policy.running();
    }

    public AdmissionPolicy policy() {
        return policy;
    }

    public AdmissionLedger ledger() {
        return ledger;
    }
}
