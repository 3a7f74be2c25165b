package io.tandem;

import com.typesafe.config.Config;
import io.tandem.GenerationException.Kind;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.ServiceClass;
import io.tandem.engine.EngineRole;
import io.tandem.engine.SequenceSpec;
import io.tandem.model.ModelBundle;
import io.tandem.request.AdmissionActor;
import io.tandem.request.RequestHub;
import io.tandem.request.RequestSettings;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.Registries;
import io.tandem.routing.WorkerDirectory;
import io.tandem.supervisor.SupervisorMessage;
import io.tandem.worker.WorkerShards;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Flow;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.javadsl.AskPattern;
import org.apache.pekko.cluster.Member;
import org.apache.pekko.cluster.MemberStatus;
import org.apache.pekko.cluster.typed.Cluster;

/** The embedding API on one node: checks requests on the caller's thread and hands them to the request actors. */
final class ClusterClient implements TandemClient {
    private static final Duration ROLE_TIMEOUT = Duration.ofSeconds(30);
    /** The tenant of all who name none. */
    private static final String NO_TENANT = "anonymous";

    private final ModelBundle model;
    private final NodeServices services;
    private final WorkerDirectory directory;
    private final RequestSettings settings;
    private final AdmissionSettings admissionSettings;
    private final CacheKnowledge caches;
    private final ProcessWatch watch;
    private final Duration drainTimeout;
    private final AtomicLong lastRequest = new AtomicLong();

    /** Of the requests that run, by id: the actors that would tell them of their end may end before. */
    private final Map<Long, GenerationObserver> observers = new ConcurrentHashMap<>();

    private final String nodeTag = Long.toString(ThreadLocalRandom.current().nextLong() >>> 24, 36);
    private volatile boolean stopped;
    private volatile boolean ended;
    private ActorSystem<?> system;
    private ActorRef<AdmissionActor.Message> admission;
    private ActorRef<SupervisorMessage> supervisor;
    private String self = "";

    ClusterClient(
            Config config, ModelBundle model, WorkerDirectory directory, CacheKnowledge caches, ProcessWatch watch) {
        this.watch = watch;
        this.caches = caches;
        this.model = model;
        this.directory = directory;
        settings = RequestSettings.from(config);
        admissionSettings = AdmissionSettings.from(config);
        drainTimeout = config.getDuration("tandem.node.drain-timeout");
        services = new NodeServices(config, model, directory, caches);
    }

    /** What the actors need of this node. */
    NodeServices services() {
        return services;
    }

    void attach(
            ActorSystem<?> running,
            ActorRef<AdmissionActor.Message> door,
            ActorRef<SupervisorMessage> supervisorProxy,
            WorkerShards shards) {
        system = running;
        admission = door;
        supervisor = supervisorProxy;
        services.attach(door, shards);
        self = Registries.node(Cluster.get(running).selfMember().address());
        running.getWhenTerminated().thenRun(this::onSystemEnded);
    }

    /** Refuses new requests and ends those that run. */
    void stop() {
        stopped = true;
        admission.tell(new AdmissionActor.EndAll());
    }

    /** What no actor has ended: it waited, or was on its way from one to the next. */
    private void onSystemEnded() {
        ended = true;
        for (long id : List.copyOf(observers.keySet())) {
            GenerationObserver left = observers.remove(id);
            if (left != null) {
                services.onRequestOver();
                left.onError(new GenerationException(Kind.UNAVAILABLE, "this node has gone down"));
            }
        }
    }

    @Override
    public Generation start(GenerationRequest request, GenerationObserver observer) {
        long accepted = System.nanoTime();
        if (stopped) {
            throw new GenerationException(Kind.UNAVAILABLE, "this node is going down");
        }
        if (!isMember()) {
            throw new GenerationException(Kind.UNAVAILABLE, "this node has not joined the cluster yet");
        }
        ServiceClass serviceClass = serviceClass(request.serviceTier());
        String tenant = request.tenant().isEmpty() ? NO_TENANT : request.tenant();
        Duration timeout = RequestChecks.timeout(request, settings.defaultTimeout());
        SequenceSpec spec = RequestChecks.check(request, model, maxTokens(model), salt(request));
        PromptKeys keys = caches.keys(model.fingerprint(), spec.cacheSalt(), spec.tokens());
        if (!services.enter()) {
            throw new GenerationException(
                    Kind.OVERLOADED, settings.maxActive() + " requests are running on this node already");
        }
        long id = lastRequest.incrementAndGet();
        String name = nodeTag + "-" + id;
        GenerationObserver guarded = new GuardedObserver(name, observer, () -> cancel(id), () -> observers.remove(id));
        RequestHub.Launch launch = new RequestHub.Launch(
                id,
                name,
                spec,
                request.stop(),
                model,
                keys,
                request.session(),
                serviceClass,
                accepted,
                timeout.toNanos(),
                0,
                Optional.empty(),
                guarded);
        watch.ownsRequests();
        observers.put(id, guarded);
        admission.tell(new AdmissionActor.Arrive(launch, tenant));
        if (ended) {
            onSystemEnded();
        }
        return new Generation() {
            @Override
            public String requestId() {
                return name;
            }

            @Override
            public void cancel() {
                ClusterClient.this.cancel(id);
            }
        };
    }

    private void cancel(long requestId) {
        admission.tell(new AdmissionActor.Cancel(requestId));
    }

