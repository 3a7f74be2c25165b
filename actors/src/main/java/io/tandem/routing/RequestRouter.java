package io.tandem.routing;

import io.tandem.engine.EngineRole;
import io.tandem.transfer.TransferStats;
import io.tandem.worker.WorkerReport;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.BiPredicate;
import java.util.function.Predicate;

/**
 * Chooses the workers of this node's requests: gathers what is known of each worker (its report, what this node has sent
 * there since, cached blocks, measured transfers), asks the policy, and books its answer at once, so that the next request
 * sees it. Look-ups of cached blocks run on the caller's thread without a lock; deciding and booking are one step.
 *
 * <p>No clock: time comes as an argument. Safe for any thread.
 */
public final class RequestRouter {
    /** A pair that worked together without any transfer for longer is as good as unknown. */
    private static final long DIRECT_KNOWN_NANOS = TimeUnit.HOURS.toNanos(1);

    private final WorkerDirectory directory;
    private final RoutingSettings settings;
    private final CostPolicy cost;
    private final RoutingPolicy leastLoaded;
    private final WorkerLoads loads;
    private final TransferRates rates;
    private final SessionHomes sessions;
    private final BlockFeed cached;
    private final ExpectedBlocks expected;
    private final RecentPairs parted;

    /** Whose blocks went from device to device. */
    private final RecentPairs direct = new RecentPairs(DIRECT_KNOWN_NANOS);

    /** Bookings by request. */
    private final Map<Long, Booked> booked = new HashMap<>();

    private record Booked(String prefillGpu, String decodeGpu, double contextTokens) {}

    /** A decision, and the requests and reports it was made from. */
    private record Weighed(CostPolicy.Request request, RoutingDecision decision, Map<String, WorkerReport> reports) {}

    /** @param cached what the workers' prefix caches hold */
    public RequestRouter(
            WorkerDirectory directory, BlockFeed cached, RoutingSettings settings, CostSettings costs, long seed) {
        this.directory = directory;
        this.cached = cached;
        expected = new ExpectedBlocks(
                settings.index().maxWorkers(),
                settings.index().maxExpectedBlocks(),
                settings.predictedTtl().toNanos());
        this.settings = settings;
        parted = new RecentPairs(settings.partedRest().toNanos());
        cost = new CostPolicy(costs, seed);
        leastLoaded = new RoutingPolicy(settings.splitFromTokens(), settings.split());
        loads = new WorkerLoads(settings.prior());
        rates = new TransferRates(settings.transferBytesPerSecond(), (double)
                settings.transferLatency().toNanos());
        sessions =
                new SessionHomes(settings.maxSessions(), settings.sessionTtl().toNanos());
    }

    /** What would be decided now; nothing is booked. Empty when there is no worker. */
    public Optional<RoutingDecision> predict(RouteQuery query, long nowNanos) {
        BlockFeed.Depths depths = cached.find(query.keys());
        synchronized (this) {
            return weigh(query, depths, nowNanos).map(w -> w.decision().best(settings.keptPlans()));
        }
    }

    /**
     * What a request would meet now.
     *
     * @param plan how it would run
     * @param workers that may run it
     * @param learned whether the plan's time to first token rests on measurements
     * @param itlNanos between its tokens and those beside it; 0 = not measured yet
     * @param idle whether the plan's GPUs have nothing to do
     * @param outputNanos GPU time of its output, beside others
     */
    public record Outlook(
            RoutingDecision.Plan plan,
            int workers,
            boolean learned,
            double itlNanos,
            boolean idle,
            double outputNanos) {}

    /** What a request would meet if it were sent now; nothing is booked. Empty when there is no worker. */
    public Optional<Outlook> outlook(RouteQuery query, long nowNanos) {
        BlockFeed.Depths depths = cached.find(query.keys());
        synchronized (this) {
            return weigh(query, depths, nowNanos).map(w -> {
                RoutingDecision.Plan plan = w.decision().plan();
                WorkerLoad prefill = loads.of(plan.prefillGpu());
                WorkerLoad decode = loads.of(plan.decodeGpu());
                boolean idle = prefill.backlogTokens() + decode.backlogTokens() <= 0
                        && prefill.decodes() + decode.decodes() == 0;
                double itl = decode.steps().decodeLearned() ? plan.predictedItlNanos() : 0;
                double output = cost.outputNanos(decode.steps(), w.request());
                return new Outlook(plan, w.reports().size(), prefill.steps().prefillLearned(), itl, idle, output);
            });
        }
    }

