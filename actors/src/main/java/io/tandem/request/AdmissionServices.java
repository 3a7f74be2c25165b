package io.tandem.request;

import io.tandem.AdmissionStatus;
import io.tandem.RequestReport;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.RouteQuery;

/** What the door needs of its node. Safe for any thread; nothing blocks. */
public interface AdmissionServices {

    RequestRouter router();

    /** What a request's first attempt asks the router. */
    RouteQuery query(RequestHub.Launch launch);

    /** Keeps a report for a while. */
    void keep(RequestReport report);

    /** A request was let in: so many tokens of its prompt are work for the GPUs from now on. */
    void onDispatched(int uncachedTokens);

    /** A request ended before it was sent on. */
    void onRequestOver();

    /** Shows what waits. */
    void publish(AdmissionStatus status);
}
