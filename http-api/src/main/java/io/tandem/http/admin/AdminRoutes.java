package io.tandem.http.admin;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.ClusterStatus;
import io.tandem.Failures;
import io.tandem.TandemClient;
import io.tandem.engine.EngineRole;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Fields;
import io.tandem.http.wire.JsonWriter;
import io.tandem.http.wire.Responses;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import org.apache.pekko.http.javadsl.model.ContentTypes;
import org.apache.pekko.http.javadsl.model.HttpResponse;

/** Answers of the operators' routes. */
public final class AdminRoutes {

    private final TandemClient client;
    private final HttpMetrics metrics;
    private final BooleanSupplier stopping;
    private final Duration limit;

    /**
     * @param stopping whether the server takes no new generations
     * @param limit of a role change or a drain
     */
    public AdminRoutes(TandemClient client, HttpMetrics metrics, BooleanSupplier stopping, Duration limit) {
        this.client = client;
        this.metrics = metrics;
        this.stopping = stopping;
        this.limit = limit;
    }

    /** The process answers. */
    public HttpResponse alive() {
        return Responses.json(
                200,
                new JsonWriter(64).beginObject().name("status").value("alive").endObject());
    }

    /** Whether requests can be served: 200, or 503 with the reason. */
    public HttpResponse ready() {
        ClusterStatus status = client.clusterStatus();
        boolean ready = status.ready() && !stopping.getAsBoolean();
        String reason = stopping.getAsBoolean() ? "the server is stopping" : status.reason();
        JsonWriter out = new JsonWriter(256).beginObject();
        out.name("ready").value(ready);
        out.name("reason").value(ready ? "" : reason).endObject();
        return Responses.json(ready ? 200 : 503, out);
    }

    /** What runs here and on what; always 200. */
    public HttpResponse health() {
        ClusterStatus status = client.clusterStatus();
        String state = stopping.getAsBoolean() ? "stopping" : status.ready() ? "ok" : "not ready";
        JsonWriter out = new JsonWriter(1024).beginObject();
        out.name("status").value(state);
        out.name("reason").value(status.reason());
        out.name("version").value(version());
        out.name("active_requests").value(client.activeRequests());
        out.name("workers").beginArray();
        for (ClusterStatus.Worker worker : status.workers()) {
            out.beginObject().name("gpu_id").value(worker.gpuId());
            out.name("node").value(worker.node());
            out.name("model").value(worker.model());
            out.name("role").value(StatusJson.lower(worker.role()));
            out.name("live").value(worker.live());
            out.name("draining").value(worker.draining());
            out.name("backend");
            StatusJson.backend(out, worker.backend()).endObject();
        }
        return Responses.json(200, out.endArray().endObject());
    }

    public HttpResponse metrics() {
        return HttpResponse.create().withEntity(ContentTypes.parse(HttpMetrics.CONTENT_TYPE), metrics.render());
    }

    public HttpResponse cluster() {
        return Responses.json(
                200, StatusJson.cluster(new JsonWriter(4096), client.clusterStatus(), client.admission()));
    }

    /** The report of a recent request and its routing decisions, by its id or by the id of its answer; of a running one the
     * decisions so far. */
    public HttpResponse request(String id) {
        return requestNamed(id)
                .or(() -> id.indexOf('-') > 0 ? requestNamed(id.substring(id.indexOf('-') + 1)) : Optional.empty())
                .orElseThrow(() -> ApiException.refused(
                        404,
                        "request_not_found",
                        "No report of request '" + id + "' is kept on this node; ask the API node that took it"));
    }

    private Optional<HttpResponse> requestNamed(String id) {
        Optional<HttpResponse> over = client.report(id)
                .map(report -> Responses.json(200, StatusJson.explained(new JsonWriter(1024), report)));
        return over.or(() -> client.decisions(id).map(decisions -> {
            JsonWriter out = new JsonWriter(1024).beginObject();
            out.name("request_id").value(id);
            out.name("running").value(true);
            out.name("decisions");
            DecisionJson.write(out, decisions);
            return Responses.json(200, out.endObject());
        }));
    }

    /** Changes a worker's role; answers once a step ran in it. */
    public CompletionStage<HttpResponse> role(String gpuId, ObjectNode body) {
        requireWorker(gpuId);
        Fields fields = new Fields(body, "");
        body.fieldNames().forEachRemaining(name -> {
            if (!name.equals("role")) {
                throw ApiException.invalid(name, "unknown field '" + name + "'; the body is {\"role\": ...}");
            }
        });
        EngineRole role = switch (fields.requiredText("role")) {
            case "prefill" -> EngineRole.PREFILL;
            case "decode" -> EngineRole.DECODE;
            case "mixed" -> EngineRole.MIXED;
            default -> throw Fields.wrong("role", "'prefill', 'decode' or 'mixed'", body.get("role"));
        };
        return bounded(client.setRole(gpuId, role)).thenApply(now -> worker(gpuId, "role", StatusJson.lower(now)));
    }

    /** Takes a worker out of routing; answers once nothing runs on it. */
    public CompletionStage<HttpResponse> drain(String gpuId) {
        requireWorker(gpuId);
        return bounded(client.drain(gpuId)).thenApply(done -> worker(gpuId, "status", "drained"));
    }

    public CompletionStage<HttpResponse> undrain(String gpuId) {
        requireWorker(gpuId);
        return bounded(client.undrain(gpuId)).thenApply(done -> worker(gpuId, "status", "in routing"));
    }

    private <T> CompletionStage<T> bounded(CompletionStage<T> stage) {
        return stage.toCompletableFuture()
                .copy()
                .orTimeout(limit.toMillis(), TimeUnit.MILLISECONDS)
                .exceptionally(failure -> {
                    if (Failures.cause(failure) instanceof TimeoutException) {
                        throw ApiException.timeout("Not done within " + limit.toSeconds()
                                + " s, but under way: the same request again waits on, and GET /admin/cluster shows"
                                + " when it is");
                    }
                    throw new CompletionException(Failures.cause(failure));
                });
    }

    private void requireWorker(String gpuId) {
        List<String> workers = client.clusterStatus().workers().stream()
                .map(ClusterStatus.Worker::gpuId)
                .toList();
        if (!workers.contains(gpuId)) {
            String there = workers.isEmpty() ? "none" : String.join(", ", workers);
            throw ApiException.refused(
                    404, "worker_not_found", "No worker '" + gpuId + "' in the cluster; there is " + there);
        }
    }

    private static HttpResponse worker(String gpuId, String field, String value) {
        JsonWriter out = new JsonWriter(128).beginObject();
        out.name("gpu_id").value(gpuId);
        return Responses.json(200, out.name(field).value(value).endObject());
    }

    private static String version() {
        String version = AdminRoutes.class.getPackage().getImplementationVersion();
        return version == null ? "development" : version;
    }
}