    /** Time between tokens on a GPU with so many decodes and so much context more (or less) than it is known to have. */
    public synchronized double itlNanos(String decodeGpu, int moreDecodes, double moreContextTokens) {
        WorkerLoad load = loads.of(decodeGpu);
        return load == null ? 0 : load.decodeStepNanos(moreDecodes, moreContextTokens);
    }

    /** Decides and books; {@link #over} ends the booking. Empty when there is no worker. */
    public Optional<Routed> route(RouteQuery query, long nowNanos) {
        BlockFeed.Depths depths = cached.find(query.keys());
        synchronized (this) {
            return weigh(query, depths, nowNanos).map(w -> book(query, w, nowNanos));
        }
    }

    // ---- what became of it

    /** The first token of a booked request is there. */
    public synchronized void promptComputed(long id) {
        Booked b = booked.get(id);
        WorkerLoad load = b == null ? null : loads.of(b.prefillGpu());
        if (load != null) {
            load.promptComputed(id);
        }
    }

    /** An output ended by itself: its length says something about those to come. */
    public synchronized void outputEnded(int tokens) {
        cost.outputEnded(tokens);
    }

    /** A booked request goes on generating on another worker. */
    public synchronized void moved(long id, String decodeGpu) {
        Booked b = booked.get(id);
        if (b == null) {
            return;
        }
        end(b.decodeGpu(), id);
        booked.put(id, new Booked(b.prefillGpu(), decodeGpu, b.contextTokens()));
        WorkerLoad load = loads.of(decodeGpu);
        if (load != null && b.contextTokens() > 0) {
            load.bookDecode(id, b.contextTokens());
        }
    }

    /** A booked request, or one attempt of it, is over. */
    public synchronized void over(long id, long nowNanos) {
        // A report that counts this request must be taken in while it is still known as our own.
        loads.refresh(directory.entries(), nowNanos);
        endBooking(id);
    }

    private void endBooking(long id) {
        Booked b = booked.remove(id);
        if (b != null) {
            end(b.prefillGpu(), id);
            end(b.decodeGpu(), id);
        }
    }

    private void end(String gpuId, long id) {
        WorkerLoad load = loads.of(gpuId);
        if (load != null) {
            load.finished(id);
        }
    }

    /** KV of a booked request has come to a worker: from where its prompt was computed, or from where it decoded so far. */
    public synchronized void transferred(long id, String decodeGpu, TransferStats stats, long nowNanos) {
        Booked b = booked.get(id);
        Optional<WorkerReport> to = directory.live(decodeGpu);
        if (b == null || to.isEmpty() || stats.blocks() == 0) {
            return;
        }
        rates.measured(to.get().transferWire(), stats);
        String from = b.decodeGpu().equals(decodeGpu) ? b.prefillGpu() : b.decodeGpu();
        directory.live(from).ifPresent(source -> went(source, to.get(), stats, nowNanos));
    }

    private void went(WorkerReport from, WorkerReport to, TransferStats stats, long nowNanos) {
        if (stats.direct()) {
            direct.add(incarnation(from), incarnation(to), nowNanos);
        } else {
            direct.remove(incarnation(from), incarnation(to));
        }
    }

    /** No blocks found a way from one worker to another: they are not paired for a while. */
    public synchronized void parted(Route route, long nowNanos) {
        parted.add(
                incarnation(route.prefillGpu(), route.prefillEpoch()),
                incarnation(route.decodeGpu(), route.decodeEpoch()),
                nowNanos);
    }

