package io.tandem.http.openai;

import com.typesafe.config.Config;
import io.tandem.TandemClient;
import io.tandem.http.admin.AdminRoutes;
import io.tandem.http.admin.HttpMetrics;
import io.tandem.http.security.AllowedHosts;
import io.tandem.http.security.ApiKeys;
import io.tandem.http.wire.JsonBody;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.apache.pekko.NotUsed;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.http.javadsl.Http;
import org.apache.pekko.http.javadsl.ServerBinding;
import org.apache.pekko.http.javadsl.model.HttpRequest;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.settings.ServerSettings;
import org.apache.pekko.stream.SystemMaterializer;
import org.apache.pekko.stream.javadsl.Flow;

/** The HTTP server of a node. */
public final class HttpServer {

    private static final Duration POLL = Duration.ofMillis(20);
    private static final Duration HARD_DEADLINE = Duration.ofSeconds(2);

    private final ActorSystem<?> system;
    private final ServerBinding binding;
    private final CompletionRoutes completions;
    private final HttpSettings settings;
    private final CompletableFuture<Void> stopped = new CompletableFuture<>();
    private boolean draining;

    private HttpServer(
            ActorSystem<?> system, ServerBinding binding, CompletionRoutes completions, HttpSettings settings) {
        this.system = system;
        this.binding = binding;
        this.completions = completions;
        this.settings = settings;
    }

    /**
     * Binds and serves.
     *
     * @param client where generations go
     * @param config with {@code tandem.http} as reference.conf describes it
     * @throws IllegalArgumentException for a setting out of range, or an open address without an API key
     */
    public static CompletionStage<HttpServer> start(ActorSystem<?> system, TandemClient client, Config config) {
        HttpSettings settings = HttpSettings.of(config);
        ApiKeys keys = new ApiKeys(settings.host(), settings.apiKeys(), settings.adminKeys());
        HttpMetrics metrics = new HttpMetrics(client);
        CompletionParser parser = new CompletionParser(client, settings.maxChoices());
        CompletionRoutes completions = new CompletionRoutes(system, client, settings, metrics, parser);
        Router router = new Router(
                completions,
                new ModelRoutes(client, parser),
                new AdminRoutes(
                        client,
                        metrics,
                        completions::isStopping,
                        settings.generationTimeout().plus(CompletionRoutes.GRACE.dividedBy(2))),
                keys,
                new AllowedHosts(settings.host(), keys, settings.allowedHosts()),
                new JsonBody(
                        settings.maxBodyBytes(),
                        settings.bodyTimeout(),
                        SystemMaterializer.get(system).materializer()),
                metrics);
        Config merged = settings.pekkoHttpServer()
                .atPath("pekko.http.server")
                .withFallback(system.settings().config());
        return Http.get(system)
                .newServerAt(settings.host(), settings.port())
                .withSettings(ServerSettings.create(merged))
                .bindFlow(connectionFlow(router))
                .thenApply(binding -> new HttpServer(system, binding, completions, settings));
    }

    /** Where it listens; the port is the real one. */
    public InetSocketAddress address() {
        return binding.localAddress();
    }

    /**
     * Stops: new generations get 503 at once, running ones may end within {@code drain-timeout}, then all connections
     * close. Idempotent.
     */
    public synchronized CompletionStage<Void> drainAndStop() {
        if (!draining) {
            draining = true;
            completions.stop();
            await(System.nanoTime() + settings.drainTimeout().toNanos());
        }
        return stopped;
    }

    private void await(long deadlineNanos) {
        if (completions.active() > 0 && System.nanoTime() - deadlineNanos < 0) {
            system.scheduler().scheduleOnce(POLL, () -> await(deadlineNanos), system.executionContext());
            return;
        }
        binding.terminate(HARD_DEADLINE).whenComplete((done, failure) -> {
            if (failure == null) {
                stopped.complete(null);
            } else {
                stopped.completeExceptionally(failure);
            }
        });
    }

    /** One materialisation a connection: the end of its requests is the sign that the client left. */
    private static Flow<HttpRequest, HttpResponse, ?> connectionFlow(Router router) {
        return Flow.<HttpRequest, HttpResponse, NotUsed>fromMaterializer((materializer, attributes) -> {
            Connection connection = new Connection();
            return Flow.of(HttpRequest.class)
                    .watchTermination((notUsed, ended) -> {
                        ended.whenComplete((done, failure) -> connection.closed());
                        return NotUsed.getInstance();
                    })
                    .mapAsync(1, request -> router.handle(request, connection));
        });
    }
}
