package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.EngineRole;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.kvcache.KvMemory;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.BlockTransport;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.typed.ActorRef;

/**
 * The works of one GPU: takes what the cluster wants done and what engine, transport and nodes say, and hands it to the parts that
 * know: {@link IncomingBlocks}, {@link OutgoingBlocks}, {@link OutgoingMoves}, {@link Departures}, {@link WorkEnds}. Single-threaded.
 */
public final class WorkBook {
    /** The engine's own deadline comes this much after the request's, so that a transfer is always ended first. */
    private static final long ENGINE_GRACE_NANOS = TimeUnit.SECONDS.toNanos(60);

    /** A prompt that has not begun for this long is starved. */
    private static final long STARVED_NANOS = TimeUnit.SECONDS.toNanos(2);

    private static final long YIELD_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    /** What a sequence may grow by while its whole blocks move; beyond, the move is given up and the source goes on. */
    private static final int MOVE_ROOM_TOKENS = 128;

    private final String gpuId;
    private final long epoch;
    private final Commands engine;
    private final KvMemory kv;
    private final WorkTable table;
    private final EngineOutbox outbox;
    private final OutgoingMoves moves;
    private final WorkEnds ends;
    private final IncomingBlocks incoming;
    private final OutgoingBlocks outgoing;
    private final Departures departures;
    private final int maxWorks;
    private final long holdingNanos;
    private long lastKey;
    private long lastHoldingNanos;
    private long lastYieldNanos;

    /** The way to the engine. */
    @FunctionalInterface
    public interface Commands {
        /** False when the engine's queue is full. */
        boolean offer(EngineCommand command);
    }

    /** The actor around. */
    public interface Watcher {
        /** Callable from any thread. */
        void tellSelf(WorkEvent event);

        void watch(ActorRef<RequestMessage> hub);

        void unwatch(ActorRef<RequestMessage> hub);
    }

    /**
     * @param works by key, shared with the engine's thread, which reads them
     * @param maxWorks one more is refused
     * @param maxMoves sequences that leave at the same time
     * @param holdingNanos between two lists of what is here for a node
     */
    public WorkBook(
            String gpuId,
            long epoch,
            ConcurrentHashMap<Long, Work> works,
            Commands engine,
            KvMemory kv,
            BlockTransport transport,
            Watcher watcher,
            int maxWorks,
            int maxMoves,
            long holdingNanos) {
        this.gpuId = gpuId;
        this.epoch = epoch;
        this.engine = engine;
        this.kv = kv;
        this.maxWorks = maxWorks;
        this.holdingNanos = holdingNanos;
        OutgoingLease.Ways ways = new OutgoingLease.Ways(gpuId, kv, transport, watcher, kv.peers());
        table = new WorkTable(works, watcher);
        outbox = new EngineOutbox(engine);
        moves = new OutgoingMoves(gpuId, ways, outbox::tell);
        ends = new WorkEnds(gpuId, table, moves, outbox, transport);
        incoming = new IncomingBlocks(gpuId, epoch, table, ends, outbox, kv, transport, watcher);
        outgoing = new OutgoingBlocks(table, ends, outbox, ways);
        departures = new Departures(gpuId, table, moves, engine, maxMoves);
    }

    // ---- commands of the cluster

    public void dispatch(WorkerMessage.Dispatch m, long nowNanos) {
        if (table.get(m.target()) != null) {
            return;
        }
        if (m.epoch() != epoch) {
            ends.refuse(m.target(), RefusalReason.BAD_KEY, "meant for an earlier incarnation of this worker");
            return;
        }
        if (table.size() >= maxWorks) {
            ends.refuse(m.target(), RefusalReason.TOO_MANY_SEQUENCES, maxWorks + " works are here already");
            return;
        }
        long deadline = nowNanos + TimeUnit.MILLISECONDS.toNanos(m.timeLeftMillis());
        Work work =
                new Work(++lastKey, m.target(), m.kind(), m.spec().sampling().wantsLogprobs(), nowNanos, deadline);
        SequenceSpec spec = localSpec(m.spec(), deadline + ENGINE_GRACE_NANOS);
        if (m.kind() == WorkerMessage.Kind.MIGRATE) {
            // All but the last token are computed where it runs now.
            work.wholeBlocks = (spec.tokens().length - 1) / kv.layout().blockTokens();
        }
        table.add(work);
        if (!engine.offer(command(work.key, m.kind(), spec))) {
            ends.remove(work);
            ends.refuse(m.target(), RefusalReason.QUEUE_FULL, "the engine's command queue is full");
        }
    }