    /**
     * Another worker for a sequence that decodes on {@code fromGpu}; empty when none can take it now.
     *
     * @param contextTokens its prompt and output so far
     * @param tokensMax its prompt and output at most
     */
    public synchronized Optional<Route> moveTarget(String fromGpu, int contextTokens, int tokensMax, long nowNanos) {
        return MoveTargets.choose(
                new MoveTargets.Moving(fromGpu, contextTokens, tokensMax),
                directory.entries(),
                directory::inFlight,
                (from, to) -> parted.contains(incarnation(from), incarnation(to), nowNanos));
    }

    private static String incarnation(WorkerReport worker) {
        return incarnation(worker.gpuId(), worker.epoch());
    }

    private static String incarnation(String gpuId, long epoch) {
        return gpuId + "@" + epoch;
    }

    private static BiPredicate<String, String> of(RecentPairs pairs, Map<String, WorkerReport> able, long nowNanos) {
        return pairs.isEmpty()
                ? (from, to) -> false
                : (from, to) -> pairs.contains(incarnation(able.get(from)), incarnation(able.get(to)), nowNanos);
    }

    // ---- deciding

    private Optional<Weighed> weigh(RouteQuery query, BlockFeed.Depths depths, long nowNanos) {
        expected.find(query.keys(), nowNanos);
        List<WorkerDirectory.Entry> entries = directory.entries();
        loads.refresh(entries, nowNanos);
        Map<String, WorkerReport> able = able(entries, query);
        if (able.isEmpty()) {
            return Optional.empty();
        }
        CostPolicy.Request request = new CostPolicy.Request(
                query.id(),
                query.tokens(),
                query.ttftTargetNanos(),
                query.itlTargetNanos(),
                query.itlLimitNanos(),
                query.maxNewTokens());
        Optional<RoutingDecision> decision = settings.policy() == RoutingSettings.Policy.LEAST_LOADED
                ? byLoad(query, depths, request, able, nowNanos)
                : byCost(query, depths, request, able, nowNanos);
        return decision.map(d -> new Weighed(request, d, able));
    }

    /**
     * Live workers of the model that are not draining, without those that are too small for it, and of these without those to avoid,
     * unless there are no others.
     */
    private static Map<String, WorkerReport> able(List<WorkerDirectory.Entry> entries, RouteQuery query) {
        Map<String, WorkerReport> all = new LinkedHashMap<>();
        for (WorkerDirectory.Entry entry : entries) {
            WorkerReport report = entry.report();
            if (entry.live() && !report.draining() && report.modelFingerprint().equals(query.modelFingerprint())) {
                all.put(report.gpuId(), report);
            }
        }
        Map<String, WorkerReport> large = preferred(all, w -> w.maxTokens() > query.tokens());
        return preferred(large, w -> !query.avoid().contains(w.gpuId()));
    }

    /** Those that are preferred, or all when none is. */
    private static Map<String, WorkerReport> preferred(
            Map<String, WorkerReport> workers, Predicate<WorkerReport> preference) {
        Map<String, WorkerReport> some = new LinkedHashMap<>(workers);
        some.values().removeIf(preference.negate());
        return some.isEmpty() ? workers : some;
    }

    private Optional<RoutingDecision> byCost(
            RouteQuery query,
            BlockFeed.Depths depths,
            CostPolicy.Request request,
            Map<String, WorkerReport> able,
            long nowNanos) {
        boolean whole = !settings.split() || query.tokens() < settings.splitFromTokens();
        CostPolicy.Ways ways = new CostPolicy.Ways(of(parted, able, nowNanos), of(direct, able, nowNanos));
        RoutingDecision best = null;
        for (List<WorkerReport> alike : byLayout(able).values()) {
            Roles roles = !request.decodes()
                    ? Roles.OWN
                    : whole ? Roles.WHOLE : nothingToGather(alike) ? Roles.APART : Roles.OWN;
            Optional<RoutingDecision> found =
                    cost.decide(request, candidates(query, depths, alike, roles), ways, nowNanos);
            if (found.isEmpty()) {
                // Prefill workers alone: better there than nowhere.
                found = cost.decide(request, candidates(query, depths, alike, Roles.MIXED), ways, nowNanos);
            }
            best = found.isPresent() ? better(best, found.get()) : best;
        }
        return Optional.ofNullable(best).map(d -> atHome(d, sessions.find(query.session(), nowNanos)));
    }

