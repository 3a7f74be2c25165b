package io.tandem.simulation.fault;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTable;
import io.tandem.request.RequestTarget;
import io.tandem.routing.BlockFeed;
import io.tandem.routing.CostSettings;
import io.tandem.routing.MoveTargets;
import io.tandem.routing.PrefixIndex;
import io.tandem.routing.PromptKeys;
import io.tandem.routing.RequestRouter;
import io.tandem.routing.Route;
import io.tandem.routing.RouteQuery;
import io.tandem.routing.Routed;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerDirectory;
import io.tandem.routing.WorkerRoster;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** A node that takes requests: the real request table, life cycles, roster and routing policy. */
final class ApiNode extends SimulatedNode {
    private static final long WORKER_TIMEOUT_NANOS = TimeUnit.SECONDS.toNanos(3);
    private static final long FETCH_RETRY_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final Config DEFAULTS = ConfigFactory.defaultReference();
    private static final Duration TTFT_TARGET = Duration.ofSeconds(2);
    private static final Duration ITL_TARGET = Duration.ofMillis(50);
    private static final long TICK_NANOS = TimeUnit.MILLISECONDS.toNanos(300);

    private NodeRef ref;
    private RequestTable<SimulatedRequest> requests;
    private WorkerRoster roster;
    private WorkerDirectory directory;
    private BlockFeed feed;
    private RequestRouter router;

    ApiNode(World world, String name, int index) {
        super(world, name, index);
    }

    NodeRef ref() {
        return ref;
    }

    @Override
    void onStart() {
        ref = new NodeRef(world, this);
        requests = new RequestTable<>(new Delivery());
        roster = new WorkerRoster(WORKER_TIMEOUT_NANOS);
        directory = new WorkerDirectory();
        feed = new BlockFeed(new PrefixIndex(16, 1024), FETCH_RETRY_NANOS);
        router = new RequestRouter(
                directory, feed, routing(), CostSettings.DEFAULT, world.random().nextLong());
        after(TICK_NANOS, this::tick);
    }

    private RoutingSettings routing() {
        return RoutingSettings.from(ConfigFactory.parseMap(Map.of(
                        "tandem.routing.policy",
                        world.plan.byCost() ? "cost" : "least-loaded",
                        "tandem.routing.split-from-tokens",
                        world.plan.splitFromTokens()))
                .withFallback(DEFAULTS));
    }

    @Override
    void onDeath() {
        for (SimulatedRequest request : List.copyOf(requests.all())) {
            request.endWithItsNode();
        }
    }

    private void tick() {
        lose(roster.onTick(world.time.nowNanos()));
        after(TICK_NANOS, this::tick);
    }

    void onReport(WorkerReport report) {
        lose(roster.onReport(report, world.time.nowNanos()));
    }

    @Override
    void onUnreachable(SimulatedNode node) {
        lose(roster.onNodeLost(node.name(), "unreachable", world.time.nowNanos()));
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
                request.onWorkerLost(loss.worker().gpuId(), loss.worker().epoch());
            }
        }
    }

    void accept(SimulatedRequest request) {
        requests.add(request.id(), request);
        request.book();
    }

    void over(SimulatedRequest request) {
        requests.remove(request.id());
    }

    void on(RequestMessage.FromWorker message) {
        requests.on(message);
    }

    boolean hasCandidates() {
        return directory.entries().stream()
                .anyMatch(e -> e.live() && !e.report().draining());
    }

    Optional<Route> moveTarget(String fromGpu) {
        return MoveTargets.choose(fromGpu, directory.entries(), directory::inFlight);
    }

    Optional<Route> route(long requestId, int[] tokens, Set<String> avoid) {
        RouteQuery query = new RouteQuery(
                requestId,
                SimulatedModel.FINGERPRINT,
                tokens.length,
                PromptKeys.NONE,
                "",
                avoid,
                TTFT_TARGET.toNanos(),
                ITL_TARGET.toNanos());
        return router.route(query, world.time.nowNanos()).map(Routed::route);
    }

    boolean live(String gpuId, long epoch) {
        return directory.live(gpuId).filter(w -> w.epoch() == epoch).isPresent();
    }

    void promptComputed(long requestId) {
        router.promptComputed(requestId);
    }

    void moved(long requestId, String decodeGpu) {
        router.moved(requestId, decodeGpu);
    }

    void outputEnded(int tokens) {
        router.outputEnded(tokens);
    }

    void attemptOver(long requestId) {
        router.over(requestId, world.time.nowNanos());
    }

    void tellWorker(String gpuId, WorkerMessage.Remote message) {
        world.toWorker(this, gpuId, message);
    }

    void countInFlight(String gpuId, int change) {
        directory.countInFlight(gpuId, change);
        if (directory.inFlight(gpuId) < 0) {
            throw new IllegalStateException("work in flight to " + gpuId + " is " + directory.inFlight(gpuId));
        }
    }

    /** Empty when no request is counted anywhere. */
    String residue() {
        StringBuilder residue = new StringBuilder();
        for (WorkerDirectory.Entry entry : directory.entries()) {
            int count = directory.inFlight(entry.report().gpuId());
            if (count != 0) {
                residue.append(name() + " counts " + count + " in flight to "
                        + entry.report().gpuId());
            }
        }
        return requests.all().isEmpty()
                ? residue.toString()
                : residue + name() + " keeps " + requests.all().size() + " requests";
    }

    @Override
    void verify() {}

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