    /**
     * A node that starts again under its address hears reports that are meant for the one before it, as long as that is a member, and
     * then nothing until it is one itself: what it took meanwhile would lose its workers one after the other.
     */
    private boolean isMember() {
        MemberStatus status = Cluster.get(system).selfMember().status();
        return status.equals(MemberStatus.up())
                || status.equals(MemberStatus.weaklyUp())
                || status.equals(MemberStatus.leaving());
    }

    private ServiceClass serviceClass(String tier) {
        return admissionSettings
                .serviceClass(tier)
                .orElseThrow(() -> new GenerationException(
                        Kind.INVALID_REQUEST,
                        "service_tier '" + tier + "' does not exist; send one of "
                                + String.join(", ", admissionSettings.tiers()),
                        "service_tier",
                        1));
    }

    /** Tenants that must not see each other's cache get a salt each, mixed with the request's own. */
    private String salt(GenerationRequest request) {
        return admissionSettings.tenantCacheSalt() && !request.tenant().isEmpty()
                ? request.tenant() + '\n' + request.cacheSalt()
                : request.cacheSalt();
    }

    /** The longest sequence some worker takes, or the model's own limit while none is known. */
    @Override
    public int maxTokens(ModelBundle model) {
        int limit = 0;
        for (WorkerDirectory.Entry e : directory.entries()) {
            limit = Math.max(limit, e.report().maxTokens());
        }
        int context = model.config().maxContextTokens();
        return limit == 0 ? context : Math.min(limit, context);
    }

    @Override
    public GenerationResult generate(GenerationRequest request) {
        try {
            return generateAsync(request).toCompletableFuture().join();
        } catch (CompletionException e) {
            if (Failures.cause(e) instanceof GenerationException refused) {
                throw refused;
            }
            throw e;
        }
    }

    @Override
    public CompletionStage<GenerationResult> generateAsync(GenerationRequest request) {
        ResultCollector collector = new ResultCollector();
        try {
            collector.running(start(request, collector));
        } catch (GenerationException e) {
            collector.onError(e);
        }
        return collector.result();
    }

    @Override
    public Flow.Publisher<GenerationEvent> stream(GenerationRequest request) {
        return new EventPublisher(observer -> start(request, observer));
    }

    @Override
    public List<ModelBundle> models() {
        return List.of(model);
    }

    @Override
    public ClusterStatus clusterStatus() {
        return StatusView.of(system, self, directory, model, caches.missing(gpus(), System.nanoTime()));
    }

    /** GPUs that members own, whether they report or not. */
    private List<String> gpus() {
        List<String> gpus = new ArrayList<>();
        var state = Cluster.get(system).state();
        for (Member member : state.getMembers()) {
            if (member.status().equals(MemberStatus.up())
                    && !state.getUnreachable().contains(member)) {
                gpus.addAll(WorkerShards.gpusOf(member.getRoles()));
            }
        }
        return gpus;
    }

    @Override
    public CompletionStage<EngineRole> setRole(String gpuId, EngineRole role) {
        return outcome(gpuId, ref -> new SupervisorMessage.SetRole(gpuId, role, ref), ROLE_TIMEOUT)
                .thenApply(SupervisorMessage.Outcome::role);
    }

    @Override
    public CompletionStage<Void> drain(String gpuId) {
        return outcome(gpuId, ref -> new SupervisorMessage.Drain(gpuId, true, ref), drainTimeout.plus(ROLE_TIMEOUT))
                .thenApply(done -> null);
    }

    @Override
    public CompletionStage<Void> undrain(String gpuId) {
        return outcome(gpuId, ref -> new SupervisorMessage.Drain(gpuId, false, ref), ROLE_TIMEOUT)
                .thenApply(done -> null);
    }

    private interface Question {
        SupervisorMessage to(ActorRef<SupervisorMessage.Outcome> replyTo);
    }

    private CompletionStage<SupervisorMessage.Outcome> outcome(String gpuId, Question question, Duration timeout) {
        return AskPattern.<SupervisorMessage, SupervisorMessage.Outcome>ask(
                        supervisor, question::to, timeout, system.scheduler())
                .handle((outcome, failure) -> {
                    if (failure != null) {
                        throw new GenerationException(Kind.UNAVAILABLE, "the supervisor does not answer");
                    }
                    if (!outcome.error().isEmpty()) {
                        throw notDone(gpuId, outcome.error(), directory.entries());
                    }
                    return outcome;
                });
    }

    /** Only a name that nobody has is the operator's mistake; a worker that is lost, or not done in time, is not. */
    static GenerationException notDone(String gpuId, String error, List<WorkerDirectory.Entry> workers) {
        Optional<WorkerDirectory.Entry> worker =
                workers.stream().filter(e -> e.report().gpuId().equals(gpuId)).findFirst();
        Kind kind = worker.map(e -> e.live() ? Kind.DEADLINE : Kind.UNAVAILABLE).orElse(Kind.INVALID_REQUEST);
        return new GenerationException(kind, error, kind == Kind.INVALID_REQUEST ? "gpu" : "", 1);
    }

    @Override
    public Optional<RequestReport> report(String requestId) {
        return services.report(requestId);
    }

    @Override
    public AdmissionStatus admission() {
        return services.admission();
    }

    @Override
    public Optional<List<RouteDecision>> decisions(String requestId) {
        return services.runningDecisions(requestId).or(() -> TandemClient.super.decisions(requestId));
    }

    @Override
    public RoutingStatus routing() {
        return services.routing();
    }

    @Override
    public LifelineStatus lifelines() {
        return watch.status();
    }

    @Override
    public int activeRequests() {
        return services.active();
    }
}
