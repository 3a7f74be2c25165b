package io.tandem.worker;

import io.tandem.compute.ComputeBackend;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.EngineLoop;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.kvcache.BlockHashKey;
import io.tandem.kvcache.FindableBlocks;
import io.tandem.request.RequestMessage;
import io.tandem.routing.BlockFeedMessage;
import io.tandem.routing.Registries;
import io.tandem.routing.RegistryMessage;
import io.tandem.routing.RoutingSettings;
import io.tandem.routing.WorkerFacts;
import io.tandem.transfer.TransferSettings;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.DispatcherSelector;
import org.apache.pekko.actor.typed.PostStop;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;
import org.apache.pekko.actor.typed.javadsl.ActorContext;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.actor.typed.javadsl.Receive;
import org.apache.pekko.actor.typed.javadsl.TimerScheduler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One GPU. It exchanges messages with the engine's thread and the transport's agents and never blocks: weights are opened
 * elsewhere, and work that comes before they are is refused.
 */
public final class WorkerActor extends AbstractBehavior<WorkerMessage> {
    private static final Logger LOG = LoggerFactory.getLogger(WorkerActor.class);

    /** What the actor hears from its own engine, transport and timers. */
    sealed interface Internal extends WorkerMessage {}

    /** @param gpu null when it failed */
    record Opened(OpenGpu gpu, Throwable failure) implements Internal {
        /** Nobody took it. */
        void close() {
            if (gpu != null) {
                gpu.close();
            }
        }
    }

    record Stop() implements Internal {}

    record Tick() implements Internal {}

    record Report() implements Internal {}

    record BlocksChanged(long[] words) implements Internal {}

    record BlocksListed(FindableBlocks blocks) implements Internal {}

    record RouterGone(ActorRef<BlockFeedMessage> router) implements Internal {}

    private final String gpuId;
    private final GpuHost host;
    private final WorkerSettings settings;
    private final Registries registries;
    private final StandingOrders orders;
    private final long epoch;
    private final ConcurrentHashMap<Long, Work> works = new ConcurrentHashMap<>();
    private final EngineSettings engineSettings;
    private final StepTimeRecorder times;
    private final BlockHashKey hashKey;
    private final AwaitedAnswers answers;
    private final CompletableFuture<Opened> opening;
    private OpenGpu gpu;
    private EngineLoop loop;
    private WorkBook book;
    private BlockPublisher blocks;

    /** Why it ends, when it does. */
    private String end = "its actor failed";

    /** The engine has not come back from a step for too long. */
    private boolean hangs;

    private WorkerActor(
            ActorContext<WorkerMessage> context,
            TimerScheduler<WorkerMessage> timers,
            String gpuId,
            GpuHost host,
            Registries registries,
            StandingOrders orders) {
        super(context);
        this.gpuId = gpuId;
        this.host = host;
        this.registries = registries;
        this.orders = orders;
        epoch = orders.nextEpoch(gpuId, System.currentTimeMillis());
        answers = new AwaitedAnswers(gpuId, orders.isDrained(gpuId));
        settings = WorkerSettings.from(host.config());
        engineSettings = EngineSettings.from(host.config());
        hashKey = BlockHashKey.from(host.config());
        times = new StepTimeRecorder(
                RoutingSettings.from(host.config()).prior().newModel(engineSettings.maxBatchTokens()));
        timers.startTimerWithFixedDelay(new Tick(), settings.tick());
        timers.startTimerWithFixedDelay(new Report(), settings.reportInterval());
        opening = CompletableFuture.supplyAsync(
                () -> open(gpuId, host), context.getSystem().dispatchers().lookup(DispatcherSelector.blocking()));
        context.pipeToSelf(opening, (opened, failure) -> failure == null ? opened : new Opened(null, failure));
    }

    /**
     * The behaviour of a GPU that this node owns.
     *
     * @param orders of this process
     */
    public static Behavior<WorkerMessage> create(
            String gpuId, GpuHost host, Registries registries, StandingOrders orders) {
        return Behaviors.setup(context ->
                Behaviors.withTimers(timers -> new WorkerActor(context, timers, gpuId, host, registries, orders)));
    }

    static WorkerMessage stopMessage() {
        return new Stop();
    }

