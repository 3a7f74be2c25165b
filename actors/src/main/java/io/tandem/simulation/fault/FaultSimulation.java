package io.tandem.simulation.fault;

import io.tandem.admission.ServiceClass;
import io.tandem.engine.EngineRole;
import io.tandem.engine.SequenceSpec;
import io.tandem.sampling.SamplingParams;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/**
 * Runs one seed: a cluster, its load and its faults, then calm, until every request is over and nothing is held anywhere.
 * Every event is followed by the checks of the node it happened to.
 */
public final class FaultSimulation {
    /** Far more than any request needs once the faults are over, far less than its deadline. */
    private static final long PATIENCE_MILLIS = 90_000;

    private static final long LONG_TIMEOUT_MILLIS = 600_000;
    private static final long CALM_AFTER_LOAD_MILLIS = 25_000;
    private static final List<EngineRole> ROLES = List.of(EngineRole.PREFILL, EngineRole.DECODE, EngineRole.MIXED);
    private static final long MAX_EVENTS = 20_000_000;

    private final FaultPlan plan;
    private final World world;
    private final SplittableRandom random;
    private final List<int[]> prefixes = new ArrayList<>();
    private int launched;

    private FaultSimulation(long seed, boolean logging) {
        plan = FaultPlan.of(seed);
        world = new World(plan, logging);
        random = new SplittableRandom(seed ^ 0x2545F4914F6CDD1DL);
    }

    /**
     * Runs a seed.
     *
     * @throws InvariantViolation when something happened that must not
     */
    public static FaultReport run(long seed) {
        try {
            return new FaultSimulation(seed, false).run();
        } catch (RuntimeException e) {
            throw new InvariantViolation("seed " + seed + ": " + e.getMessage(), e);
        }
    }

    /** Runs a seed and answers what happened last, for whoever looks for the cause. */
    public static List<String> explain(long seed) {
        FaultSimulation simulation = new FaultSimulation(seed, true);
        List<String> lines = new ArrayList<>();
        lines.add(simulation.plan.toString());
        try {
            simulation.run();
            lines.addAll(simulation.world.logLines());
        } catch (RuntimeException e) {
            lines.addAll(simulation.world.logLines());
            lines.add("VIOLATION at " + simulation.world.time.nowMillis() + " ms: " + e.getMessage());
            lines.add("  " + List.of(e.getStackTrace()).subList(0, Math.min(12, e.getStackTrace().length)));
        }
        return lines;
    }

    private FaultReport run() {
        drawLoad();
        for (FaultPlan.Fault fault : plan.faults()) {
            world.time.after(fault.atMillis() * 1_000_000L, () -> strike(fault));
        }
        long calmMillis = plan.loadMillis() + CALM_AFTER_LOAD_MILLIS;
        world.time.after(calmMillis * 1_000_000, this::calm);
        while (world.time.nowMillis() < calmMillis || !settled()) {
            world.time.next();
            if (world.time.nowMillis() > calmMillis + PATIENCE_MILLIS) {
                throw new IllegalStateException("after " + PATIENCE_MILLIS + " ms of calm: " + unsettled());
            }
            if (world.time.carriedOut() > MAX_EVENTS) {
                throw new IllegalStateException("no end after " + MAX_EVENTS + " events: " + unsettled());
            }
        }
        return report();
    }

    private void calm() {
        world.calm();
        for (WorkerNode worker : world.workers) {
            worker.failSteps(0);
        }
        world.nodes().forEach(world::startNode);
        world.workers.forEach(worker -> worker.run(worker::endDraining));
        world.log(() -> "calm");
    }

    // ---- load

    private void drawLoad() {
        for (int i = 0; i < 4; i++) {
            prefixes.add(tokens(random.nextInt(1, 120)));
        }
        for (int i = 0; i < plan.requests(); i++) {
            world.time.after(random.nextInt(500, 500 + plan.loadMillis()) * 1_000_000L, this::launch);
        }
    }

    private void launch() {
        ApiNode api = world.apis.get(random.nextInt(world.apis.size()));
        SequenceSpec spec = spec();
        boolean hurried = random.nextInt(16) == 0;
        boolean impatient = random.nextInt(10) == 0;
        int patienceMillis = random.nextInt(1, 3_000);
        if (!api.runs()) {
            return;
        }
        SimulatedRequest request =
                new SimulatedRequest(++launched, api, spec, hurried ? patienceMillis : LONG_TIMEOUT_MILLIS);
        world.requests.add(request);
        ServiceClass serviceClass = world.settings.admission().classes().get(random.nextInt(3) == 0 ? 0 : 1);
        long handedOn = random.nextInt(4) == 0 ? random.nextInt(500) * 1_000_000L : 20_000;
        api.run(() -> request.arrive(serviceClass, handedOn));
        if (impatient) {
            api.after(patienceMillis * 1_000_000L, request::leave);
        }
    }

    private SequenceSpec spec() {
        int[] prefix = prefixes.get(random.nextInt(prefixes.size()));
        int[] own = tokens(random.nextInt(1, 60));
        int[] prompt = new int[prefix.length + own.length];
        System.arraycopy(prefix, 0, prompt, 0, prefix.length);
        System.arraycopy(own, 0, prompt, prefix.length, own.length);
        int maxNew = switch (random.nextInt(8)) {
            case 0, 1 -> random.nextInt(1, 4);
            case 2 -> random.nextInt(80, world.maxTokens() - prompt.length);
            default -> random.nextInt(4, 80);
        };
        int[] stops = random.nextInt(3) == 0 ? new int[0] : new int[] {random.nextInt(32, SimulatedModel.VOCABULARY)};
        return new SequenceSpec(
                prompt,
                prompt.length,
                maxNew,
                SamplingParams.of(1, random.nextLong()),
                stops,
                random.nextInt(8) == 0 ? 7 : 0,
                Long.MAX_VALUE);
    }

