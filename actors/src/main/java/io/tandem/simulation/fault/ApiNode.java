package io.tandem.simulation.fault;

import io.tandem.admission.AdmissionDoor;
import io.tandem.admission.Applicant;
import io.tandem.admission.ServiceClass;
import io.tandem.admission.Verdict;
import io.tandem.engine.SequenceSpec;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTable;
import io.tandem.request.RequestTarget;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.CostSettings;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.RegistryMessage;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.Route;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.Routed;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerRoster;
import io.tandem.supervisor.DemandMeter;
import io.tandem.supervisor.DemandReport;
import io.tandem.supervisor.RebalancePolicy;
import io.tandem.supervisor.Supervision;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * A node that takes requests: the real door, request table, life cycles, roster, router, index and, where it is the cluster's
 * first, supervisor.
 */
final class ApiNode extends SimulatedNode {
    private static final long WORKER_TIMEOUT_NANOS = TimeUnit.SECONDS.toNanos(3);
    private static final long FETCH_RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(500);
    private static final long TICK_NANOS = TimeUnit.MILLISECONDS.toNanos(300);
    private static final long FEED_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long DOOR_NANOS = TimeUnit.MILLISECONDS.toNanos(5);
    private static final long BEAT_NANOS = TimeUnit.MILLISECONDS.toNanos(500);
    private static final long HANDED_ON_NANOS = 20_000;

    private NodeRef<RequestMessage> ref;
    private NodeRef<BlockFeedMessage> feedRef;
    private NodeRef<WorkerMessage.Done> doneRef;
    private RequestTable<SimulatedRequest> requests;
    private WorkerRoster roster;
    private WorkerDirectory directory;
    private BlockFeed feed;
    private KnownBlocks known;
    private RequestRouter router;
    private AdmissionDoor<SimulatedRequest> door;
    private boolean doorTicks;
    private DemandMeter demand;
    private Supervision supervision;
    private long roleChanges;

    ApiNode(World world, String name, int index) {
        super(world, name, index);
    }

    NodeRef<RequestMessage> ref() {
        return ref;
    }

    long roleChanges() {
        return roleChanges;
    }

    @Override
    void onStart() {
        ref = new NodeRef<>(world, this, "requests", m -> requests.on((RequestMessage.FromWorker) m));
        feedRef = new NodeRef<>(world, this, "blocks", this::onBlocks);
        doneRef = new NodeRef<>(world, this, "supervisor", done -> roleChanges++);
        requests = new RequestTable<>(new Delivery());
        roster = new WorkerRoster(WORKER_TIMEOUT_NANOS);
        directory = new WorkerDirectory();
        feed = new BlockFeed(new PrefixIndex(16, world.plan.indexBlocks()), FETCH_RETRY_NANOS);
        known = new KnownBlocks(this, feed);
        router = new RequestRouter(
                directory,
                feed,
                world.settings.routing(),
                CostSettings.DEFAULT,
                world.random().nextLong());
        door = new AdmissionDoor<>(world.settings.admission(), router, this::query, new Exits());
        doorTicks = false;
        demand = new DemandMeter(world.settings.rebalance().demandHalfLife().toNanos());
        supervision = null;
        after(TICK_NANOS, this::tick);
        after(FEED_NANOS, this::lookAtFeed);
        after(BEAT_NANOS, this::beat);
    }

    @Override
    void onDeath() {
        for (SimulatedRequest request : List.copyOf(requests.all())) {
            request.endWithItsNode();
        }
        world.requests.stream().filter(r -> r.isAtDoorOf(this)).forEach(SimulatedRequest::endWithItsNode);
    }

    // ---- the registry

    private void tick() {
        lose(roster.onTick(world.time.nowNanos()));
        known.check();
        after(TICK_NANOS, this::tick);
    }

    void on(RegistryMessage message) {
        switch (message) {
            case WorkerReport report -> lose(roster.onReport(report, world.time.nowNanos()));
            case DemandReport report -> directory.publishDemand(report, world.time.nowNanos());
            default -> throw new IllegalArgumentException("not simulated: " + message);
        }
    }

    @Override
    void onUnreachable(SimulatedNode node) {
        lose(roster.onNodeLost(node.name(), "unreachable", world.time.nowNanos()));
    }

    @Override
    void onProcessGone(SimulatedNode node, int itsIncarnation) {
        lose(roster.onProcessGone(node.name(), "its process is gone", world.time.nowNanos()));
    }

    @Override
    void onProcessBack(SimulatedNode node) {
        roster.onProcessBack(node.name());
    }

    @Override
    void onRemoved(SimulatedNode node, int itsIncarnation) {
        lose(roster.onNodeRemoved(node.name(), "removed", world.time.nowNanos()));
    }

