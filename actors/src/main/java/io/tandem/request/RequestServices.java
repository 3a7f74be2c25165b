package io.tandem.request;

import io.tandem.RequestReport;
import io.tandem.routing.Route;
import io.tandem.worker.WorkerMessage;
import java.util.Optional;
import java.util.Set;

/** What requests need of their node. Safe for any thread; nothing blocks. */
public interface RequestServices {

    RequestSettings settings();

    /** Chooses where a request of that many tokens runs now. */
    Optional<Route> route(String model, int promptTokens, Set<String> avoid);

    /** Sends to a worker, wherever it is; dropped when nobody owns that GPU now. */
    void tellWorker(String gpuId, WorkerMessage.Remote message);

    /** Counts work given to a GPU or over. */
    void countInFlight(String gpuId, int change);

    /** Keeps a report for a while. */
    void keep(RequestReport report);

    /** A request's actor is gone. */
    void onRequestOver();
}
