package io.tandem.simulation.fault;

import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineTurns;
import io.tandem.kvcache.BlockHashKey;
import io.tandem.kvcache.FindableBlocks;
import io.tandem.request.RequestMessage;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerFacts;
import io.tandem.transfer.InMemoryTransport;
import io.tandem.worker.BlockEventLog;
import io.tandem.worker.BlockPublisher;
import io.tandem.worker.EnginePublisher;
import io.tandem.worker.StepTimeRecorder;
import io.tandem.worker.Work;
import io.tandem.worker.WorkBook;
import io.tandem.worker.WorkEvent;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.pekko.actor.typed.ActorRef;

/** A node with one GPU: the real engine, block pool, scheduler, work book, publisher and transfer agents. */
final class WorkerNode extends SimulatedNode {
    private static final long REPORT_NANOS = 200_000_000;
    private static final long TICK_NANOS = 10_000_000;
    private static final long IDLE_TURN_NANOS = 20_000_000;
    private static final long POLL_NANOS = 500_000;
    private static final long HOLDING_NANOS = 2_000_000_000;
    private static final long WATCH_NANOS = 3_000_000_000L;
    private static final int MAX_WORKS = 256;
    private static final int MAX_MOVES = 3;
    private static final int CHUNK_TOKENS = 64;

    /** Of one message, so that snapshots come in parts. */
    private static final int EVENT_WORDS = 64;

    private static final RoutingSettings.Prior PRIOR =
            new RoutingSettings.Prior(Duration.ofMillis(5), Duration.ofNanos(50_000), Duration.ofNanos(20));

    private final String gpuId;
    private EngineRole role;
    private long epoch;
    private boolean draining;
    private EngineRole previousRole;
    private long roleSinceNanos;
    private final List<WorkerMessage.ChangeRole> roleAwaited = new ArrayList<>();
    private SimulatedBackend backend;
    private Engine engine;
    private EngineTurns turns;
    private WorkBook book;
    private ConcurrentHashMap<Long, Work> works;
    private InMemoryTransport transport;
    private BlockPublisher blocks;
    private BlockTruth truth;
    private StepTimeRecorder times;
    private final Set<NodeRef<RequestMessage>> watched = new LinkedHashSet<>();
    private final Set<NodeRef<BlockFeedMessage>> routers = new LinkedHashSet<>();

    /** Changes of the cache that the actor has not heard of yet. */
    private int unheard;

    /** Ticks that are due although there is no work. */
    private int ticksDue;

    private long stepNanos;
    private int stepsToFail;
    private boolean turnPlanned;
    private boolean pollPlanned;
    private boolean tickPlanned;

    /** What the engine says in a turn is heard when the turn's time is over. */
    private List<Runnable> outbox;

    WorkerNode(World world, String gpuId, int index, EngineRole role) {
        super(world, gpuId, index);
        this.gpuId = gpuId;
        this.role = role;
    }

    String gpuId() {
        return gpuId;
    }

    String transferName() {
        return name() + "#" + incarnation();
    }

    @Override
    void onStart() {
        epoch = epochMillis();
        draining = false;
        previousRole = role;
        roleSinceNanos = world.time.nowNanos();
        roleAwaited.clear();
        watched.clear();
        routers.clear();
        ticksDue = 0;
        unheard = 0;
        truth = world.truth(gpuId, epoch);
        times = new StepTimeRecorder(PRIOR.newModel(CHUNK_TOKENS));
        works = new ConcurrentHashMap<>();
        FaultPlan plan = world.plan;
        backend = SimulatedModel.backend(plan.blockTokens(), (start, step) -> {
            stepNanos = step;
            if (stepsToFail > 0) {
                stepsToFail--;
                throw new IllegalStateException("the device failed");
            }
        });
        EnginePublisher publisher = new EnginePublisher(gpuId, works, this::hear, new Signals());
        engine = new Engine(
                backend,
                SimulatedModel.FINGERPRINT,
                SimulatedModel.settings(plan.blockTokens(), plan.kvBlocks(), plan.maxSequences(), plan.prefixCache()),
                role,
                publisher,
                () -> world.time.nowNanos() + stepNanos,
                BlockHashKey.PUBLIC);
        turns = new EngineTurns(engine, 64);
        transport = InMemoryTransport.start(world.kv, transferName());
        book = new WorkBook(
                gpuId,
                epoch,
                works,
                this::offer,
                engine.kvMemory(),
                transport,
                new Surroundings(),
                MAX_WORKS,
                MAX_MOVES,
                HOLDING_NANOS);
        blocks = new BlockPublisher(
                new BlockEventLog(gpuId, epoch, plan.keptEventWords(), EVENT_WORDS), this::offer, this::watchRouter);
        turnPlanned = false;
        pollPlanned = false;
        tickPlanned = false;
        world.onTransferStart(this);
        after(1_000_000, this::report);
    }

