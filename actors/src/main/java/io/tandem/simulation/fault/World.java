package io.tandem.simulation.fault;

import io.tandem.engine.EngineRole;
import io.tandem.request.RequestMessage;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.RegistryMessage;
import io.tandem.transfer.InMemoryNetwork;
import io.tandem.transfer.InMemoryNetwork.Fate;
import io.tandem.transfer.InMemoryNetwork.Link;
import io.tandem.worker.WorkerMessage;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** One cluster of one seed: its nodes, its networks, and the time they share. */
final class World {
    private static final List<Fate> KV_FAULTS = List.of(Fate.DROP, Fate.CORRUPT, Fate.DUPLICATE);
    private static final int LOG_LINES = 100_000;

    final VirtualTime time = new VirtualTime();
    final FaultPlan plan;
    final SimulatedSettings settings;

    /** All that arrived. */
    final List<SimulatedRequest> requests = new ArrayList<>();

    final ControlNetwork control;
    final InMemoryNetwork kv;
    final Membership membership;
    final List<ApiNode> apis = new ArrayList<>();
    final List<WorkerNode> workers = new ArrayList<>();
    private final List<SimulatedNode> nodes = new ArrayList<>();
    private final SplittableRandom random;
    private final ArrayDeque<String> log = new ArrayDeque<>();
    private final boolean logging;
    private final Map<String, BlockTruth> truths = new HashMap<>();
    private SimulatedNode acting;
    private boolean calm;

    World(FaultPlan plan, boolean logging) {
        this.plan = plan;
        this.logging = logging;
        settings = SimulatedSettings.of(plan);
        random = new SplittableRandom(plan.seed() ^ 0x5DEECE66DL);
        kv = new InMemoryNetwork(time::nowNanos);
        kv.faults((to, number, bytes) -> transferFate());
        control = new ControlNetwork(time, plan, random.split(), plan.apis() + plan.workers());
        for (int i = 0; i < plan.apis(); i++) {
            apis.add(new ApiNode(this, "api-" + i, nodes.size()));
            nodes.add(apis.getLast());
        }
        for (int i = 0; i < plan.workers(); i++) {
            EngineRole role = i < plan.prefills()
                    ? EngineRole.PREFILL
                    : random.nextInt(4) == 0 ? EngineRole.MIXED : EngineRole.DECODE;
            workers.add(new WorkerNode(this, "gpu-" + i, nodes.size(), role));
            nodes.add(workers.getLast());
        }
        membership = new Membership(this, nodes);
        nodes.forEach(this::startNode);
    }

    private Fate transferFate() {
        if (plan.kvFaultPerMillion() == 0 || calm || random.nextInt(1_000_000) >= plan.kvFaultPerMillion()) {
            return Fate.PASS;
        }
        return KV_FAULTS.get(random.nextInt(KV_FAULTS.size()));
    }

    List<SimulatedNode> nodes() {
        return nodes;
    }

    SplittableRandom random() {
        return random;
    }

    /** The network misbehaves no more. */
    void calm() {
        calm = true;
        control.calm();
    }

    // ---- who acts now, so that what is said is known to come from there

    SimulatedNode enter(SimulatedNode node) {
        SimulatedNode before = acting;
        acting = node;
        return before;
    }

    void leave(SimulatedNode before) {
        acting = before;
    }

    // ---- messages

    <M> void tell(NodeRef<M> to, M message) {
        SimulatedNode from = acting;
        Runnable sending = () -> {
            if (to.node().incarnation() == to.incarnation()) {
                control.send(from, to.node(), () -> {
                    log(() -> from.name() + " -> " + to + " " + text(message));
                    to.deliver(message);
                });
            }
        };
        if (from instanceof WorkerNode worker) {
            worker.later(sending);
        } else {
            sending.run();
        }
    }

    void toWorker(ApiNode from, String gpuId, WorkerMessage.Remote message) {
        WorkerNode worker = workers.get(Integer.parseInt(gpuId.substring("gpu-".length())));
        control.send(from, worker, () -> {
            log(() -> from.name() + " -> " + gpuId + " " + text(message));
            worker.on(message);
        });
    }

    /** Tells every API node. */
    void toRegistries(SimulatedNode from, RegistryMessage message) {
        for (ApiNode api : apis) {
            if (membership.isMember(api)) {
                control.send(from, api, () -> api.on(message));
            }
        }
    }

    /** Whether the cluster's singleton runs on a node. */
    boolean supervises(ApiNode api) {
        return plan.supervised()
                && apis.stream().filter(membership::isMember).findFirst().orElse(null) == api;
    }

    /** Prompt and output of a request that a worker takes. */
    int maxTokens() {
        return Math.min(SimulatedModel.MAX_TOKENS, plan.kvBlocks() * plan.blockTokens());
    }

    BlockTruth truth(String gpuId, long epoch) {
        return truths.computeIfAbsent(gpuId + "@" + epoch, name -> new BlockTruth());
    }

    // ---- faults

    void startNode(SimulatedNode node) {
        if (!node.alive()) {
            log(() -> node.name() + " starts");
            node.start();
            membership.join(node);
        }
    }

    void kill(SimulatedNode node) {
        if (node.alive()) {
            log(() -> node.name() + " dies");
            node.die();
            if (plan.lifelineMicros() > 0 && !calm) {
                processGone(node, node.incarnation());
            }
        }
    }