    private static Opened open(String gpuId, GpuHost host) {
        try {
            return new Opened(OpenGpu.open(gpuId, host), null);
        } catch (IOException | RuntimeException | Error e) {
            return new Opened(null, e);
        }
    }

    @Override
    public Receive<WorkerMessage> createReceive() {
        return newReceiveBuilder()
                .onMessage(WorkerMessage.Dispatch.class, this::onDispatch)
                .onMessage(WorkerMessage.PushKv.class, this::onPushKv)
                .onMessage(WorkerMessage.AdoptKv.class, this::onAdoptKv)
                .onMessage(WorkerMessage.AskWork.class, this::onAskWork)
                .onMessage(WorkerMessage.CancelWork.class, this::onCancelWork)
                .onMessage(WorkerMessage.FetchBlocks.class, this::onFetchBlocks)
                .onMessage(WorkerMessage.MoveOut.class, this::onMoveOut)
                .onMessage(WorkerMessage.KeepWork.class, this::onKeepWork)
                .onMessage(WorkEvent.class, this::onWorkEvent)
                .onMessage(Internal.class, this::onInternal)
                .onMessage(WorkerMessage.ChangeRole.class, this::onChangeRole)
                .onMessage(WorkerMessage.SetDraining.class, this::onSetDraining)
                .onMessage(WorkerMessage.Wake.class, m -> this)
                .onSignal(PostStop.class, s -> {
                    close();
                    return this;
                })
                .build();
    }

    private Behavior<WorkerMessage> onWorkEvent(WorkEvent event) {
        if (event instanceof WorkEvent.RoleRuns runs) {
            onRoleRuns(runs.role());
        } else if (book != null && event instanceof WorkEvent.NodeGone gone) {
            onNodeGone(gone.node());
        } else if (book != null) {
            book.on(event);
        }
        return this;
    }

    /** Its requests ended with it. A successor under its address is no member yet, so what is here is not its. */
    private void onNodeGone(String node) {
        int before = works.size();
        for (ActorRef<RequestMessage> hub : book.hubs()) {
            if (Registries.node(hub.path().address()).equals(node)) {
                book.on(new WorkEvent.HubGone(hub));
            }
        }
        LOG.info("GPU {}: the works of {} end with its process, {} were here in all", gpuId, node, before);
    }

    private Behavior<WorkerMessage> onInternal(Internal message) {
        if (message instanceof Opened opened) {
            return onOpened(opened);
        }
        if (message instanceof Stop) {
            end = WorkerEnded.NODE_STOPS;
            return Behaviors.stopped();
        }
        if (book == null) {
            return this;
        }
        switch (message) {
            case Tick ignored -> {
                return onTick();
            }
            case Report ignored -> report();
            case BlocksChanged m -> blocks.onChanged(m.words());
            case BlocksListed m -> blocks.onListed(m.blocks());
            case RouterGone m -> blocks.routerGone(m.router());
            case Opened ignored -> throw new IllegalStateException("handled above");
            case Stop ignored -> throw new IllegalStateException("handled above");
        }
        return this;
    }

    private Behavior<WorkerMessage> onOpened(Opened opened) {
        gpu = opened.gpu();
        Throwable failure = opened.failure();
        if (failure == null) {
            try {
                begin();
                return this;
            } catch (RuntimeException | Error e) {
                failure = e;
            }
        }
        LOG.error("GPU {} cannot start: {}", gpuId, failure.getMessage(), failure);
        host.backends().cannotStart(gpuId, failure);
        return Behaviors.stopped();
    }