    @Override
    void onDeath() {
        world.kv.disconnect(transferName());
        transport.close();
        engine.close();
        backend.close();
    }

    private final class Surroundings implements WorkBook.Watcher {
        @Override
        public void tellSelf(WorkEvent event) {
            hear(event);
        }

        @Override
        public void watch(ActorRef<RequestMessage> hub) {
            NodeRef<RequestMessage> node = (NodeRef<RequestMessage>) hub;
            watched.add(node);
            if (!world.membership.isMember(node.node(), node.incarnation())) {
                after(WATCH_NANOS, () -> hear(new WorkEvent.HubGone(hub)));
            }
        }

        @Override
        public void unwatch(ActorRef<RequestMessage> hub) {
            watched.remove((NodeRef<RequestMessage>) hub);
        }
    }

    private void watchRouter(ActorRef<BlockFeedMessage> ref) {
        NodeRef<BlockFeedMessage> router = (NodeRef<BlockFeedMessage>) ref;
        routers.add(router);
        if (!world.membership.isMember(router.node(), router.incarnation())) {
            after(WATCH_NANOS, () -> blocks.routerGone(router));
        }
    }

    /** On the engine's thread: what is said is heard by the actor later, in order. */
    private final class Signals implements EnginePublisher.RoutingSignals {
        @Override
        public void stepTimed(int newTokens, long before, int decodes, long contextTokens, long nanos) {
            times.observe(newTokens, before, decodes, contextTokens, nanos, world.time.nowNanos());
        }

        @Override
        public void blocksChanged(long[] words) {
            hearBlocks(() -> {
                truth.changed(words);
                blocks.onChanged(words);
            });
        }

        @Override
        public void blocksListed(FindableBlocks listed) {
            hearBlocks(() -> {
                truth.mustBe(listed);
                blocks.onListed(listed);
            });
        }
    }

    private void hearBlocks(Runnable what) {
        unheard++;
        later(() -> after(10_000, () -> {
            unheard--;
            aboutBlocks(what);
        }));
    }

    private void aboutBlocks(Runnable what) {
        what.run();
        truth.published(blocks.lastId());
        ticksDue = 3;
        keepGoing();
    }

    private void hear(WorkEvent event) {
        later(() -> after(10_000, () -> {
            if (event instanceof WorkEvent.RoleRuns runs) {
                onRoleRuns(runs.role());
            } else {
                book.on(event);
            }
            keepGoing();
        }));
    }

    /** Runs now, or when the turn is over in which it is said. */
    void later(Runnable saying) {
        if (outbox == null) {
            saying.run();
        } else {
            outbox.add(saying);
        }
    }

    private boolean offer(EngineCommand command) {
        boolean queued = turns.offer(command);
        planTurn(10_000);
        return queued;
    }

    void on(WorkerMessage.Remote message) {
        switch (message) {
            case WorkerMessage.Dispatch m -> book.dispatch(m, world.time.nowNanos());
            case WorkerMessage.PushKv m -> book.push(m);
            case WorkerMessage.AdoptKv m -> book.adopt(m);
            case WorkerMessage.MoveOut m -> book.moveOut(m, world.time.nowNanos());
            case WorkerMessage.KeepWork m -> book.keep(m.target());
            case WorkerMessage.AskWork m -> book.ask(m.target());
            case WorkerMessage.CancelWork m -> book.cancel(m.target());
            case WorkerMessage.FetchBlocks m -> {
                if (m.epoch() == epoch) {
                    aboutBlocks(() -> blocks.fetch(m.router(), m.fromId()));
                }
            }
            case WorkerMessage.ChangeRole m -> onChangeRole(m);
            case WorkerMessage.SetDraining m -> {
                draining = m.draining();
                sendReport();
                book.onDraining(m.draining(), m.moveWork(), world.time.nowNanos());
            }
            case WorkerMessage.Wake ignored -> {}
        }
        keepGoing();
    }

    private void onChangeRole(WorkerMessage.ChangeRole m) {
        if (role != m.role()) {
            previousRole = role;
            role = m.role();
            roleSinceNanos = world.time.nowNanos();
            times.roleChanged(roleSinceNanos);
        }
        book.onRole(m.role(), m.moveWork(), world.time.nowNanos());
        roleAwaited.add(m);
    }

    private void onRoleRuns(EngineRole runs) {
        sendReport();
        roleAwaited.removeIf(m -> {
            if (m.role() == runs) {
                m.replyTo().tell(new WorkerMessage.Done(gpuId, runs, draining, 0));
            }
            return true;
        });
    }

    /** Whoever drained it takes that back, without a message that could be lost. */
    void endDraining() {
        draining = false;
        book.onDraining(false, false, world.time.nowNanos());
    }

    void failSteps(int steps) {
        stepsToFail = steps;
    }

