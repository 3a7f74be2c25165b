package io.tandem.http.openai;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.http.admin.AdminRoutes;
import io.tandem.http.admin.HttpMetrics;
import io.tandem.http.security.AllowedHosts;
import io.tandem.http.security.ApiKeys;
import io.tandem.http.security.Tenants;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.JsonBody;
import io.tandem.http.wire.Responses;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.apache.pekko.http.javadsl.model.HttpHeader;
import org.apache.pekko.http.javadsl.model.HttpRequest;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.headers.RawHeader;

/** Finds what answers a request: path, then key, then method, then body. Every failure becomes an OpenAI error body. */
final class Router {

    /**
     * A route.
     *
     * @param label its name in metrics
     * @param access who may use it
     * @param answer reads what it needs and answers
     */
    private record Route(
            String label,
            String method,
            Consumer<Optional<String>> access,
            Supplier<CompletionStage<HttpResponse>> answer) {}

    private static final String OPENAI_ROUTES = "/v1/chat/completions, /v1/completions and /v1/models";

    private final CompletionRoutes completions;
    private final ModelRoutes models;
    private final AdminRoutes admin;
    private final ApiKeys keys;
    private final AllowedHosts hosts;
    private final JsonBody bodies;
    private final HttpMetrics metrics;

    Router(
            CompletionRoutes completions,
            ModelRoutes models,
            AdminRoutes admin,
            ApiKeys keys,
            AllowedHosts hosts,
            JsonBody bodies,
            HttpMetrics metrics) {
        this.completions = completions;
        this.models = models;
        this.admin = admin;
        this.keys = keys;
        this.hosts = hosts;
        this.bodies = bodies;
        this.metrics = metrics;
    }

    /** Answers a request; the stage never fails. */
    CompletionStage<HttpResponse> handle(HttpRequest request, Connection connection) {
        Route route;
        CompletionStage<HttpResponse> answer;
        try {
            route = find(request, connection);
        } catch (RuntimeException e) {
            bodies.discard(request.entity());
            return CompletableFuture.completedFuture(finish("unmatched", Responses.error(Responses.asApiException(e))));
        }
        try {
            hosts.require(header(request, "host"));
            route.access.accept(authorization(request));
            refuseForeignOrigin(request);
            if (!request.method().value().equals(route.method)) {
                bodies.discard(request.entity());
                return CompletableFuture.completedFuture(finish(route.label, wrongMethod(request, route.method)));
            }
            if (route.method.equals("GET")) {
                bodies.discard(request.entity());
            }
            answer = route.answer.get();
        } catch (RuntimeException e) {
            bodies.discard(request.entity());
            answer = CompletableFuture.failedFuture(e);
        }
        return answer.handle((response, failure) ->
                finish(route.label, failure == null ? response : Responses.error(Responses.asApiException(failure))));
    }

    private Route find(HttpRequest request, Connection connection) {
        List<String> path = new ArrayList<>();
        request.getUri().pathSegments().forEach(path::add);
        String joined = String.join("/", path);
        return switch (joined) {
            case "v1/chat/completions" ->
                api(joined, request, body -> completions.chat(body, context(request, connection)));
            case "v1/completions" ->
                api(joined, request, body -> completions.completion(body, context(request, connection)));
            case "tokenize" -> api(joined, request, body -> CompletableFuture.completedFuture(models.tokenize(body)));
            case "detokenize" ->
                api(joined, request, body -> CompletableFuture.completedFuture(models.detokenize(body)));
            case "v1/models" -> new Route(joined, "GET", keys::requireApi, now(models::list));
            case "health" -> new Route(joined, "GET", keys::requireProbe, now(admin::health));
            case "ready" -> new Route(joined, "GET", keys::requireProbe, now(admin::ready));
            case "alive" -> new Route(joined, "GET", keys::requireProbe, now(admin::alive));
            case "metrics" -> new Route(joined, "GET", keys::requireProbe, now(admin::metrics));
            case "admin/cluster" -> new Route(joined, "GET", keys::requireAdmin, now(admin::cluster));
            default -> withParameter(path, request);
        };
    }

