package io.tandem.simulation;

import io.tandem.simulation.EngineSequence.IdSource;
import io.tandem.simulation.EngineSequence.Work;
import io.tandem.simulation.Placement.Arrival;
import io.tandem.simulation.Placement.Plan;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/**
 * Discrete events under virtual time: at one instant ends of passes first, then ends of transfers, then a round of the role
 * controller, then arrivals in the order of the trace, then every idle worker with work starts a pass. Deterministic for a
 * deterministic policy.
 */
public final class ClusterSimulation {

    /**
     * What is simulated.
     *
     * @param workers their number
     * @param blocks KV blocks of a worker
     * @param blockTokens tokens a block
     * @param maxSequences sequences in a batch
     * @param maxBatchTokens tokens in a pass
     * @param kvBytesPerToken 0 = transfers take no time
     * @param transferBytesPerSecond between two workers
     */
    public record Cluster(
            int workers,
            int blocks,
            int blockTokens,
            int maxSequences,
            int maxBatchTokens,
            long kvBytesPerToken,
            double transferBytesPerSecond) {

        /** The defaults of Dynamo's offline replay, with transfers that take no time. */
        public static Cluster dynamo(int workers) {
            return new Cluster(workers, 16_384, 64, 256, 8_192, 0, 64e9);
        }

        Cluster withWorkers(int other) {
            return new Cluster(
                    other, blocks, blockTokens, maxSequences, maxBatchTokens, kvBytesPerToken, transferBytesPerSecond);
        }

        long transferNanos(int tokens) {
            return Math.round(tokens * (double) kvBytesPerToken / transferBytesPerSecond * 1e9);
        }
    }

    private final Trace trace;
    private final Cluster cluster;
    private final Placement policy;
    private final SimulatedEngine[] engines;
    private final BlockOwners owners;
    private final EventHeap events;
    private final EngineSequence[] sequences;
    private final int[] decodeAt;
    private final List<EngineSequence> ended = new ArrayList<>();
    private final List<ArrayDeque<EngineSequence>> wantRoom = new ArrayList<>();
    private final int[] touched;
    private final boolean[] isTouched;
    private int touchedCount;
    private final SimulationResult result;
    private final Placement.Door door = new Placement.Door() {
        @Override
        public Arrival arrival(int request) {
            return ClusterSimulation.this.arrival(request);
        }

        @Override
        public void release(int request, Plan plan) {
            admit(request, plan);
        }
    };
    private final RoleBoard roles;
    private final RoleController controller;
    private long nextRound;
    private long now;

    /** Roles stay, and policies know them by themselves. */
    public ClusterSimulation(Trace trace, Cluster cluster, PassTimer timer, Placement policy) {
        this(trace, cluster, timer, policy, new RoleBoard(new Layout(cluster.workers(), 0)), null);
    }

    /** @param controller changes roles while it runs; null = only the policy does, if at all */
    public ClusterSimulation(
            Trace trace,
            Cluster cluster,
            PassTimer timer,
            Placement policy,
            RoleBoard roles,
            RoleController controller) {
        if (trace.prefixBlockTokens() % cluster.blockTokens() != 0) {
            throw new IllegalArgumentException("block size " + cluster.blockTokens() + " must divide the trace's "
                    + trace.prefixBlockTokens() + " tokens a prefix id");
        }
        this.trace = trace;
        this.cluster = cluster;
        this.policy = policy;
        this.roles = roles;
        this.controller = controller;
        nextRound = controller == null ? Long.MAX_VALUE : controller.intervalNanos();
        IdSource generatedBlocks = new IdSource();
        var settings = new SimulatedEngine.EngineSettings(
                cluster.blocks(), cluster.blockTokens(), cluster.maxSequences(), cluster.maxBatchTokens());
        engines = new SimulatedEngine[cluster.workers()];
        for (int w = 0; w < engines.length; w++) {
            engines[w] = new SimulatedEngine(w, settings, timer, generatedBlocks);
            wantRoom.add(new ArrayDeque<>());
        }
        owners = new BlockOwners(trace, cluster.workers(), cluster.blockTokens());
        events = new EventHeap(4 * cluster.workers() + 1024);
        sequences = new EngineSequence[trace.size()];
        decodeAt = new int[trace.size()];
        touched = new int[cluster.workers()];
        isTouched = new boolean[cluster.workers()];
        result = new SimulationResult(trace, cluster.workers());
    }

    /** Runs until every request is over. */
    public SimulationResult run() {
        int next = 0;
        while (next < trace.size() || !events.isEmpty() || policy.nextReleaseNanos() < Long.MAX_VALUE) {
            long arrival = next < trace.size() ? trace.arrivalNanos()[next] : Long.MAX_VALUE;
            now = Math.min(Math.min(arrival, nextRound), events.isEmpty() ? Long.MAX_VALUE : events.nextNanos());
            now = Math.min(now, policy.nextReleaseNanos());
            while (!events.isEmpty() && events.nextNanos() == now) {
                int payload = events.poll();
                if (payload >= 0) {
                    endPass(engines[payload]);
                } else {
                    endTransfer(sequences[~payload]);
                }
            }
            if (now == nextRound) {
                controller.round(roles, now);
                nextRound += controller.intervalNanos();
            }
            while (next < trace.size() && trace.arrivalNanos()[next] == now) {
                admit(next, policy.place(arrival(next)));
                next++;
            }
            if (now >= policy.nextReleaseNanos()) {
                policy.release(door, now);
            }
            startPasses();
        }
        result.end(now, engines, roles);
        return result;
    }

