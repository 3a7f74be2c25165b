package io.tandem;

import io.tandem.engine.EngineRole;
import io.tandem.model.ModelBundle;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;

/** Sends generations to a Tandem cluster from inside a JVM. Safe for any thread. */
public interface TandemClient {

    /**
     * Generates and waits.
     *
     * @throws GenerationException when refused or failed
     */
    GenerationResult generate(GenerationRequest request);

    /** Generates; the stage fails with {@link GenerationException}. Cancelling its future cancels the request. */
    CompletionStage<GenerationResult> generateAsync(GenerationRequest request);

    /** A stream of one generation; it starts at the first subscription, and cancelling the subscription cancels it. */
    Flow.Publisher<GenerationEvent> stream(GenerationRequest request);

    /**
     * The fast path of the HTTP layer: events are pushed on the cluster's threads and the observer must not block.
     *
     * @throws GenerationException when refused at once (bad request, overload)
     */
    Generation start(GenerationRequest request, GenerationObserver observer);

    /** Models this node can tokenise for. */
    List<ModelBundle> models();

    default Optional<ModelBundle> model(String name) {
        return models().stream().filter(m -> m.name().equals(name)).findFirst();
    }

    /** Tokens of a prompt and its output together at most: the model's limit, or what the workers' KV memory holds. */
    default int maxTokens(ModelBundle model) {
        return model.config().maxContextTokens();
    }

    /** The cluster as this node sees it now; never blocks. */
    ClusterStatus clusterStatus();

    /** Asks the supervisor for a role change; completes with the worker's new role once a step ran in it. */
    CompletionStage<EngineRole> setRole(String gpuId, EngineRole role);

    /** Takes a worker out of routing; completes when nothing runs on it any more. */
    CompletionStage<Void> drain(String gpuId);

    /** Puts a drained worker back into routing. */
    CompletionStage<Void> undrain(String gpuId);

    /** Reports of recent requests of this node, newest last, bounded. */
    Optional<RequestReport> report(String requestId);

    /** Service classes, what waits, and what became of requests on this node. */
    AdmissionStatus admission();

    /** What this node's router knows and how well it predicts. */
    default RoutingStatus routing() {
        return RoutingStatus.NOTHING;
    }

    /** The connections by which this node sees at once that a process has died. */
    default LifelineStatus lifelines() {
        return LifelineStatus.NONE;
    }

    /**
     * Why a running or recent request of this node went where it went: one decision an attempt, so far. Empty when nothing is
     * known of it.
     */
    default Optional<List<RouteDecision>> decisions(String requestId) {
        return report(requestId).map(RequestReport::decisions);
    }

    /** Requests of this node that are not over. */
    int activeRequests();

    /** A running generation. */
    interface Generation {
        String requestId();

        /** Ends it everywhere; idempotent. The observer sees Finished with CANCELLED. */
        void cancel();
    }

    /** Receives the events of one generation in order; after Finished or onError there is nothing more. */
    interface GenerationObserver {
        void onEvent(GenerationEvent event);

        void onError(GenerationException error);
    }
}