    private void keepGoing() {
        if (!tickPlanned && (!works.isEmpty() || ticksDue > 0)) {
            tickPlanned = true;
            after(TICK_NANOS, () -> {
                tickPlanned = false;
                ticksDue = Math.max(0, ticksDue - 1);
                book.tick(world.time.nowNanos());
                blocks.tick();
                truth.published(blocks.lastId());
                keepGoing();
            });
        }
        planPoll();
    }

    private void planTurn(long nanos) {
        if (!turnPlanned) {
            turnPlanned = true;
            after(nanos, this::turn);
        }
    }

    private void turn() {
        stepNanos = 0;
        outbox = new ArrayList<>();
        boolean worked = turns.turn(world.time.nowNanos());
        turns.refreshStats();
        List<Runnable> said = outbox;
        outbox = null;
        long took = stepNanos + 20_000;
        if (!said.isEmpty()) {
            after(took, () -> said.forEach(Runnable::run));
        }
        turnPlanned = false;
        if (worked) {
            planTurn(took);
        } else if (!works.isEmpty()) {
            planTurn(IDLE_TURN_NANOS);
        }
        keepGoing();
    }

    /** Has the transfer agents work while there is anything for them to do. */
    void planPoll() {
        if (!pollPlanned && busy()) {
            pollPlanned = true;
            after(POLL_NANOS, () -> {
                pollPlanned = false;
                transport.deliver();
                planPoll();
            });
        }
    }

    private boolean busy() {
        var c = transport.counters();
        return c.openReceives() + c.openSends() > 0 || world.kv.waits(transferName());
    }

    private void report() {
        if (unheard == 0) {
            truth.mustBe(engine.findableBlocks());
        }
        sendReport();
        after(REPORT_NANOS, this::report);
    }

    private void sendReport() {
        WorkerReport report = new WorkerReport(
                gpuId,
                name(),
                epoch,
                "model",
                SimulatedModel.FINGERPRINT,
                backend.kvLayout().signature(),
                backend.info(),
                "memory",
                draining,
                world.maxTokens(),
                turns.stats(),
                new WorkerFacts(
                        CHUNK_TOKENS,
                        world.plan.maxSequences(),
                        world.plan.blockTokens(),
                        backend.kvLayout().blockBytes(),
                        blocks.lastId(),
                        times.learned(),
                        times.promptShare(world.time.nowNanos())),
                new WorkerReport.RoleHistory(previousRole, (world.time.nowNanos() - roleSinceNanos) / 1_000_000),
                "");
        world.toRegistries(this, report);
    }

    @Override
    void onUnreachable(SimulatedNode node) {}

    @Override
    void onProcessGone(SimulatedNode node, int itsIncarnation) {
        for (NodeRef<RequestMessage> hub : List.copyOf(watched)) {
            if (hub.node().equals(node)) {
                hear(new WorkEvent.HubGone(hub));
            }
        }
    }

    @Override
    void onProcessBack(SimulatedNode node) {}

    @Override
    @SuppressWarnings("ReferenceEquality") // a simulated node is its object
    void onRemoved(SimulatedNode node, int itsIncarnation) {
        for (NodeRef<RequestMessage> hub : List.copyOf(watched)) {
            if (hub.node().equals(node) && hub.incarnation() == itsIncarnation) {
                hear(new WorkEvent.HubGone(hub));
            }
        }
        for (NodeRef<BlockFeedMessage> router : List.copyOf(routers)) {
            if (router.node().equals(node) && router.incarnation() == itsIncarnation) {
                routers.remove(router);
                blocks.routerGone(router);
            }
        }
    }

    @Override
    void verify() {
        if (!alive()) {
            return;
        }
        engine.verify();
        for (Work work : works.values()) {
            if (work.moving() && !engine.holds(work.key())) {
                throw new IllegalStateException(
                        gpuId + ": the blocks of work " + work.key() + " were freed under its transfer");
            }
        }
        for (long export : book.exportsBeingRead()) {
            if (!engine.exports(export)) {
                throw new IllegalStateException(
                        gpuId + ": the blocks of export " + export + " were freed under its transfer");
            }
        }
    }

    /** Works that are here now. */
    int works() {
        return works.size();
    }

    long epoch() {
        return epoch;
    }

    /** Empty when nothing is held here; else what is. */
    String residue() {
        var s = engine.stats();
        var c = transport.counters();
        if (truth.lastId() != blocks.lastId() || !truth.told()) {
            return gpuId + " has not told what its cache holds";
        }
        return s.usedBlocks() == 0 && works.isEmpty() && c.openReceives() + c.openSends() == 0
                ? ""
                : gpuId + " holds " + s.usedBlocks() + " blocks, " + works.size() + " works, " + c.openReceives()
                        + " receives, " + c.openSends() + " sends";
    }
}