    private static EngineCommand command(long key, WorkerMessage.Kind kind, SequenceSpec spec) {
        return switch (kind) {
            case GENERATE -> new EngineCommand.Generate(key, spec);
            case PREFILL -> new EngineCommand.Prefill(key, spec);
            case RESERVE -> new EngineCommand.Reserve(key, spec);
            case MIGRATE -> new EngineCommand.Reserve(key, spec, MOVE_ROOM_TOKENS);
        };
    }

    private static SequenceSpec localSpec(SequenceSpec s, long deadlineNanos) {
        return new SequenceSpec(
                s.tokens(),
                s.promptTokens(),
                s.maxNewTokens(),
                s.sampling(),
                s.stopTokenIds(),
                s.cacheSalt(),
                deadlineNanos);
    }

    /** Says what is here of a work, and again what was said before and may be lost. */
    public void ask(RequestTarget t) {
        Work work = table.get(t);
        if (work == null) {
            t.hub()
                    .tell(new RequestMessage.WorkState(
                            gpuId, t.requestId(), t.attempt(), false, 0, false, false, false));
            return;
        }
        if (work.reservation != null && !work.adopted) {
            t.hub().tell(work.reservation);
        }
        if (work.adopted) {
            t.hub().tell(new RequestMessage.KvAdopted(gpuId, t.requestId(), t.attempt(), work.stats));
        }
        t.hub()
                .tell(new RequestMessage.WorkState(
                        gpuId,
                        t.requestId(),
                        t.attempt(),
                        true,
                        work.publishedTokens,
                        work.pushTo != null || moves.moving(work),
                        work.nextTokens != null,
                        work.arrived));
    }

    /** Sends a sequence that decodes here elsewhere. */
    public void moveOut(WorkerMessage.MoveOut m, long nowNanos) {
        Work work = table.get(m.target());
        if (work == null || work.cancelled || work.ended || work.transferring) {
            RequestTarget t = m.target();
            t.hub()
                    .tell(new RequestMessage.MoveFailed(
                            gpuId, t.requestId(), t.attempt(), m.lease(), false, "it does not run here"));
            return;
        }
        moves.start(++lastKey, work, m, nowNanos);
    }

    /** A move is called off. */
    public void keep(RequestTarget target) {
        Work work = table.get(target);
        if (work != null) {
            moves.callOff(work);
        }
    }

    /** Those that have works here. */
    public Set<ActorRef<RequestMessage>> hubs() {
        return table.hubs();
    }

    /** Exports whose blocks a transfer reads now. */
    public List<Long> exportsBeingRead() {
        return moves.beingRead();
    }

    /** Tells a prefill where its blocks go. */
    public void push(WorkerMessage.PushKv m) {
        outgoing.push(m);
    }

    /** Tells a reservation the tokens chosen since. */
    public void adopt(WorkerMessage.AdoptKv m) {
        incoming.adopt(m);
    }

    /**
     * The worker changes its role: from the engine's next turn on, once its queue has room.
     *
     * @param moveWork whether what the role does not want is to run elsewhere
     */
    public void onRole(EngineRole role, boolean moveWork, long nowNanos) {
        outbox.tell(new EngineCommand.SetRole(role));
        departures.onRole(role, moveWork, nowNanos);
    }

    /**
     * The worker is drained, or takes work again.
     *
     * @param moveWork whether what runs here is to run elsewhere, rather than to its end
     */
    public void onDraining(boolean draining, boolean moveWork, long nowNanos) {
        departures.onDraining(draining, moveWork, nowNanos);
    }

    public void cancel(RequestTarget target) {
        Work work = table.get(target);
        if (work != null) {
            ends.cancel(work);
        }
    }

    /** Retries what did not fit, and ends what is past its deadline. */
    public void tick(long nowNanos) {
        outbox.retry();
        outgoing.sendUnsentBlocks();
        moves.tick(nowNanos);
        for (Work work : table.all()) {
            if (!work.cancelled && nowNanos - work.deadlineNanos >= 0) {
                ends.cancel(work);
            }
        }
        yieldToStarved(nowNanos);
        departures.tick(nowNanos);
        if (nowNanos - lastHoldingNanos >= holdingNanos) {
            lastHoldingNanos = nowNanos;
            table.sayHoldings(gpuId);
        }
    }

