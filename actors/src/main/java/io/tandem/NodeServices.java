package io.tandem;

import com.typesafe.config.Config;
import io.tandem.admission.AdmissionSettings;
import io.tandem.admission.ServiceClass;
import io.tandem.engine.EngineRole;
import io.tandem.model.ModelBundle;
import io.tandem.request.AdmissionActor;
import io.tandem.request.AdmissionServices;
import io.tandem.request.AdmissionStatusView;
import io.tandem.request.RequestHub;
import io.tandem.request.RequestServices;
import io.tandem.request.RequestSettings;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.CostSettings;
import io.tandem.routing.PredictionErrors;
import io.tandem.routing.PredictionErrors.Figure;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.Route;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.Routed;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerDirectory;
import io.tandem.supervisor.DemandMeter;
import io.tandem.supervisor.RebalanceSettings;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
import io.tandem.worker.WorkerShards;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.pekko.actor.typed.ActorRef;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What the actors of one node's requests share: the way to routes and workers, and what is kept of requests for people. */
final class NodeServices implements RequestServices, AdmissionServices {
    private static final Logger LOG = LoggerFactory.getLogger(NodeServices.class);

    private final ModelBundle model;
    private final WorkerDirectory directory;
    private final RequestSettings settings;
    private final RoutingSettings routing;
    private final RequestRouter router;
    private final CacheKnowledge caches;
    private final PredictionErrors errors = new PredictionErrors();
    private final DemandMeter demand;
    private final AtomicInteger active = new AtomicInteger();
    private final Map<String, RequestReport> reports;

    /** Of the requests that run, so bounded by their number. */
    private final Map<String, List<RouteDecision>> decisions = new ConcurrentHashMap<>();

    private volatile AdmissionStatus admissionStatus;
    private ActorRef<AdmissionActor.Message> admission;
    private WorkerShards workers;