    private int[] tokens(int count) {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++) {
            tokens[i] = random.nextInt(32, SimulatedModel.VOCABULARY);
        }
        return tokens;
    }

    // ---- faults

    private WorkerNode sender(FaultPlan.Fault fault) {
        return fault.victim() % 2 == 0
                ? world.workers.get(fault.victim() / 2 % world.workers.size())
                : world.workers.stream()
                        .max(Comparator.comparingInt(WorkerNode::works))
                        .orElseThrow();
    }

    private void strike(FaultPlan.Fault fault) {
        WorkerNode worker = world.workers.get(fault.victim() % world.workers.size());
        SimulatedNode any = world.nodes().get(fault.victim() % world.nodes().size());
        switch (fault.kind()) {
            case KILL_WORKER -> killFor(worker, fault.forMillis());
            case KILL_API -> killFor(world.apis.get(fault.victim() % world.apis.size()), fault.forMillis());
            case HANG -> world.hang(any, fault.forMillis());
            case PARTITION -> world.partition(away(fault), fault.forMillis());
            case CUT_TRANSFERS ->
                world.cutTransfers(
                        worker, world.workers.get((fault.victim() + 1) % world.workers.size()), fault.forMillis());
            case STEP_CLOCK -> any.stepClock(fault.amount());
            case FAIL_STEPS -> worker.failSteps(1 + Math.abs(fault.amount()) % 3);
            case CHANGE_ROLE -> changeRole(sender(fault).gpuId(), ROLES.get(Math.abs(fault.amount()) % 3));
            case DRAIN -> drain(sender(fault).gpuId(), fault.forMillis());
            case FALSE_ALARM -> world.falseAlarm(any, fault.forMillis());
        }
    }

    private void changeRole(String gpuId, EngineRole to) {
        byHand(api -> api.byHand(s -> s.changeRole(gpuId, to, api.doneRef()), gpuId));
    }

    private void drain(String gpuId, int millis) {
        byHand(api -> api.byHand(s -> s.setDraining(gpuId, true, api.doneRef()), gpuId));
        world.time.after(
                millis * 1_000_000L,
                () -> byHand(api -> api.byHand(s -> s.setDraining(gpuId, false, api.doneRef()), gpuId)));
    }

    private void byHand(Consumer<ApiNode> command) {
        world.apis.stream().filter(ApiNode::runs).findFirst().ifPresent(api -> api.run(() -> command.accept(api)));
    }

    private void killFor(SimulatedNode node, int millis) {
        world.kill(node);
        world.time.after(Math.max(1_000, millis) * 1_000_000L, () -> world.startNode(node));
    }

    private List<SimulatedNode> away(FaultPlan.Fault fault) {
        List<SimulatedNode> nodes = world.nodes();
        List<SimulatedNode> away = new ArrayList<>();
        int count = 1 + Math.abs(fault.amount()) % Math.max(1, nodes.size() - 1);
        for (int i = 0; i < count; i++) {
            away.add(nodes.get((fault.victim() + i) % nodes.size()));
        }
        return away;
    }

    // ---- the end

    private boolean settled() {
        return world.requests.stream().allMatch(SimulatedRequest::terminal)
                && world.workers.stream().allMatch(w -> w.runs() && w.residue().isEmpty())
                && world.apis.stream().allMatch(a -> a.runs() && a.residue().isEmpty());
    }

    private String unsettled() {
        StringBuilder text = new StringBuilder();
        world.requests.stream()
                .filter(r -> !r.terminal())
                .forEach(r -> text.append(r).append("; "));
        world.workers.stream()
                .filter(WorkerNode::runs)
                .forEach(w -> text.append(w.residue()).append(' '));
        world.apis.stream()
                .filter(ApiNode::runs)
                .forEach(a -> text.append(a.residue()).append(' '));
        world.nodes().stream()
                .filter(n -> !n.runs())
                .forEach(n -> text.append(n.name()).append(" does not run "));
        return text.toString().strip();
    }

    private FaultReport report() {
        return new FaultReport(
                plan.seed(),
                world.requests.size(),
                count("STOP") + count("LENGTH"),
                (int) world.requests.stream()
                        .filter(r -> r.figures().resumes() > 0)
                        .count(),
                count("CANCELLED"),
                count("OVERLOADED") + count("UNAVAILABLE") + count("REFUSED"),
                count("DEADLINE"),
                count("node"),
                world.requests.stream().mapToLong(SimulatedRequest::emitted).sum(),
                plan.faults().size(),
                world.time.carriedOut(),
                world.time.nowMillis() / 1e3,
                world.requests.stream().mapToInt(SimulatedRequest::moves).sum(),
                world.apis.stream().mapToLong(ApiNode::roleChanges).sum(),
                world.requests.stream()
                        .mapToLong(SimulatedRequest::longestGapNanos)
                        .max()
                        .orElse(0));
    }

    private int count(String end) {
        return (int) world.requests.stream().filter(r -> r.end().equals(end)).count();
    }
}
