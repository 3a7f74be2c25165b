package io.tandem.request;

import io.tandem.RequestReport;
import io.tandem.RouteDecision;
import io.tandem.routing.Route;
import io.tandem.routing.Routed;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.WorkerMessage;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** What requests need of their node. Safe for any thread; nothing blocks. */
public interface RequestServices {

    RequestSettings settings();

    /**
     * Chooses where the next attempt of a request runs, and books it there until {@link #attemptOver}.
     *
     * @param tokens to have in KV: the prompt and what was generated already
     */
    Optional<Routed> route(RequestHub.Launch launch, int[] tokens, Set<String> avoid);

    /** Why there is no route, for people. */
    String unserved();

    /** The decisions of a running request so far, one an attempt; forgotten when its report is kept. */
    default void decided(String requestName, List<RouteDecision> decisions) {}

    /** The first token of the attempt is there. */
    void promptComputed(long requestId);

    /** KV of a request came to a worker. */
    void transferred(long requestId, String decodeGpu, TransferStats stats);

    /** An attempt is over: what came of its decision. */
    default void observed(RouteDecision decision) {}

    /** No blocks found a way between the two workers of a route. */
    default void parted(Route route) {}

    /** The attempt goes on generating on another worker. */
    void moved(long requestId, String decodeGpu);

    /** An output ended by itself. */
    void outputEnded(int tokens);

    /** The attempt needs its workers no more. */
    void attemptOver(long requestId);

    /** Whether that incarnation of a GPU is there, as this node knows. */
    boolean live(String gpuId, long epoch);

    /**
     * Chooses another worker for a sequence that decodes on {@code fromGpu}.
     *
     * @param contextTokens its prompt and output so far
     * @param tokensMax its prompt and output at most
     */
    Optional<Route> moveTarget(String fromGpu, int contextTokens, int tokensMax);

    /** Sends to a worker, wherever it is; dropped when nobody owns that GPU now. */
    void tellWorker(String gpuId, WorkerMessage.Remote message);

    /** Counts work given to a GPU or over. */
    void countInFlight(String gpuId, int change);

    /** Keeps a report for a while. */
    void keep(RequestReport report);

    /** A request's actor is gone. */
    void onRequestOver();
}
