package io.tandem.worker;

import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineListener.RefusalReason;
import io.tandem.engine.FinishReason;
import io.tandem.engine.SequenceSpec;
import io.tandem.kvcache.KvMemory;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.transfer.BlockTransport;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.SendResult;
import io.tandem.transfer.LeaseId;
import io.tandem.transfer.TransferFailure;
import io.tandem.transfer.TransferStats;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.pekko.actor.typed.ActorRef;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The works of one GPU and the rule that keeps their memory safe: a sequence's blocks are let go only when no transfer
 * touches them. A cancelled work therefore ends in two steps: its transfer is aborted, and once the transport has said that
 * it is over, the engine is told.
 */
public final class WorkBook {
    private static final Logger LOG = LoggerFactory.getLogger(WorkBook.class);

    /** The engine's own deadline comes this much after the request's, so that a transfer is always ended first. */
    private static final long ENGINE_GRACE_NANOS = TimeUnit.SECONDS.toNanos(60);

    /** A prompt that has not begun for this long is starved. */
    private static final long STARVED_NANOS = TimeUnit.SECONDS.toNanos(2);

    private static final long YIELD_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    /** What a sequence may grow by while its whole blocks move; beyond, the move is given up and the source goes on. */
    private static final int MOVE_ROOM_TOKENS = 128;

    private static final long MOVE_ASK_AGAIN_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    /** Marks the lease of a moving sequence's last blocks; below it the lease's id is the work's key. */
    private static final long TAIL = 1L << 62;

    private final String gpuId;
    private final long epoch;
    private final OutgoingMoves moves;
    private final ConcurrentHashMap<Long, Work> works;
    private final Map<RequestTarget, Work> byTarget = new HashMap<>();
    private final Map<ActorRef<RequestMessage>, Integer> worksOfHub = new HashMap<>();
    private final ArrayDeque<EngineCommand> unsent = new ArrayDeque<>();
    private final List<Work> unsentBlocks = new ArrayList<>();
    private final Commands engine;
    private final KvMemory kv;
    private final TransferWindows windows;
    private final BlockTransport transport;
    private final Watcher watcher;
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

    public WorkBook(
            String gpuId,
            long epoch,
            ConcurrentHashMap<Long, Work> works,
            Commands engine,
            KvMemory kv,
            BlockTransport transport,
            Watcher watcher,
            int maxWorks,
            long holdingNanos) {
        this.gpuId = gpuId;
        this.epoch = epoch;
        this.works = works;
        this.engine = engine;
        this.kv = kv;
        this.transport = transport;
        this.watcher = watcher;
        windows = new TransferWindows(kv, watcher);
        this.maxWorks = maxWorks;
        this.holdingNanos = holdingNanos;
        moves = new OutgoingMoves(gpuId, kv, transport, watcher, this::tellEngine);
    }

    // ---- commands of the cluster