    /**
     * Two workers that reserve for prompts of each other can wait in a circle: the prompts find no room beside the
     * reservations that wait for them. So the oldest reservation that has got nothing yet gives way when a prompt here has
     * not begun for long, one after the other until prompts begin.
     */
    private void yieldToStarved(long nowNanos) {
        if (nowNanos - lastYieldNanos < YIELD_PAUSE_NANOS) {
            return;
        }
        lastYieldNanos = nowNanos;
        boolean starved = false;
        Work oldest = null;
        for (Work work : table.all()) {
            starved |= work.kind == WorkerMessage.Kind.PREFILL
                    && !work.prefilled
                    && work.wholeBlocks == 0
                    && nowNanos - work.sinceNanos >= STARVED_NANOS;
            boolean idle = work.kind == WorkerMessage.Kind.RESERVE
                    && work.reservation != null
                    && work.nextTokens == null
                    && !work.cancelled;
            if (idle && (oldest == null || work.key < oldest.key)) {
                oldest = work;
            }
        }
        if (starved && oldest != null) {
            ends.refuse(
                    oldest.target, RefusalReason.NO_BLOCKS, "the reservation gives way to a prompt that waits here");
            ends.cancel(oldest);
        }
    }

    /** Takes an event of the engine, of the transport or of a node. */
    public void on(WorkEvent event) {
        switch (event) {
            case WorkEvent.HubGone gone -> table.of(gone.hub()).forEach(ends::cancel);
            case WorkEvent.SequenceEnded m -> onSequenceEnded(m.key(), m.reason());
            case WorkEvent.PrefillProgress m -> outgoing.onPrefillProgress(m.key(), m.wholeBlocks(), m.blockIds());
            case WorkEvent.PrefillUnderWay m ->
                outgoing.onPrefillUnderWay(m.key(), m.endBlock(), m.blockIds(), m.pass());
            case WorkEvent.GroupFilled m -> m.lease().onGroupFilled(m);
            case WorkEvent.Reserved m -> incoming.onReserved(m.key(), m.cachedBlocks(), m.blockIds());
            case WorkEvent.WindowFilled m -> m.lease().onWindowFilled(m);
            case WorkEvent.WindowSent m -> {
                m.lease().onWindowSent(m.slot());
                outgoing.sendUnsentBlocks();
                moves.sendUnsentBlocks();
            }
            case WorkEvent.BlocksSummed m -> m.lease().onBlocksSummed(m);
            case WorkEvent.BlocksFilled m -> incoming.onBlocksFilled(table.get(m.key()), m.landing(), m.failure());
            case WorkEvent.Exported m -> moves.onExported(m.exportKey(), m.blockIds());
            case WorkEvent.Paused m -> moves.onPaused(m.exportKey(), m.blockIds());
            case WorkEvent.RoleRuns ignored -> {
                // The actor's business.
            }
            case WorkEvent.NodeGone ignored -> {
                // The actor knows which hubs are there.
            }
            case WorkEvent.EngineRefused m -> {
                if (!moves.onRefused(m.key(), m.detail())) {
                    onEngineRefused(m.key(), m.reason(), m.detail());
                }
            }
            case WorkEvent.Arrived m -> incoming.onArrived(m.lease(), m.stats());
            case WorkEvent.ArrivalFailed m -> incoming.onArrivalFailed(m.lease(), m.failure(), m.stats());
            case WorkEvent.Acknowledged m -> {
                if (!moves.onAcknowledged(m.key())) {
                    outgoing.onAcknowledged(m.key(), m.stats());
                }
            }
            case WorkEvent.PushFailed m -> {
                if (!moves.onPushFailed(m.key(), m.failure())) {
                    outgoing.onPushFailed(m.key(), m.failure(), m.stats());
                }
            }
        }
    }

    // ---- events of the engine

    private void onSequenceEnded(long key, FinishReason reason) {
        Work work = table.get(key);
        if (work == null) {
            return;
        }
        if (work.kind == WorkerMessage.Kind.PREFILL && reason != FinishReason.CANCELLED) {
            work.prefilled = true;
            if (reason == FinishReason.PREFILLED && !work.cancelled) {
                outgoing.releaseWhenDone(work);
            } else {
                ends.cancel(work);
            }
            return;
        }
        work.ended = true;
        if (work.transferring) {
            ends.abort(work);
        } else if (work.isIdle()) {
            ends.remove(work);
        }
    }

    private void onEngineRefused(long key, RefusalReason reason, String detail) {
        Work work = table.get(key);
        if (work != null) {
            ends.remove(work);
            ends.refuse(work.target, reason, detail);
        }
    }
}