    private void lose(List<WorkerRoster.Loss> losses) {
        directory.publish(roster.entries());
        for (WorkerRoster.Loss loss : losses) {
            world.log(() -> name() + " loses " + loss.worker().gpuId() + ": " + loss.why());
            for (SimulatedRequest request : new ArrayList<>(requests.all())) {
                request.onWorkerLost(loss.worker().gpuId(), loss.worker().epoch(), loss.why());
            }
        }
    }

    // ---- the index of cached blocks

    private void lookAtFeed() {
        feed.onWorkers(directory.entries(), world.time.nowNanos()).forEach(this::fetch);
        after(FEED_NANOS, this::lookAtFeed);
    }

    private void onBlocks(BlockFeedMessage message) {
        switch (message) {
            case BlockFeedMessage.Events m ->
                feed.onEvents(m, world.time.nowNanos()).ifPresent(this::fetch);
            case BlockFeedMessage.Snapshot m -> {
                feed.onSnapshot(m, world.time.nowNanos()).ifPresent(this::fetch);
                known.check(m.gpuId());
            }
            default -> throw new IllegalArgumentException("not simulated: " + message);
        }
    }

    private void fetch(BlockFeed.Fetch fetch) {
        tellWorker(fetch.gpuId(), new WorkerMessage.FetchBlocks(fetch.epoch(), fetch.fromId(), feedRef));
    }

    // ---- the door

    void arrive(SimulatedRequest request, ServiceClass serviceClass, long timeoutNanos) {
        SequenceSpec spec = request.spec();
        long now = world.time.nowNanos();
        door.arrive(
                request,
                new Applicant(
                        request.id(),
                        "tenant-" + request.id() % 3,
                        serviceClass,
                        spec.promptTokens(),
                        spec.maxNewTokens(),
                        now,
                        timeoutNanos),
                now);
        doorChanged();
    }

    private void doorChanged() {
        if (!doorTicks && door.queued() > 0) {
            doorTicks = true;
            after(DOOR_NANOS, () -> {
                doorTicks = false;
                pump();
            });
        }
    }

    /** Something may have made room. */
    private void pump() {
        door.pump(world.time.nowNanos());
        for (SimulatedRequest request : world.requests) {
            if (request.isAtDoorOf(this)) {
                request.mustNotBeLateAtDoor();
            }
        }
        doorChanged();
    }

    void cancel(SimulatedRequest request) {
        if (door.cancel(request.id())) {
            request.mustBeOver("it was cancelled at the door");
        } else if (requests.get(request.id()) != null) {
            request.cancel();
        }
        doorChanged();
    }

    private RouteQuery query(SimulatedRequest request) {
        return query(request, request.spec().tokens(), Set.of());
    }

    private RouteQuery query(SimulatedRequest request, int[] tokens, Set<String> avoid) {
        RoutingSettings routing = world.settings.routing();
        return new RouteQuery(
                request.id(),
                SimulatedModel.FINGERPRINT,
                tokens.length,
                request.spec().newTokens(tokens.length),
                PromptKeys.of(
                        SimulatedModel.FINGERPRINT,
                        world.plan.blockTokens(),
                        request.spec().cacheSalt(),
                        tokens),
                "",
                avoid,
                routing.ttftTarget().toNanos(),
                routing.itlTarget().toNanos(),
                routing.itlTarget().toNanos());
    }

    private final class Exits implements AdmissionDoor.Exits<SimulatedRequest> {
        @Override
        public void dispatched(SimulatedRequest request, Optional<Routed> route, long queuedNanos) {
            int prompt = request.spec().promptTokens();
            demand.arrived(route.map(Routed::uncachedTokens).orElse(prompt), world.time.nowNanos());
            requests.add(request.id(), request);
            request.dispatched(route.map(Routed::route));
        }

        @Override
        public void refused(SimulatedRequest request, Verdict.Reject verdict) {
            request.endsAtDoor("REFUSED");
        }

        @Override
        public void expired(SimulatedRequest request, long queuedNanos) {
            request.endsAtDoor("DEADLINE");
        }

        @Override
        public void cancelled(SimulatedRequest request) {
            request.endsAtDoor("CANCELLED");
        }
    }

    // ---- requests

    Optional<Route> route(SimulatedRequest request, int[] tokens, Set<String> avoid) {
        Optional<Route> route = router.route(query(request, tokens, avoid), world.time.nowNanos())
                .map(Routed::route);
        route.ifPresent(r -> after(HANDED_ON_NANOS, () -> door.moved(request.id(), r.decodeGpu())));
        return route;
    }

