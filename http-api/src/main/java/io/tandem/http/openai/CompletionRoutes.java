package io.tandem.http.openai;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.RouteDecision;
import io.tandem.TandemClient;
import io.tandem.http.admin.DecisionJson;
import io.tandem.http.admin.HttpMetrics;
import io.tandem.http.security.Tenants;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Responses;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.http.javadsl.model.ContentType;
import org.apache.pekko.http.javadsl.model.HttpEntities;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.http.javadsl.model.MediaTypes;
import org.apache.pekko.http.javadsl.model.headers.RawHeader;
import org.apache.pekko.stream.javadsl.Source;

/** Chat and plain completions, streamed or whole. */
final class CompletionRoutes {

    /** What a request brings besides its body; {@code tenant} and {@code session} are empty where its body may name one. */
    record Context(
            Connection connection,
            long arrivalNanos,
            boolean withReport,
            boolean explained,
            boolean closesAfter,
            String tenant,
            String session) {}

    private static final ContentType EVENT_STREAM = MediaTypes.TEXT_EVENT_STREAM.toContentType();
    private static final Duration UNCLAIMED = Duration.ofSeconds(10);

    /** After generation-timeout, for the cluster's own word on it. */
    static final Duration GRACE = Duration.ofSeconds(10);

    private final ActorSystem<?> system;
    private final TandemClient client;
    private final HttpSettings settings;
    private final HttpMetrics metrics;
    private final CompletionParser parser;
    private final AtomicInteger active = new AtomicInteger();
    private volatile boolean stopping;

    CompletionRoutes(
            ActorSystem<?> system,
            TandemClient client,
            HttpSettings settings,
            HttpMetrics metrics,
            CompletionParser parser) {
        this.system = system;
        this.client = client;
        this.settings = settings;
        this.metrics = metrics;
        this.parser = parser;
    }

    int active() {
        return active.get();
    }

    boolean isStopping() {
        return stopping;
    }

    /** From now on new requests get 503. */
    void stop() {
        stopping = true;
    }

    CompletionStage<HttpResponse> chat(ObjectNode body, Context context) {
        return answer(parser.chat(body), context);
    }

    CompletionStage<HttpResponse> completion(ObjectNode body, Context context) {
        return answer(parser.completion(body), context);
    }

    private CompletionStage<HttpResponse> answer(CompletionSpec spec, Context context) {
        if (stopping) {
            throw ApiException.unavailable(settings.retryAfterSeconds(), "The server is stopping; ask another node");
        }
        if (active.incrementAndGet() > settings.maxConcurrentRequests()) {
            active.decrementAndGet();
            metrics.rejected();
            throw ApiException.overloaded(
                    settings.retryAfterSeconds(),
                    "This server has " + settings.maxConcurrentRequests() + " requests in progress; try again later");
        }
        metrics.active(1);
        AtomicReference<CompletionRun> self = new AtomicReference<>();
        CompletionRun run = new CompletionRun(
                client,
                spec.generations(
                        settings.generationTimeout(),
                        context.tenant.isEmpty() ? Tenants.named(spec.user()) : context.tenant,
                        context.session),
                metrics,
                context.arrivalNanos,
                () -> {
                    active.decrementAndGet();
                    metrics.active(-1);
                    CompletionRun ended = self.get();
                    if (ended != null) {
                        context.connection.remove(ended);
                    }
                });
        self.set(run);
        // A client that announces the end of its connection ends its sending side with the request: no sign of leaving.
        if (!context.closesAfter) {
            context.connection.add(run);
        }
        CompletionStage<HttpResponse> response = spec.stream() ? stream(spec, run, context) : whole(spec, run, context);
        if (run.isOver()) {
            context.connection.remove(run);
        }
        return response;
    }

    private CompletionStage<HttpResponse> whole(CompletionSpec spec, CompletionRun run, Context context) {
        WholeAnswer answer = new WholeAnswer(spec);
        endWhenLeft(run, answer);
        String id = run.start(answer);
        AnswerHead head = AnswerHead.of(spec, id);
        Duration limit = settings.generationTimeout().plus(GRACE);
        return answer.complete()
                .orTimeout(limit.toMillis(), TimeUnit.MILLISECONDS)
                .whenComplete((done, failure) -> run.cancel())
                .thenApply(done -> headed(Responses.json(200, answer.body(head, context.withReport)), id, context));
    }

    /** Nothing of an answer is kept that nobody waits for; that it was given up is what the metrics say of it. */
    private static void endWhenLeft(CompletionRun run, ChoiceSink answer) {
        run.left().thenRun(() -> answer.failed(ApiException.clientLeft()));
    }

    private CompletionStage<HttpResponse> stream(CompletionSpec spec, CompletionRun run, Context context) {
        StreamedAnswer answer =
                new StreamedAnswer(spec, settings.slowClientEvents(), settings.slowClientChars(), context.withReport);
        endWhenLeft(run, answer);
        String id = run.start(answer);
        SseSource source = new SseSource(answer, new ChunkEncoder(AnswerHead.of(spec, id)), run, settings);
        CompletableFuture<Void> accepted = answer.accepted()
                .copy()
                .completeOnTimeout(null, settings.acceptWait().toMillis(), TimeUnit.MILLISECONDS);
        return accepted.thenApply(done -> {
            // A connection that broke meanwhile never asks for the stream, and nobody would end the generation.
            system.scheduler()
                    .scheduleOnce(
                            UNCLAIMED,
                            () -> {
                                if (!source.claimed()) {
                                    run.clientLeft();
                                }
                            },
                            system.executionContext());
            return headed(
                            HttpResponse.create()
                                    .withEntity(HttpEntities.createChunked(EVENT_STREAM, Source.fromGraph(source))),
                            id,
                            context)
                    .addHeader(RawHeader.create("Cache-Control", "no-cache"))
                    .addHeader(RawHeader.create("X-Accel-Buffering", "no"));
        });
    }

    /** With the request's id, and where it went and why if the client asked. */
    private HttpResponse headed(HttpResponse response, String id, Context context) {
        HttpResponse named = response.addHeader(RawHeader.create(Responses.REQUEST_ID_HEADER, id));
        Optional<List<RouteDecision>> decisions = context.explained ? client.decisions(id) : Optional.empty();
        return decisions.isEmpty() || decisions.get().isEmpty()
                ? named
                : named.addHeader(RawHeader.create(
                        "X-Tandem-Decision", DecisionJson.line(decisions.get().getLast())));
    }
}