    public void dispatch(WorkerMessage.Dispatch m, long nowNanos) {
        if (byTarget.containsKey(m.target())) {
            return;
        }
        if (m.epoch() != epoch) {
            refuse(m.target(), RefusalReason.BAD_KEY, "meant for an earlier incarnation of this worker");
            return;
        }
        if (works.size() >= maxWorks) {
            refuse(m.target(), RefusalReason.TOO_MANY_SEQUENCES, maxWorks + " works are here already");
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
        add(work);
        if (!engine.offer(command(work.key, m.kind(), spec))) {
            remove(work);
            refuse(m.target(), RefusalReason.QUEUE_FULL, "the engine's command queue is full");
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

    public void push(WorkerMessage.PushKv m) {
        Work work = byTarget.get(m.target());
        if (work == null || work.pushTo != null || work.cancelled || work.ended) {
            return;
        }
        work.pushTo = m.endpoint();
        work.cachedBlocks = m.cachedBlocks();
        work.sentBlocks = m.cachedBlocks();
        work.totalBlocks = m.totalBlocks();
        int missing = m.totalBlocks() - m.cachedBlocks();
        if (missing == 0) {
            work.acknowledged = true;
            releaseWhenDone(work);
            return;
        }
        work.lease = m.lease();
        work.transferring = true;
        OpenResult opened = transport.openSend(
                m.lease(),
                m.endpoint(),
                missing,
                work.deadlineNanos,
                new SendEnd(watcher, work.key, windows.areNeeded()));
        if (opened != OpenResult.OPENED) {
            onPushFailed(
                    work.key,
                    opened == OpenResult.UNREACHABLE ? TransferFailure.NOT_CONNECTED : TransferFailure.CLOSED,
                    Work.NOTHING_MOVED);
            return;
        }
        sendWholeBlocks(work);
    }

    public void adopt(WorkerMessage.AdoptKv m) {
        Work work = byTarget.get(m.target());
        if (work != null && work.nextTokens == null) {
            work.nextTokens = m.nextTokens();
            adoptWhenComplete(work);
        }
    }

    /** Says what is here of a work, and again what was said before and may be lost. */
    public void ask(RequestTarget t) {
        Work work = byTarget.get(t);
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
                        work.pushTo != null,
                        work.nextTokens != null,
                        work.arrived));
    }

    /** Sends a sequence that decodes here elsewhere. */
    public void moveOut(WorkerMessage.MoveOut m, long nowNanos) {
        Work work = byTarget.get(m.target());
        if (work == null || work.cancelled || work.ended || work.transferring || windows.areNeeded()) {
            RequestTarget t = m.target();
            t.hub().tell(new RequestMessage.MoveFailed(gpuId, t.requestId(), t.attempt(), "it does not run here"));
            return;
        }
        moves.start(++lastKey, work, m, nowNanos);
    }

    /** A move is called off. */
    public void keep(RequestTarget target) {
        Work work = byTarget.get(target);
        if (work != null) {
            moves.callOff(work);
        }
    }

    /** Gives back what has not begun; it runs elsewhere. */
    public void shed() {
        engine.offer(new EngineCommand.Shed());
    }

    /** Asks the owners of what decodes here to move it, at most {@code most} at a time; each again after a while. */
    public void moveAway(int most, long nowNanos) {
        int moving = 0;
        for (Work work : works.values()) {
            boolean asked = work.moveAskedNanos != 0 && nowNanos - work.moveAskedNanos < MOVE_ASK_AGAIN_NANOS;
            moving += asked || moves.moving(work) ? 1 : 0;
        }
        for (Work work : works.values()) {
            boolean decodes = work.kind == WorkerMessage.Kind.GENERATE || work.nextTokens != null;
            boolean asked = work.moveAskedNanos != 0 && nowNanos - work.moveAskedNanos < MOVE_ASK_AGAIN_NANOS;
            if (moving < most && decodes && !asked && !work.cancelled && !work.ended && !moves.moving(work)) {
                work.moveAskedNanos = nowNanos;
                RequestTarget t = work.target;
                t.hub().tell(new RequestMessage.MoveAway(gpuId, t.requestId(), t.attempt()));
                moving++;
            }
        }
    }

    public void cancel(RequestTarget target) {
        Work work = byTarget.get(target);
        if (work != null) {
            cancel(work);
        }
    }

    private void cancelAllOf(ActorRef<RequestMessage> hub) {
        List<Work> orphans =
                works.values().stream().filter(w -> w.target.hub().equals(hub)).toList();
        orphans.forEach(this::cancel);
    }

    /** Retries what did not fit, and ends what is past its deadline. */
    public void tick(long nowNanos) {
        while (!unsent.isEmpty() && engine.offer(unsent.peek())) {
            unsent.poll();
        }
        sendUnsentBlocks();
        moves.tick(nowNanos);
        for (Work work : works.values()) {
            if (!work.cancelled && nowNanos - work.deadlineNanos >= 0) {
                cancel(work);
            }
        }
        yieldToStarved(nowNanos);
        if (nowNanos - lastHoldingNanos >= holdingNanos) {
            lastHoldingNanos = nowNanos;
            sayHoldings();
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
        for (Work work : works.values()) {
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
            refuse(oldest.target, RefusalReason.NO_BLOCKS, "the reservation gives way to a prompt that waits here");
            cancel(oldest);
        }
    }

    private void sayHoldings() {
        Map<ActorRef<RequestMessage>, List<Work>> ofHub = new LinkedHashMap<>();
        works.values()
                .forEach(w -> ofHub.computeIfAbsent(w.target.hub(), h -> new ArrayList<>())
                        .add(w));
        ofHub.forEach((hub, some) -> hub.tell(new RequestMessage.Holding(
                gpuId,
                some.stream().mapToLong(w -> w.target.requestId()).toArray(),
                some.stream().mapToInt(w -> w.target.attempt()).toArray())));
    }

    private void sendUnsentBlocks() {
        List<Work> waiting = List.copyOf(unsentBlocks);
        unsentBlocks.clear();
        waiting.forEach(this::sendWholeBlocks);
    }

    /** Takes an event of the engine, of the transport or of a node. */
    public void on(WorkEvent event) {
        switch (event) {
            case WorkEvent.HubGone gone -> cancelAllOf(gone.hub());
            case WorkEvent.SequenceEnded m -> onSequenceEnded(m.key(), m.reason());
            case WorkEvent.PrefillProgress m -> onPrefillProgress(m.key(), m.wholeBlocks(), m.blockIds());
            case WorkEvent.Reserved m -> onReserved(m.key(), m.cachedBlocks(), m.blockIds());
            case WorkEvent.WindowFilled m -> onWindowFilled(works.get(m.key()), m.slot(), m.failure());
            case WorkEvent.WindowSent m -> onWindowSent(works.get(m.key()), m.slot());
            case WorkEvent.BlocksFilled m -> onBlocksFilled(works.get(m.key()), m.stats(), m.failure());
            case WorkEvent.Exported m -> moves.onExported(m.exportKey(), m.blockIds());
            case WorkEvent.Paused m -> moves.onPaused(m.exportKey(), m.blockIds());
            case WorkEvent.RoleRuns ignored -> {
                // The actor's business.
            }
            case WorkEvent.EngineRefused m -> {
                if (!moves.onRefused(m.key(), m.detail())) {
                    onEngineRefused(m.key(), m.reason(), m.detail());
                }
            }
            case WorkEvent.Arrived m -> onArrived(m.lease().id() & ~TAIL, m.stats());
            case WorkEvent.ArrivalFailed m -> onArrivalFailed(m.lease().id() & ~TAIL, m.failure(), m.stats());
            case WorkEvent.Acknowledged m -> {
                if (!moves.onAcknowledged(m.key())) {
                    onAcknowledged(m.key(), m.stats());
                }
            }
            case WorkEvent.PushFailed m -> {
                if (!moves.onPushFailed(m.key(), m.failure())) {
                    onPushFailed(m.key(), m.failure(), m.stats());
                }
            }
        }
    }

    // ---- events of the engine

    private void onReserved(long key, int cachedBlocks, int[] blockIds) {
        Work work = works.get(key);
        if (work == null) {
            return;
        }
        if (work.cancelled) {
            letGo(work);
            return;
        }
        boolean moving = work.kind == WorkerMessage.Kind.MIGRATE;
        int whole = moving ? work.wholeBlocks : blockIds.length;
        work.lease = new LeaseId(key, epoch);
        work.blockIds = blockIds;
        work.cachedBlocks = cachedBlocks;
        String refusal = moving ? openMove(work, whole) : whole > cachedBlocks ? openReceive(work) : "";
        if (!refusal.isEmpty()) {
            refuse(work.target, RefusalReason.QUEUE_FULL, refusal);
            cancel(work);
            return;
        }
        work.arrived = work.openLeases == 0;
        tellReserved(work, cachedBlocks, whole, blockIds.length);
        adoptWhenComplete(work);
    }

    /** Opens both leases of a sequence that moves here; empty when they are open. */
    private String openMove(Work work, int whole) {
        if (windows.areNeeded()) {
            return "sequences whose blocks are in device memory do not move yet";
        }
        OpenResult opened = OpenResult.OPENED;
        if (whole > work.cachedBlocks) {
            opened = receive(work, work.lease, work.cachedBlocks, whole, whole - work.cachedBlocks);
        }
        if (opened == OpenResult.OPENED) {
            work.tailLease = new LeaseId(work.key | TAIL, epoch);
            opened = receive(work, work.tailLease, whole, work.blockIds.length, 1);
        }
        return opened == OpenResult.OPENED ? "" : "no lease to receive KV: " + opened;
    }

    private OpenResult receive(Work work, LeaseId lease, int from, int to, int least) {
        MemorySegment[] slots = new MemorySegment[to - from];
        for (int i = 0; i < slots.length; i++) {
            slots[i] = kv.block(work.blockIds[from + i]);
        }
        OpenResult opened = transport.openReceive(lease, slots, least, work.deadlineNanos, new ReceiveEnd(watcher));
        if (opened == OpenResult.OPENED) {
            work.openLeases++;
            work.transferring = true;
        }
        return opened;
    }

    private void tellReserved(Work work, int cachedBlocks, int wholeBlocks, int allBlocks) {
        RequestTarget t = work.target;
        work.reservation = work.kind == WorkerMessage.Kind.MIGRATE
                ? new RequestMessage.MoveReserved(
                        gpuId,
                        t.requestId(),
                        t.attempt(),
                        work.lease,
                        work.tailLease,
                        transport.endpoint(),
                        cachedBlocks,
                        wholeBlocks,
                        allBlocks - wholeBlocks)
                : new RequestMessage.KvReserved(
                        gpuId, t.requestId(), t.attempt(), work.lease, transport.endpoint(), cachedBlocks, wholeBlocks);
        t.hub().tell(work.reservation);
    }

    /** Opens the lease for the blocks that are missing; empty when it is open. */
    private String openReceive(Work work) {
        int missing = work.blockIds.length - work.cachedBlocks;
        MemorySegment[] slots = new MemorySegment[missing];
        if (!windows.areNeeded()) {
            for (int i = 0; i < missing; i++) {
                slots[i] = kv.block(work.blockIds[work.cachedBlocks + i]);
            }
        } else if (windows.borrowAll(work, work.blockIds, work.cachedBlocks)) {
            slots = work.windows;
        } else {
            return "no transfer buffer for " + missing + " blocks now (tandem.compute.cuda.transfer-buffer-bytes)";
        }
        OpenResult opened = transport.openReceive(work.lease, slots, work.deadlineNanos, new ReceiveEnd(watcher));
        work.transferring = opened == OpenResult.OPENED;
        if (work.transferring) {
            work.openLeases++;
        } else {
            windows.giveBackAll(work);
        }
        return work.transferring ? "" : "no lease to receive KV: " + opened;
    }

    private void onPrefillProgress(long key, int wholeBlocks, int[] blockIds) {
        Work work = works.get(key);
        if (work != null) {
            work.wholeBlocks = wholeBlocks;
            work.blockIds = blockIds;
            sendWholeBlocks(work);
        }
    }

    private void onSequenceEnded(long key, FinishReason reason) {
        Work work = works.get(key);
        if (work == null) {
            return;
        }
        if (work.kind == WorkerMessage.Kind.PREFILL && reason != FinishReason.CANCELLED) {
            work.prefilled = true;
            if (reason == FinishReason.PREFILLED && !work.cancelled) {
                releaseWhenDone(work);
            } else {
                cancel(work);
            }
            return;
        }
        work.ended = true;
        if (work.transferring) {
            abort(work);
        } else if (work.isIdle()) {
            remove(work);
        }
    }

    private void onEngineRefused(long key, RefusalReason reason, String detail) {
        Work work = works.get(key);
        if (work != null) {
            remove(work);
            refuse(work.target, reason, detail);
        }
    }

    // ---- events of the transport

    private void onArrived(long key, TransferStats stats) {
        Work work = works.get(key);
        if (work == null) {
            return;
        }
        work.stats = new TransferStats(
                work.stats.blocks() + stats.blocks(),
                work.stats.bytes() + stats.bytes(),
                work.stats.nanos() + stats.nanos(),
                work.stats.checksumFailures() + stats.checksumFailures());
        if (--work.openLeases > 0) {
            return;
        }
        if (work.failure != null) {
            transferFailed(work, work.failure, stats);
            return;
        }
        work.transferring = false;
        if (windows.areNeeded()) {
            windows.store(work, stats);
        } else {
            blocksArrived(work);
        }
    }

    private void blocksArrived(Work work) {
        work.arrived = true;
        if (work.ended) {
            remove(work);
        } else if (work.cancelled) {
            letGo(work);
        } else {
            adoptWhenComplete(work);
        }
    }

    private void onArrivalFailed(long key, TransferFailure failure, TransferStats stats) {
        Work work = works.get(key);
        if (work == null) {
            return;
        }
        work.failure = work.failure == null ? failure : work.failure;
        if (--work.openLeases > 0) {
            abort(work);
        } else {
            transferFailed(work, work.failure, stats);
        }
    }

    private void onAcknowledged(long key, TransferStats stats) {
        Work work = works.get(key);
        if (work == null) {
            return;
        }
        work.transferring = false;
        work.acknowledged = true;
        work.stats = stats;
        windows.giveBackAll(work);
        if (work.ended) {
            remove(work);
        } else if (work.cancelled) {
            letGo(work);
        } else {
            releaseWhenDone(work);
        }
    }

    private void onPushFailed(long key, TransferFailure failure, TransferStats stats) {
        transferFailed(works.get(key), failure, stats);
    }

    private void transferFailed(Work work, TransferFailure failure, TransferStats stats) {
        if (work == null) {
            return;
        }
        work.transferring = false;
        if (!work.cancelled && !work.ended) {
            RequestTarget t = work.target;
            t.hub().tell(new RequestMessage.KvFailed(gpuId, t.requestId(), t.attempt(), failure, stats));
        }
        work.cancelled = true;
        endWhenIdle(work);
    }

    /** What a transfer or a copy held up: the end of a work that is over or cancelled. */
    private void endWhenIdle(Work work) {
        if (!work.isIdle()) {
            return;
        }
        windows.giveBackAll(work);
        if (work.ended) {
            remove(work);
        } else if (work.cancelled) {
            letGo(work);
        }
    }

    // ---- events of the copies between blocks and windows; a work stays until they are over

    private void onWindowFilled(Work work, int slot, String failure) {
        work.copying--;
        if (work.cancelled || work.ended || !work.transferring) {
            endWhenIdle(work);
        } else if (!failure.isEmpty()) {
            LOG.warn("GPU {}: a block cannot be copied to the host: {}", gpuId, failure);
            transport.abortSend(work.lease);
        } else {
            work.filled.add(slot);
            sendFilled(work);
        }
    }

    private void onWindowSent(Work work, int slot) {
        if (work != null) {
            windows.giveBack(work, slot);
            sendUnsentBlocks();
        }
    }

    private void onBlocksFilled(Work work, TransferStats stats, String failure) {
        work.copying--;
        windows.giveBackAll(work);
        if (failure.isEmpty()) {
            blocksArrived(work);
        } else {
            LOG.warn("GPU {}: blocks cannot be copied to the device: {}", gpuId, failure);
            transferFailed(work, TransferFailure.CLOSED, stats);
        }
    }

    // ---- rules

    private void sendWholeBlocks(Work work) {
        if (!work.transferring || work.pushTo == null || work.cancelled || work.ended) {
            return;
        }
        int end = Math.min(work.wholeBlocks, work.totalBlocks);
        if (windows.areNeeded()) {
            fillWindows(work, end);
            return;
        }
        while (work.sentBlocks < end) {
            int slot = work.sentBlocks - work.cachedBlocks;
            SendResult sent = transport.send(work.lease, slot, kv.block(work.blockIds[work.sentBlocks]));
            if (sent == SendResult.BACK_PRESSURED) {
                unsentBlocks.add(work);
                return;
            }
            if (sent != SendResult.QUEUED) {
                return;
            }
            work.sentBlocks++;
        }
    }

    private void fillWindows(Work work, int end) {
        if (!sendFilled(work)) {
            return;
        }
        while (work.sentBlocks < end) {
            int slot = work.sentBlocks - work.cachedBlocks;
            if (!windows.fill(work, slot, work.blockIds[work.sentBlocks])) {
                unsentBlocks.add(work);
                return;
            }
            work.sentBlocks++;
        }
    }

    /** Hands filled windows to the transport; false when it takes no more now. */
    private boolean sendFilled(Work work) {
        while (!work.filled.isEmpty()) {
            int slot = work.filled.peek();
            SendResult sent = transport.send(work.lease, slot, work.windows[slot]);
            if (sent == SendResult.BACK_PRESSURED) {
                unsentBlocks.add(work);
                return false;
            }
            if (sent != SendResult.QUEUED) {
                return false;
            }
            work.filled.poll();
        }
        return true;
    }

    private void adoptWhenComplete(Work work) {
        if (!work.arrived || work.nextTokens == null || work.cancelled || work.ended || work.adopted) {
            return;
        }
        work.adopted = true;
        RequestTarget t = work.target;
        t.hub().tell(new RequestMessage.KvAdopted(gpuId, t.requestId(), t.attempt(), work.stats));
        tellEngine(new EngineCommand.Adopt(work.key, work.nextTokens));
    }

    private void releaseWhenDone(Work work) {
        if (work.prefilled && work.acknowledged && !work.ended) {
            remove(work);
            tellEngine(new EngineCommand.Release(work.key));
        }
    }

    private void cancel(Work work) {
        work.cancelled = true;
        if (work.transferring) {
            abort(work);
        } else {
            endWhenIdle(work);
        }
    }

    private void abort(Work work) {
        if (work.kind == WorkerMessage.Kind.RESERVE || work.kind == WorkerMessage.Kind.MIGRATE) {
            transport.abortReceive(work.lease);
            if (work.tailLease != null) {
                transport.abortReceive(work.tailLease);
            }
        } else {
            transport.abortSend(work.lease);
        }
    }

    /** The engine ends the sequence and says so; what it only holds, it lets go without a word. */
    private void letGo(Work work) {
        if (work.prefilled) {
            remove(work);
            tellEngine(new EngineCommand.Release(work.key));
        } else if (!work.ended) {
            tellEngine(new EngineCommand.Cancel(work.key));
        }
    }

    private void tellEngine(EngineCommand command) {
        if (!unsent.isEmpty() || !engine.offer(command)) {
            unsent.add(command);
        }
    }

    private void refuse(RequestTarget t, RefusalReason reason, String detail) {
        t.hub().tell(new RequestMessage.Refused(gpuId, t.requestId(), t.attempt(), reason, detail));
    }

    private void add(Work work) {
        works.put(work.key, work);
        byTarget.put(work.target, work);
        if (worksOfHub.merge(work.target.hub(), 1, Integer::sum) == 1) {
            watcher.watch(work.target.hub());
        }
    }

    private void remove(Work work) {
        if (works.remove(work.key) == null) {
            return;
        }
        moves.gone(work);
        byTarget.remove(work.target);
        ActorRef<RequestMessage> hub = work.target.hub();
        if (worksOfHub.merge(hub, -1, Integer::sum) == 0) {
            worksOfHub.remove(hub);
            watcher.unwatch(hub);
        }
    }

    /** Carries the end of a receive from the transport's thread to the actor. */
    private record ReceiveEnd(Watcher watcher) implements BlockTransport.ReceiveListener {
        @Override
        public void onComplete(LeaseId lease, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.Arrived(lease, stats));
        }

        @Override
        public void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.ArrivalFailed(lease, failure, stats));
        }
    }

    /** Carries the end of a send from the transport's thread to the actor. */
    record SendEnd(Watcher watcher, long key, boolean windows) implements BlockTransport.SendListener {
        @Override
        public void onBlockSent(LeaseId lease, int slot) {
            if (windows) {
                watcher.tellSelf(new WorkEvent.WindowSent(key, slot));
            }
        }

        @Override
        public void onAcknowledged(LeaseId lease, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.Acknowledged(lease, key, stats));
        }

        @Override
        public void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
            watcher.tellSelf(new WorkEvent.PushFailed(lease, key, failure, stats));
        }
    }
}