    void over(SimulatedRequest request, int outputTokens, boolean whole) {
        requests.remove(request.id());
        SequenceSpec spec = request.spec();
        demand.finished(spec.promptTokens(), outputTokens, world.time.nowNanos());
        after(HANDED_ON_NANOS, () -> {
            door.ended(request.id(), outputTokens, whole);
            pump();
        });
    }

    void firstToken() {
        after(HANDED_ON_NANOS, this::pump);
    }

    boolean hasCandidates() {
        return directory.entries().stream()
                .anyMatch(e -> e.live() && !e.report().draining());
    }

    Optional<Route> moveTarget(String fromGpu, int contextTokens, int tokensMax) {
        return router.moveTarget(fromGpu, contextTokens, tokensMax, world.time.nowNanos());
    }

    boolean live(String gpuId, long epoch) {
        return directory.live(gpuId).filter(w -> w.epoch() == epoch).isPresent();
    }

    void promptComputed(long requestId) {
        router.promptComputed(requestId);
    }

    void moved(long requestId, String decodeGpu) {
        router.moved(requestId, decodeGpu);
        after(HANDED_ON_NANOS, () -> door.moved(requestId, decodeGpu));
    }

    void parted(Route route) {
        router.parted(route, world.time.nowNanos());
    }

    void outputEnded(int tokens) {
        router.outputEnded(tokens);
    }

    void attemptOver(long requestId) {
        router.over(requestId, world.time.nowNanos());
    }

    /** As a node does: nothing is told to a worker that is not there. */
    void tellWorker(String gpuId, WorkerMessage.Remote message) {
        if (directory.live(gpuId).isPresent()) {
            world.toWorker(this, gpuId, message);
        }
    }

    void countInFlight(String gpuId, int change) {
        directory.countInFlight(gpuId, change);
        if (directory.inFlight(gpuId) < 0) {
            throw new IllegalStateException("work in flight to " + gpuId + " is " + directory.inFlight(gpuId));
        }
    }

    // ---- the supervisor

    private void beat() {
        long now = world.time.nowNanos();
        world.toRegistries(this, demand.report(name(), now));
        if (!world.supervises(this)) {
            supervision = null;
        } else if (supervision == null) {
            supervision = newSupervision();
        } else {
            Supervision.Round round = supervision.decide(now);
            for (RebalancePolicy.Flip flip : round.flips()) {
                world.log(
                        () -> name() + " flips " + flip + ": " + round.verdict().reason());
                tellWorker(flip.gpuId(), supervision.changeRole(flip.gpuId(), flip.to(), doneRef));
            }
        }
        after(BEAT_NANOS, this::beat);
    }

    private Supervision newSupervision() {
        return new Supervision(
                directory, world.settings.rebalance(), world.settings.routing(), world.settings.engine());
    }

    /** An operator's command through this node. */
    void byHand(Function<Supervision, WorkerMessage.Remote> command, String gpuId) {
        tellWorker(gpuId, command.apply(newSupervision()));
    }

    NodeRef<WorkerMessage.Done> doneRef() {
        return doneRef;
    }

    // ---- what must hold

    @Override
    void verify() {
        if (door.queued() > world.settings.admission().queueMaxRequests()) {
            throw new IllegalStateException(name() + ": " + door.queued() + " requests wait");
        }
    }

    /** Empty when no request is counted anywhere, and all is known that workers hold. */
    String residue() {
        StringBuilder residue = new StringBuilder();
        for (WorkerDirectory.Entry entry : directory.entries()) {
            int count = directory.inFlight(entry.report().gpuId());
            if (count != 0) {
                residue.append(name() + " counts " + count + " in flight to "
                        + entry.report().gpuId() + "; ");
            }
        }
        if (door.queued() + door.running() > 0) {
            residue.append(name() + "'s door has " + door.queued() + " and " + door.running() + " requests; ");
        }
        if (!requests.all().isEmpty()) {
            residue.append(name() + " keeps " + requests.all().size() + " requests; ");
        }
        return residue + known.missing();
    }

    private final class Delivery implements RequestTable.Delivery<SimulatedRequest> {
        @Override
        public void token(SimulatedRequest request, RequestMessage.Tokens m, int i) {
            request.onToken(m, i);
        }

        @Override
        public void event(SimulatedRequest request, RequestMessage.OfRequest message) {
            request.on(message);
        }

        @Override
        public void held(SimulatedRequest request, String gpuId, int attempt) {
            request.onHeld(gpuId, attempt);
        }

        @Override
        public void stop(String gpuId, long requestId, int attempt) {
            tellWorker(gpuId, new WorkerMessage.CancelWork(new RequestTarget(ref, requestId, attempt)));
        }
    }
}