    /** Workers that can hand blocks to one another. */
    private static Map<String, List<WorkerReport>> byLayout(Map<String, WorkerReport> able) {
        Map<String, List<WorkerReport>> layouts = new LinkedHashMap<>();
        for (WorkerReport report : able.values()) {
            layouts.computeIfAbsent(report.kvSignature(), s -> new ArrayList<>())
                    .add(report);
        }
        return layouts;
    }

    /** The better of two decisions over different workers, with the plans of both. */
    private static RoutingDecision better(RoutingDecision a, RoutingDecision b) {
        if (a == null) {
            return b;
        }
        boolean first = a.plan().cost() <= b.plan().cost();
        List<RoutingDecision.Plan> plans = new ArrayList<>(a.plans());
        plans.addAll(b.plans());
        return new RoutingDecision(
                plans, first ? a.chosen() : a.plans().size() + b.chosen(), first ? a.reason() : b.reason());
    }

    /**
     * The policy picks one decode GPU for all plans, to gather decodes where there are some. Where no MIXED worker has any there
     * is nothing to gather, and a transfer between two of them would be for nothing.
     */
    private boolean nothingToGather(List<WorkerReport> workers) {
        return workers.stream()
                .allMatch(
                        w -> w.role() != EngineRole.MIXED || loads.of(w.gpuId()).decodes() == 0);
    }

    /** What {@link CostPolicy} is to take the workers for. */
    private enum Roles {
        /** What they are. */
        OWN,
        /** What they are, but a MIXED one decodes the prompts it computes. */
        APART,
        /** Each serves a request from prompt to end; PREFILL workers are left out. */
        WHOLE,
        /** All take all. */
        MIXED
    }

    private List<CostPolicy.Candidate> candidates(
            RouteQuery query, BlockFeed.Depths depths, List<WorkerReport> workers, Roles roles) {
        List<CostPolicy.Candidate> candidates = new ArrayList<>(workers.size());
        for (WorkerReport worker : workers) {
            switch (roles) {
                case OWN -> candidates.add(candidate(query, depths, worker, worker.role()));
                case APART ->
                    candidates.add(candidate(
                            query,
                            depths,
                            worker,
                            worker.role() == EngineRole.MIXED ? EngineRole.DECODE : worker.role()));
                case MIXED -> candidates.add(candidate(query, depths, worker, EngineRole.MIXED));
                case WHOLE -> {
                    if (worker.role() != EngineRole.PREFILL) {
                        candidates.add(candidate(query, depths, worker, EngineRole.DECODE));
                    }
                }
            }
        }
        return candidates;
    }

    private CostPolicy.Candidate candidate(
            RouteQuery query, BlockFeed.Depths depths, WorkerReport worker, EngineRole role) {
        int there = cachedTokens(query, depths, worker);
        int blockTokens = Math.max(1, worker.facts().blockTokens());
        double missing =
                (double) (query.tokens() - there) / blockTokens * worker.facts().blockBytes();
        return new CostPolicy.Candidate(
                loads.of(worker.gpuId()),
                role,
                there,
                rates.nanos(worker.transferWire(), missing),
                rates.nanos(TransferRates.DIRECT, missing),
                freeTokens(worker, blockTokens),
                worker.role() == EngineRole.DECODE);
    }

    /** Room after all that is booked, and no more than the worker itself says: prompts that wait there hold blocks too. */
    private long freeTokens(WorkerReport worker, int blockTokens) {
        var stats = worker.stats();
        long reported = (long) (stats.freeBlocks() + stats.cachedBlocks()) * blockTokens;
        long capacity = (long) stats.totalBlocks() * blockTokens;
        return Math.min(
                reported,
                loads.of(worker.gpuId()).freeTokens(capacity, worker.facts().maxSequences()));
    }