    private void begin() {
        ComputeBackend backend = gpu.backend();
        EngineRole role = ordered().now();
        EnginePublisher publisher =
                new EnginePublisher(gpuId, works, getContext().getSelf()::tell, signals());
        Engine engine = new Engine(
                backend, host.model().fingerprint(), engineSettings, role, publisher, System::nanoTime, hashKey);
        loop = gpu.run(engine, engineSettings.commandQueueEntries());
        blocks = new BlockPublisher(
                new BlockEventLog(gpuId, epoch, settings.keptBlockEventWords(), BlockEventLog.MESSAGE_WORDS),
                loop::offer,
                router -> getContext().watchWith(router, new RouterGone(router)));
        book = new WorkBook(
                gpuId,
                epoch,
                works,
                loop::offer,
                engine.kvMemory(),
                gpu.transport(),
                new WorkBook.Watcher() {
                    @Override
                    public void tellSelf(WorkEvent event) {
                        getContext().getSelf().tell(event);
                    }

                    @Override
                    public void watch(ActorRef<RequestMessage> hub) {
                        getContext().watchWith(hub, new WorkEvent.HubGone(hub));
                    }

                    @Override
                    public void unwatch(ActorRef<RequestMessage> hub) {
                        getContext().unwatch(hub);
                    }
                },
                settings.maxWorks(),
                settings.maxMoves(),
                settings.holdingInterval().toNanos());
        String direct = gpu.enableDirect(TransferSettings.from(host.config()).direct(), epoch);
        orders.movesWork(gpuId).ifPresent(moveWork -> book.onDraining(true, moveWork, System.nanoTime()));
        LOG.info(
                "GPU {} is up as {}{}: {} on {}, {} KV blocks of {} bytes, transfers by {}, device to device: {}",
                gpuId,
                role,
                answers.draining() ? ", drained" : "",
                backend.info().name(),
                backend.info().device(),
                loop.stats().totalBlocks(),
                backend.kvLayout().blockBytes(),
                gpu.transport().endpoint().channels(),
                direct);
        onRoleRuns(role);
    }

    private StandingOrders.Role ordered() {
        return orders.role(gpuId, host.gpus().getOrDefault(gpuId, EngineRole.MIXED), System.nanoTime());
    }

    /** From the engine's thread: step times are learned there, the cache's changes go through the mailbox. */
    private EnginePublisher.RoutingSignals signals() {
        ActorRef<WorkerMessage> self = getContext().getSelf();
        return new EnginePublisher.RoutingSignals() {
            @Override
            public void stepTimed(int newTokens, long before, int decodes, long contextTokens, long nanos) {
                times.observe(newTokens, before, decodes, contextTokens, nanos, System.nanoTime());
            }

            @Override
            public void blocksChanged(long[] words) {
                self.tell(new BlocksChanged(words));
            }

            @Override
            public void blocksListed(FindableBlocks blocks) {
                self.tell(new BlocksListed(blocks));
            }
        };
    }

    private Behavior<WorkerMessage> onFetchBlocks(WorkerMessage.FetchBlocks m) {
        if (blocks != null && m.epoch() == epoch) {
            blocks.fetch(m.router(), m.fromId());
        }
        return this;
    }

    private Behavior<WorkerMessage> onDispatch(WorkerMessage.Dispatch m) {
        if (book == null) {
            m.target()
                    .hub()
                    .tell(new RequestMessage.Refused(
                            gpuId,
                            m.target().requestId(),
                            m.target().attempt(),
                            RefusalReason.QUEUE_FULL,
                            "the worker is still starting"));
        } else {
            book.dispatch(m, System.nanoTime());
        }
        return this;
    }

    private Behavior<WorkerMessage> onPushKv(WorkerMessage.PushKv m) {
        if (book != null) {
            book.push(m);
        }
        return this;
    }

    private Behavior<WorkerMessage> onAdoptKv(WorkerMessage.AdoptKv m) {
        if (book != null) {
            book.adopt(m);
        }
        return this;
    }

    private Behavior<WorkerMessage> onAskWork(WorkerMessage.AskWork m) {
        if (book != null) {
            book.ask(m.target());
        }
        return this;
    }

    private Behavior<WorkerMessage> onCancelWork(WorkerMessage.CancelWork m) {
        if (book != null) {
            book.cancel(m.target());
        }
        return this;
    }

    private Behavior<WorkerMessage> onMoveOut(WorkerMessage.MoveOut m) {
        if (book != null) {
            book.moveOut(m, System.nanoTime());
        }
        return this;
    }

    private Behavior<WorkerMessage> onKeepWork(WorkerMessage.KeepWork m) {
        if (book != null) {
            book.keep(m.target());
        }
        return this;
    }

