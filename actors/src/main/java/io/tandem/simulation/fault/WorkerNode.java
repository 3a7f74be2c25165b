package io.tandem.simulation.fault;

import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineTurns;
import io.tandem.request.RequestMessage;
import io.tandem.routing.StepTimes;
import io.tandem.routing.WorkerFacts;
import io.tandem.transfer.InMemoryTransport;
import io.tandem.worker.EnginePublisher;
import io.tandem.worker.Work;
import io.tandem.worker.WorkBook;
import io.tandem.worker.WorkEvent;
import io.tandem.worker.WorkerMessage;
import io.tandem.worker.WorkerReport;
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

    private final String gpuId;
    private EngineRole role;
    private long epoch;
    private boolean draining;
    private SimulatedBackend backend;
    private Engine engine;
    private EngineTurns turns;
    private WorkBook book;
    private ConcurrentHashMap<Long, Work> works;
    private InMemoryTransport transport;
    private final Set<NodeRef> watched = new LinkedHashSet<>();
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
        watched.clear();
        works = new ConcurrentHashMap<>();
        FaultPlan plan = world.plan;
        backend = SimulatedModel.backend(plan.blockTokens(), (start, step) -> {
            stepNanos = step;
            if (stepsToFail > 0) {
                stepsToFail--;
                throw new IllegalStateException("the device failed");
            }
        });
        EnginePublisher publisher = new EnginePublisher(gpuId, works, this::hear);
        engine = new Engine(
                backend,
                SimulatedModel.FINGERPRINT,
                SimulatedModel.settings(plan.blockTokens(), plan.kvBlocks(), plan.maxSequences(), plan.prefixCache()),
                role,
                publisher,
                () -> world.time.nowNanos() + stepNanos);
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
            NodeRef node = (NodeRef) hub;
            watched.add(node);
            if (!world.membership.isMember(node.node(), node.incarnation())) {
                after(WATCH_NANOS, () -> hear(new WorkEvent.HubGone(hub)));
            }
        }

        @Override
        public void unwatch(ActorRef<RequestMessage> hub) {
            watched.remove((NodeRef) hub);
        }
    }

    private void hear(WorkEvent event) {
        later(() -> after(10_000, () -> {
            book.on(event);
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
            default -> throw new IllegalArgumentException("not simulated: " + message);
        }
        keepGoing();
    }

    void changeRole(EngineRole next) {
        role = next;
        offer(new EngineCommand.SetRole(next));
    }

    void drain(boolean on) {
        draining = on;
    }

    void failSteps(int steps) {
        stepsToFail = steps;
    }

    private void keepGoing() {
        if (!tickPlanned && !works.isEmpty()) {
            tickPlanned = true;
            after(TICK_NANOS, () -> {
                tickPlanned = false;
                book.tick(world.time.nowNanos());
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
                SimulatedModel.MAX_TOKENS,
                turns.stats(),
                new WorkerFacts(
                        64,
                        world.plan.maxSequences(),
                        world.plan.blockTokens(),
                        backend.kvLayout().blockBytes(),
                        0,
                        StepTimes.NOTHING,
                        0));
        world.toRegistries(this, report);
        after(REPORT_NANOS, this::report);
    }

    @Override
    void onUnreachable(SimulatedNode node) {}

    @Override
    void onRemoved(SimulatedNode node, int itsIncarnation) {
        for (NodeRef hub : List.copyOf(watched)) {
            if (hub.node() == node && hub.incarnation() == itsIncarnation) {
                hear(new WorkEvent.HubGone(hub));
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
    }

    /** Empty when nothing is held here; else what is. */
    String residue() {
        var s = engine.stats();
        var c = transport.counters();
        return s.usedBlocks() == 0 && works.isEmpty() && c.openReceives() + c.openSends() == 0
                ? ""
                : gpuId + " holds " + s.usedBlocks() + " blocks, " + works.size() + " works, " + c.openReceives()
                        + " receives, " + c.openSends() + " sends";
    }
}