    /** Prompt tokens that a worker has in its cache or will have soon; a sequence needs one more to run. */
    private int cachedTokens(RouteQuery query, BlockFeed.Depths depths, WorkerReport worker) {
        int blockTokens = query.keys().blockTokens();
        if (blockTokens != worker.facts().blockTokens()) {
            return 0;
        }
        int blocks =
                Math.max(depths.of(worker.gpuId(), worker.epoch()), expected.depth(worker.gpuId(), worker.epoch()));
        return Math.min(blocks, (query.tokens() - 1) / blockTokens) * blockTokens;
    }

    /** The session's own worker unless another is clearly better. */
    private RoutingDecision atHome(RoutingDecision decision, SessionHomes.Home home) {
        if (home == null || home.has(decision.plan().prefillGpu())) {
            return decision;
        }
        double limit = decision.plan().cost() + settings.sessionBonus().toNanos();
        int chosen = -1;
        for (int i = 0; i < decision.plans().size(); i++) {
            RoutingDecision.Plan plan = decision.plans().get(i);
            boolean fits = home.has(plan.prefillGpu()) && plan.cost() <= limit;
            if (fits
                    && (chosen < 0 || plan.cost() < decision.plans().get(chosen).cost())) {
                chosen = i;
            }
        }
        return chosen < 0
                ? decision
                : new RoutingDecision(
                        decision.plans(),
                        chosen,
                        String.format(
                                Locale.ROOT,
                                "the session's own GPU %s, %.0f ms above the least cost",
                                decision.plans().get(chosen).prefillGpu(),
                                (decision.plans().get(chosen).cost()
                                                - decision.plan().cost())
                                        / 1e6));
    }

    /** The least loaded workers; the cost policy only predicts what they will do. */
    private Optional<RoutingDecision> byLoad(
            RouteQuery query,
            BlockFeed.Depths depths,
            CostPolicy.Request request,
            Map<String, WorkerReport> able,
            long nowNanos) {
        Optional<Route> found = leastLoaded.route(
                query.tokens(),
                request.decodes(),
                List.copyOf(able.values()),
                directory::inFlight,
                query.avoid(),
                of(parted, able, nowNanos));
        return found.flatMap(route -> {
            List<CostPolicy.Candidate> two = new ArrayList<>();
            if (route.split()) {
                two.add(candidate(query, depths, able.get(route.prefillGpu()), EngineRole.PREFILL));
            }
            two.add(candidate(query, depths, able.get(route.decodeGpu()), EngineRole.DECODE));
            CostPolicy.Ways ways = new CostPolicy.Ways((from, to) -> false, of(direct, able, nowNanos));
            return cost.decide(request, two, ways, nowNanos)
                    .map(d -> new RoutingDecision(d.plans(), 0, route.reason()));
        });
    }

    private Routed book(RouteQuery query, Weighed weighed, long nowNanos) {
        RoutingDecision.Plan plan = weighed.decision().plan();
        WorkerLoad decode = loads.of(plan.decodeGpu());
        // Not with what was reported meanwhile: a worker that was weighed may be lost by that.
        endBooking(query.id());
        cost.book(weighed.request(), plan, loads.of(plan.prefillGpu()), decode, nowNanos);
        booked.put(query.id(), new Booked(plan.prefillGpu(), plan.decodeGpu(), decode.bookedContextTokens(query.id())));
        Route route = new Route(
                plan.prefillGpu(),
                weighed.reports().get(plan.prefillGpu()).epoch(),
                plan.decodeGpu(),
                weighed.reports().get(plan.decodeGpu()).epoch(),
                weighed.decision().reason());
        sessions.served(query.session(), route, nowNanos);
        expected.sent(route.prefillGpu(), route.prefillEpoch(), query.keys(), nowNanos);
        if (route.split()) {
            expected.sent(route.decodeGpu(), route.decodeEpoch(), query.keys(), nowNanos);
        }
        return new Routed(route, weighed.decision().best(settings.keptPlans()));
    }
}