    private Behavior<WorkerMessage> onChangeRole(WorkerMessage.ChangeRole m) {
        long now = System.nanoTime();
        EngineRole before = ordered().now();
        orders.changeRole(gpuId, m.role(), now);
        answers.roleAsked(m.role(), now, m.replyTo()::tell);
        LOG.info("GPU {}: {} -> {}{}", gpuId, before, m.role(), book == null ? ", once it is up" : "");
        if (book != null) {
            if (before != m.role()) {
                times.roleChanged(now);
            }
            book.onRole(m.role(), m.moveWork(), now);
        }
        return this;
    }

    /** The engine runs in a role: whoever asked for it hears so. */
    private void onRoleRuns(EngineRole role) {
        report();
        answers.onRoleRuns(role, System.nanoTime());
    }

    private Behavior<WorkerMessage> onSetDraining(WorkerMessage.SetDraining m) {
        long now = System.nanoTime();
        if (m.draining()) {
            orders.drain(gpuId, m.moveWork());
            answers.drainAsked(now, m.replyTo()::tell);
        } else {
            orders.undrain(gpuId);
            answers.undrainAsked(role(), now, m.replyTo()::tell);
        }
        report();
        if (book != null) {
            book.onDraining(m.draining(), m.moveWork(), now);
        }
        return this;
    }

    private EngineRole role() {
        return loop == null ? ordered().now() : loop.stats().role();
    }

    private Behavior<WorkerMessage> onTick() {
        if (loop.failure() != null) {
            LOG.error(
                    "GPU {} is lost: {}; its requests go on elsewhere, and the worker starts anew",
                    gpuId,
                    loop.failure().getMessage());
            end = "its GPU is lost: " + loop.failure().getMessage();
            return Behaviors.stopped();
        }
        book.tick(System.nanoTime());
        blocks.tick();
        if (works.isEmpty() && answers.drainAwaited()) {
            report();
            answers.onIdle(role(), System.nanoTime());
        }
        return this;
    }

    private void report() {
        if (loop == null || hangs()) {
            return;
        }
        StandingOrders.Role ordered = ordered();
        ComputeBackend backend = gpu.backend();
        RegistryMessage report = new WorkerReport(
                gpuId,
                registries.selfNode(),
                epoch,
                host.model().name(),
                host.model().fingerprint(),
                backend.kvLayout().signature(),
                backend.info(),
                gpu.transport().endpoint().wire(),
                answers.draining(),
                (int) Math.min(
                        backend.model().maxContextTokens(),
                        (long) loop.stats().totalBlocks() * backend.kvLayout().blockTokens()),
                loop.stats(),
                new WorkerFacts(
                        engineSettings.chunkTokens(loop.stats().role()),
                        engineSettings.maxSequences(),
                        backend.kvLayout().blockTokens(),
                        backend.kvLayout().blockBytes(),
                        blocks.lastId(),
                        times.learned(),
                        times.promptShare(System.nanoTime())),
                new WorkerReport.RoleHistory(
                        ordered.previous(), (System.nanoTime() - ordered.sinceNanos()) / 1_000_000),
                gpu.transferPaths());
        registries.tellAll(report);
    }

    /** No step can be ended from outside. A worker that says nothing is lost to all who wait for it, until it speaks again. */
    private boolean hangs() {
        long nanos = loop.turnAgeNanos(System.nanoTime());
        boolean now = nanos > settings.stepTimeout().toNanos();
        if (now && !hangs) {
            LOG.error(
                    "GPU {} hangs: a step is not over after {} ms; it counts as lost until it is",
                    gpuId,
                    nanos / 1_000_000);
        } else if (hangs && !now) {
            LOG.warn("GPU {} goes on after all", gpuId);
        }
        hangs = now;
        return now;
    }

    /** What is still being opened is closed when it is open. */
    private void close() {
        if (book != null) {
            registries.tellAll(new WorkerEnded(gpuId, epoch, end));
        }
        if (gpu == null) {
            opening.thenAccept(Opened::close);
        } else {
            gpu.close();
        }
        // What ran here resumes elsewhere: whoever waits for this worker to run dry need not wait for its successor.
        answers.onIdle(ordered().now(), System.nanoTime());
        LOG.info("GPU {} is down", gpuId);
    }
}