    NodeServices(Config config, ModelBundle model, WorkerDirectory directory, CacheKnowledge caches) {
        this.model = model;
        this.directory = directory;
        this.caches = caches;
        settings = RequestSettings.from(config);
        admissionStatus = AdmissionStatusView.initial(AdmissionSettings.from(config));
        demand = new DemandMeter(RebalanceSettings.from(config).demandHalfLife().toNanos());
        routing = RoutingSettings.from(config);
        router = new RequestRouter(
                directory,
                caches.feed(),
                routing,
                CostSettings.from(config),
                ThreadLocalRandom.current().nextLong());
        int kept = settings.keptReports();
        reports = new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, RequestReport> eldest) {
                return size() > kept;
            }
        };
    }

    void attach(ActorRef<AdmissionActor.Message> door, WorkerShards shards) {
        admission = door;
        workers = shards;
    }

    /** What clients ask for on this node. */
    DemandMeter demand() {
        return demand;
    }

    /** One more request runs, until {@link #onRequestOver}; false when there are too many. */
    boolean enter() {
        if (active.incrementAndGet() > settings.maxActive()) {
            active.decrementAndGet();
            return false;
        }
        return true;
    }

    /** Requests that run. */
    int active() {
        return active.get();
    }

    // ---- for people

    Optional<RequestReport> report(String requestId) {
        synchronized (reports) {
            return Optional.ofNullable(reports.get(requestId));
        }
    }

    AdmissionStatus admission() {
        return admissionStatus;
    }

    @Override
    public void publish(AdmissionStatus status) {
        admissionStatus = status;
    }

    /** Those of a request that runs, so far. */
    Optional<List<RouteDecision>> runningDecisions(String requestId) {
        return Optional.ofNullable(decisions.get(requestId));
    }

    RoutingStatus routing() {
        BlockFeed.Counts c = caches.feed().latestCounts();
        BlockFeed.IndexSize size = caches.feed().latestSize();
        return new RoutingStatus(
                new RoutingStatus.Index(
                        size.blocks(),
                        size.evictedBlocks(),
                        size.bytes(),
                        c.events(),
                        c.words(),
                        c.gaps(),
                        c.duplicates(),
                        c.snapshots(),
                        c.refused()),
                errors.histograms().stream()
                        .map(h -> new RoutingStatus.Errors(
                                h.figure(), h.role(), h.side(), PredictionErrors.ERRORS, h.counts(), h.sum()))
                        .toList());
    }

    // ---- for the actors

    @Override
    public RequestSettings settings() {
        return settings;
    }

    @Override
    public Optional<Routed> route(RequestHub.Launch launch, int[] tokens, Set<String> avoid) {
        boolean resumed = tokens.length > launch.spec().tokens().length;
        PromptKeys keys =
                resumed ? caches.keys(model.fingerprint(), launch.spec().cacheSalt(), tokens) : launch.keys();
        Optional<Routed> routed = router.route(query(launch, tokens.length, keys, avoid), System.nanoTime());
        routed.ifPresent(r -> admission.tell(
                new AdmissionActor.Moved(launch.requestId(), r.route().decodeGpu())));
        return routed;
    }

    @Override
    public String unserved() {
        String why = StatusView.unserved(directory.entries(), model.name(), model.fingerprint());
        // One may have come back between the question and its answer.
        return why.isEmpty() ? "no worker takes requests of " + model.name() + " now" : why;
    }

    @Override
    public RequestRouter router() {
        return router;
    }

    @Override
    public RouteQuery query(RequestHub.Launch launch) {
        return query(launch, launch.spec().tokens().length, launch.keys(), Set.of());
    }

    /** A class may promise less than routing strives for: wide targets would only make it pile requests up. */
    private RouteQuery query(RequestHub.Launch launch, int tokens, PromptKeys keys, Set<String> avoid) {
        ServiceClass c = launch.serviceClass();
        return new RouteQuery(
                launch.requestId(),
                model.fingerprint(),
                tokens,
                launch.spec().newTokens(tokens),
                keys,
                launch.session(),
                avoid,
                Math.min(c.ttftTargetNanos(), routing.ttftTarget().toNanos()),
                Math.min(c.itlTargetNanos(), routing.itlTarget().toNanos()),
                c.itlTargetNanos());
    }

    @Override
    public void decided(String requestName, List<RouteDecision> soFar) {
        decisions.put(requestName, soFar);
    }

    @Override
    public void observed(RouteDecision decision) {
        RouteDecision.Plan plan = decision.plan();
        RouteDecision.Observed seen = decision.observed();
        role(plan.prefillGpu())
                .ifPresent(r -> errors.observe(Figure.TTFT, r, plan.predictedTtftNanos(), seen.ttftNanos()));
        role(plan.decodeGpu()).ifPresent(r -> errors.observe(Figure.ITL, r, plan.predictedItlNanos(), seen.itlNanos()));
    }

    private Optional<EngineRole> role(String gpuId) {
        return directory.live(gpuId).map(WorkerReport::role);
    }

    @Override
    public void promptComputed(long requestId) {
        router.promptComputed(requestId);
    }

    @Override
    public void transferred(long requestId, String decodeGpu, TransferStats stats) {
        router.transferred(requestId, decodeGpu, stats, System.nanoTime());
    }

    @Override
    public void parted(Route route) {
        LOG.warn("no way for blocks from {} to {}: not paired for a while", route.prefillGpu(), route.decodeGpu());
        router.parted(route, System.nanoTime());
    }

    @Override
    public void outputEnded(int tokens) {
        router.outputEnded(tokens);
    }

    @Override
    public void moved(long requestId, String decodeGpu) {
        router.moved(requestId, decodeGpu);
        admission.tell(new AdmissionActor.Moved(requestId, decodeGpu));
    }

    @Override
    public void attemptOver(long requestId) {
        router.over(requestId, System.nanoTime());
    }

    @Override
    public boolean live(String gpuId, long epoch) {
        return directory.live(gpuId).filter(w -> w.epoch() == epoch).isPresent();
    }

    @Override
    public Optional<Route> moveTarget(String fromGpu, int contextTokens, int tokensMax) {
        return router.moveTarget(fromGpu, contextTokens, tokensMax, System.nanoTime());
    }

    @Override
    public void tellWorker(String gpuId, WorkerMessage.Remote message) {
        if (directory.live(gpuId).isPresent()) {
            workers.worker(gpuId).tell(message);
        }
    }

    @Override
    public void countInFlight(String gpuId, int change) {
        directory.countInFlight(gpuId, change);
    }

    @Override
    public void keep(RequestReport report) {
        demand.finished(report.promptTokens(), report.outputTokens(), System.nanoTime());
        synchronized (reports) {
            reports.put(report.requestId(), report);
        }
        decisions.remove(report.requestId());
    }

    @Override
    public void onDispatched(int uncachedTokens) {
        demand.arrived(uncachedTokens, System.nanoTime());
    }

    @Override
    public void onRequestOver() {
        active.decrementAndGet();
    }
}