    private Route withParameter(List<String> path, HttpRequest request) {
        if (path.size() >= 3 && path.get(0).equals("v1") && path.get(1).equals("models")) {
            String name = String.join("/", path.subList(2, path.size()));
            return new Route("v1/models/{id}", "GET", keys::requireApi, now(() -> models.one(name)));
        }
        if (path.size() == 3 && path.get(0).equals("admin") && path.get(1).equals("requests")) {
            return new Route("admin/requests/{id}", "GET", keys::requireAdmin, now(() -> admin.request(path.get(2))));
        }
        if (path.size() == 4 && path.get(0).equals("admin") && path.get(1).equals("workers")) {
            String gpu = path.get(2);
            String label = "admin/workers/{gpu}/" + path.get(3);
            switch (path.get(3)) {
                case "role" -> {
                    return new Route(
                            label,
                            "POST",
                            keys::requireAdmin,
                            () -> bodies.read(request).thenCompose(body -> admin.role(gpu, body)));
                }
                case "drain" -> {
                    return new Route(label, "POST", keys::requireAdmin, bodiless(request, () -> admin.drain(gpu)));
                }
                case "undrain" -> {
                    return new Route(label, "POST", keys::requireAdmin, bodiless(request, () -> admin.undrain(gpu)));
                }
                default -> {}
            }
        }
        String here = !path.isEmpty() && path.getFirst().equals("v1")
                ? "; of OpenAI's routes there are " + OPENAI_ROUTES
                : "";
        throw ApiException.refused(
                404, "not_found", "There is no " + request.getUri().getPathString() + " here" + here);
    }

    private Route api(String label, HttpRequest request, Function<ObjectNode, CompletionStage<HttpResponse>> answer) {
        return new Route(
                label, "POST", keys::requireApi, () -> bodies.read(request).thenCompose(answer));
    }

    private Supplier<CompletionStage<HttpResponse>> bodiless(
            HttpRequest request, Supplier<CompletionStage<HttpResponse>> answer) {
        return () -> bodies.letBy(request.entity()).thenCompose(done -> answer.get());
    }

    private static Supplier<CompletionStage<HttpResponse>> now(Supplier<HttpResponse> answer) {
        return () -> CompletableFuture.completedFuture(answer.get());
    }

    private CompletionRoutes.Context context(HttpRequest request, Connection connection) {
        boolean withReport = asked(request, "x-tandem-report");
        boolean explained = asked(request, "x-tandem-explain");
        boolean closes = header(request, "connection")
                .map(v -> v.equalsIgnoreCase("close"))
                .orElse(request.protocol().value().equals("HTTP/1.0"));
        String tenant = keys.keyId(authorization(request))
                .orElseGet(() -> Tenants.named(header(request, Tenants.HEADER).orElse("")));
        String session = CompletionParser.session(
                "X-Tandem-Session", header(request, "x-tandem-session").orElse(""));
        return new CompletionRoutes.Context(
                connection, System.nanoTime(), withReport, explained, closes, tenant, session);
    }

    private static boolean asked(HttpRequest request, String name) {
        return header(request, name).map(v -> v.equalsIgnoreCase("true")).orElse(false);
    }

    /** A page from elsewhere must not drive this server through somebody's browser. */
    private static void refuseForeignOrigin(HttpRequest request) {
        Optional<String> origin = header(request, "origin");
        if (origin.isPresent()) {
            String host = header(request, "host").orElse("");
            if (!origin.get().endsWith("://" + host)) {
                throw ApiException.refused(
                        403, "foreign_origin", "Requests from pages of another origin are not answered");
            }
        }
    }

    private static Optional<String> authorization(HttpRequest request) {
        return header(request, "authorization");
    }

    private static Optional<String> header(HttpRequest request, String name) {
        return request.getHeader(name).map(HttpHeader::value);
    }

    private static HttpResponse wrongMethod(HttpRequest request, String expected) {
        return Responses.error(ApiException.refused(
                        405,
                        "method_not_allowed",
                        request.getUri().getPathString() + " takes " + expected + ", not "
                                + request.method().value()))
                .addHeader(RawHeader.create("Allow", expected));
    }

    private HttpResponse finish(String label, HttpResponse response) {
        metrics.answered(label, response.status().intValue());
        return response.getHeader(Responses.REQUEST_ID_HEADER).isPresent()
                ? response
                : response.addHeader(RawHeader.create(
                        Responses.REQUEST_ID_HEADER, UUID.randomUUID().toString()));
    }
}