    private void touch(int worker) {
        if (!isTouched[worker]) {
            isTouched[worker] = true;
            touched[touchedCount++] = worker;
        }
    }

    private void startPasses() {
        for (int i = 0; i < touchedCount; i++) {
            SimulatedEngine engine = engines[touched[i]];
            isTouched[touched[i]] = false;
            if (engine.inPass()) {
                continue;
            }
            giveRoom(engine);
            if (engine.startPass(now)) {
                events.add(engine.passEndNanos, EventHeap.PASS_END, engine.id);
            }
        }
        touchedCount = 0;
    }

    private Arrival arrival(int request) {
        int blocks = trace.inputTokens()[request] / cluster.blockTokens();
        int[] depths = new int[engines.length];
        owners.depths(trace.nodes()[request], blocks, depths);
        return new Arrival(request, trace.inputTokens()[request], blocks, trace.nodes()[request], depths, now);
    }

    private void admit(int request, Plan plan) {
        if (plan.equals(Plan.HELD)) {
            return;
        }
        if (plan.equals(Plan.REJECTED)) {
            result.rejected(request);
            return;
        }
        decodeAt[request] = plan.decodeWorker();
        Work work = plan.split() ? Work.PREFILL : Work.WHOLE;
        EngineSequence sequence = new EngineSequence(request, work, trace, cluster.blockTokens());
        result.placed(request, plan);
        if (!engines[plan.prefillWorker()].enqueue(sequence)) {
            result.rejected(request);
            policy.prefillEnded(request, plan.prefillWorker(), now);
            policy.finished(request, plan.prefillWorker(), now);
            return;
        }
        touch(plan.prefillWorker());
    }

    private void endPass(SimulatedEngine engine) {
        touch(engine.id);
        policy.passEnded(engine.id, engine.pass, engine.passNanos, now);
        engine.endPass(ended);
        int decodes = 0;
        owners.apply(engine.id, engine.cache.events);
        engine.cache.events.clear();
        for (int i = 0; i < ended.size(); i++) {
            EngineSequence s = ended.get(i);
            if (s.work == Work.PREFILL) {
                prefilled(engine, s);
                continue;
            }
            result.token(s, now);
            if (s.generated == 1 && s.work == Work.WHOLE) {
                policy.prefillEnded(s.request, engine.id, now);
            }
            if (engine.finished(s)) {
                engine.remove(s);
                engine.releaseBlocks(s);
                policy.finished(s.request, engine.id, now);
            } else {
                decodes++;
            }
        }
        roles.busy(engine.id, engine.passNanos, decodes);
    }

    private void prefilled(SimulatedEngine engine, EngineSequence s) {
        engine.remove(s);
        result.prefilled(s, now);
        policy.prefillEnded(s.request, engine.id, now);
        int decode = decodeAt[s.request];
        if (decode == Plan.LATER) {
            decode = policy.decodeWorker(arrival(s.request));
            decodeAt[s.request] = decode;
            result.decodeWorker(s.request, decode);
        }
        sequences[s.request] = s;
        wantRoom.get(decode).addLast(new EngineSequence(s.request, Work.DECODE, trace, cluster.blockTokens()));
        touch(decode);
    }

    /** Between two passes a decode worker makes room for prompts that are ready, and their transfers start. */
    private void giveRoom(SimulatedEngine engine) {
        ArrayDeque<EngineSequence> queue = wantRoom.get(engine.id);
        while (!queue.isEmpty() && engine.reserve(queue.getFirst())) {
            EngineSequence decode = queue.removeFirst();
            EngineSequence source = sequences[decode.request];
            sequences[decode.request] = decode;
            transfer(source, decode);
        }
    }

    private void transfer(EngineSequence source, EngineSequence decode) {
        decode.cachedTokens = source.cachedTokens;
        decode.firstAdmitNanos = source.firstAdmitNanos;
        decode.source = source;
        long nanos = cluster.transferNanos(decode.inputTokens);
        if (nanos == 0) {
            endTransfer(decode);
        } else {
            events.add(now + nanos, EventHeap.TRANSFER_END, ~decode.request);
        }
    }

    private void endTransfer(EngineSequence decode) {
        engines[result.prefillWorker(decode.request)].releaseBlocks(decode.takeSource());
        SimulatedEngine to = engines[decodeAt[decode.request]];
        to.activate(decode);
        if (cluster.kvBytesPerToken() > 0) {
            touch(to.id);
        }
    }
}
