package io.tandem.admission;

import io.tandem.routing.RequestRouter;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.Routed;
import io.tandem.routing.RoutingDecision;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongFunction;

/** Predicts by the node's own {@link RequestRouter}, and books there; the route of the booking is the request's first. */
public final class RouterForecaster implements Forecaster {
    private final RequestRouter router;
    private final LongFunction<RouteQuery> queries;
    private final Map<Long, Routed> routed = new HashMap<>();

    /** @param queries what a request that waits asks the router, by its id */
    public RouterForecaster(RequestRouter router, LongFunction<RouteQuery> queries) {
        this.router = router;
        this.queries = queries;
    }

    @Override
    public Forecast forecast(Applicant applicant, long nowNanos) {
        return router.outlook(queries.apply(applicant.id()), nowNanos)
                .map(RouterForecaster::forecast)
                .orElseGet(Forecast::nobody);
    }

    private static Forecast forecast(RequestRouter.Outlook outlook) {
        RoutingDecision.Plan plan = outlook.plan();
        return new Forecast(
                outlook.workers(),
                outlook.learned(),
                outlook.idle(),
                plan.decodeGpu(),
                Math.max(0, plan.predictedTtftNanos() - plan.workNanos()),
                plan.predictedTtftNanos(),
                plan.workNanos(),
                plan.uncachedTokens(),
                outlook.itlNanos(),
                outlook.outputNanos());
    }

    @Override
    public double itlNanos(Applicant applicant, Forecast forecast, int fewerDecodes, double fewerContextTokens) {
        // In proportion to the step: the prediction may hold more than the step, such as prompts beside it.
        double now = router.itlNanos(forecast.decodeGpu(), 1, applicant.promptTokens());
        double then =
                router.itlNanos(forecast.decodeGpu(), 1 - fewerDecodes, applicant.promptTokens() - fewerContextTokens);
        return now <= 0 ? forecast.itlNanos() : forecast.itlNanos() * then / now;
    }

    @Override
    public void book(Applicant applicant, Forecast forecast, long nowNanos) {
        router.route(queries.apply(applicant.id()), nowNanos).ifPresent(r -> routed.put(applicant.id(), r));
    }

    /** Ends the bookings whose routes nobody took. */
    void endBookings(long nowNanos) {
        routed.keySet().forEach(id -> router.over(id, nowNanos));
        routed.clear();
    }

    /** The route that was booked for a request; asked once. */
    public Optional<Routed> takeRouted(long id) {
        return Optional.ofNullable(routed.remove(id));
    }
}