    /** Those who are connected with it see its connections close; a member that is removed meanwhile is watched no more. */
    private void processGone(SimulatedNode dead, int incarnation) {
        for (SimulatedNode other : nodes) {
            if (!other.equals(dead) && control.open(dead, other)) {
                other.after(random.nextInt(100, plan.lifelineMicros() + 101) * 1_000L, () -> {
                    if (membership.isMember(dead, incarnation)) {
                        other.onProcessGone(dead, incarnation);
                    }
                });
            }
        }
    }

    /** Something between the nodes closed the connections and refused new ones for a moment. */
    void falseAlarm(SimulatedNode node, long millis) {
        if (!node.runs()) {
            return;
        }
        log(() -> node.name() + " is called dead");
        int incarnation = node.incarnation();
        processGone(node, incarnation);
        for (SimulatedNode other : nodes) {
            if (!other.equals(node)) {
                other.after(millis * 1_000_000, () -> {
                    if (membership.isMember(node, incarnation) && node.runs()) {
                        other.onProcessBack(node);
                    }
                });
            }
        }
    }

    /** A node that was downed ends itself a little after it notices, and is started again by whoever watches it. */
    void endDowned(SimulatedNode node, int incarnation) {
        log(() -> node.name() + "#" + incarnation + " is downed");
        if (node.alive() && node.incarnation() == incarnation) {
            node.after(random.nextInt(1, 1_000) * 1_000_000L, () -> {
                kill(node);
                time.after(random.nextInt(500, 4_000) * 1_000_000L, () -> startNode(node));
            });
        }
    }

    void hang(SimulatedNode node, long millis) {
        if (!node.runs()) {
            return;
        }
        log(() -> node.name() + " hangs for " + millis + " ms");
        node.hang();
        int incarnation = node.incarnation();
        time.after(millis * 1_000_000, () -> {
            if (node.alive() && node.hung() && node.incarnation() == incarnation) {
                log(() -> node.name() + " goes on");
                node.goOn();
            }
        });
        if (node instanceof WorkerNode worker) {
            isolateTransfers(worker, millis);
        }
    }

    /** Parts some nodes from the others for a while. */
    void partition(List<SimulatedNode> away, long millis) {
        log(() -> "partition of " + away.stream().map(SimulatedNode::name).toList() + " for " + millis + " ms");
        List<SimulatedNode> others =
                nodes.stream().filter(n -> !away.contains(n)).toList();
        for (SimulatedNode a : away) {
            for (SimulatedNode b : others) {
                control.block(a, b);
                control.block(b, a);
                if (a instanceof WorkerNode x && b instanceof WorkerNode y) {
                    cutTransfers(x, y, millis);
                }
            }
        }
        time.after(millis * 1_000_000, () -> {
            for (SimulatedNode a : away) {
                for (SimulatedNode b : others) {
                    control.unblock(a, b);
                    control.unblock(b, a);
                }
            }
            log(() -> "the partition ends");
        });
    }

    private void isolateTransfers(WorkerNode worker, long millis) {
        for (WorkerNode other : workers) {
            if (other != worker) {
                cutTransfers(worker, other, millis);
            }
        }
    }

    /** Transfers between two workers wait at first, as packets are sent again; after a while the streams are given up. */
    void cutTransfers(WorkerNode a, WorkerNode b, long millis) {
        String one = a.transferName();
        String other = b.transferName();
        link(one, other, Link.HELD);
        long patience = random.nextInt(300, 6_000);
        if (millis > patience) {
            time.after(patience * 1_000_000, () -> link(one, other, Link.CUT));
        }
        time.after(millis * 1_000_000, () -> {
            link(one, other, Link.OPEN);
            wakeTransfers(a);
            wakeTransfers(b);
        });
    }

    private void link(String one, String other, Link state) {
        kv.link(one, other, state);
        kv.link(other, one, state);
    }

    /** Whoever sends wakes the others' agents, which in a real process never sleep for long. */
    void onTransferStart(WorkerNode worker) {
        kv.onMessage(worker.transferName(), () -> wakeTransfers(worker));
    }

    private void wakeTransfers(WorkerNode worker) {
        if (worker.alive()) {
            worker.after(20_000, worker::planPoll);
        }
    }

    // ---- log

    private static String text(Object message) {
        return switch (message) {
            case RequestMessage.Tokens m ->
                "Tokens of " + Arrays.toString(m.requestIds()) + " attempts " + Arrays.toString(m.attempts())
                        + " indices " + Arrays.toString(m.outputIndex());
            case BlockFeedMessage.Events m ->
                "Events " + m.id() + " of " + m.gpuId() + "@" + m.epoch() + ", " + m.words().length + " words";
            case BlockFeedMessage.Snapshot m ->
                "Snapshot after " + m.lastId() + " of " + m.gpuId() + "@" + m.epoch() + ", part " + m.part() + " of "
                        + m.parts();
            case RequestMessage.Holding m -> "Holding " + Arrays.toString(m.requestIds());
            case WorkerMessage.Dispatch m ->
                "Dispatch " + m.kind() + " " + m.target() + " of " + m.spec().tokens().length + " tokens";
            default -> message.toString();
        };
    }

    void log(Supplier<String> line) {
        if (logging) {
            if (log.size() == LOG_LINES) {
                log.poll();
            }
            log.add(String.format("%,15.3f ms  %s", time.nowNanos() / 1e6, line.get()));
        }
    }

    List<String> logLines() {
        return List.copyOf(log);
    }
}
