package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.compute.simulated.TimingModel;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineCommand;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.EngineTurns;
import io.tandem.engine.SequenceSpec;
import io.tandem.kvcache.BlockSum;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.kvcache.PeerBlocks;
import io.tandem.model.ModelConfig;
import io.tandem.model.RopeScaling;
import io.tandem.request.RequestMessage;
import io.tandem.request.RequestTarget;
import io.tandem.sampling.SamplingParams;
import io.tandem.transfer.InMemoryNetwork;
import io.tandem.transfer.InMemoryTransport;
import io.tandem.transfer.TransferStats;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.apache.pekko.actor.testkit.typed.javadsl.TestInbox;
import org.apache.pekko.actor.typed.ActorRef;
import org.junit.jupiter.api.Test;

/**
 * Blocks that travel through windows, as those of a device do: same tokens, every window back, and few windows suffice to send.
 * The same from device to device, where no window is touched.
 */
class WindowTransferTest {
    private static final long EPOCH = 7;
    private static final int PROMPT = 300;
    private static final int NEW_TOKENS = 12;

    private final InMemoryNetwork network = new InMemoryNetwork();
    private final TestInbox<RequestMessage> hub = TestInbox.create();

    /** A worker without its actor. */
    private final class Worker implements WorkBook.Watcher, AutoCloseable {
        final ArrayDeque<WorkEvent> events = new ArrayDeque<>();
        final ArrayDeque<WorkEvent> late = new ArrayDeque<>();
        int runs;
        final SimulatedBackend backend;
        final Engine engine;
        final EngineTurns turns;
        final Windowed kv;
        final InMemoryTransport transport;
        final WorkBook book;

        Worker(String id, EngineRole role, int windows) {
            this(id, role, windows, false);
        }

        Worker(String id, EngineRole role, int windows, boolean direct) {
            EngineSettings settings = EngineSettings.from(ConfigFactory.parseString(
                            "tandem.engine { kv-blocks = 64, prefill-chunk-tokens = 80, verify-each-step = on }")
                    .withFallback(ConfigFactory.load()));
            ModelConfig model = new ModelConfig(
                    "llama",
                    1000,
                    8,
                    1,
                    1,
                    1,
                    8,
                    8,
                    1e-5f,
                    1e4,
                    new RopeScaling.None(),
                    false,
                    4096,
                    true,
                    1,
                    List.of(2));
            backend = new SimulatedBackend(model, 16, 640, new TimingModel(0, 0, 0, 0), List.of());
            ConcurrentHashMap<Long, Work> works = new ConcurrentHashMap<>();
            engine = new Engine(backend, "m", settings, role, new EnginePublisher(id, works, events::add));
            turns = new EngineTurns(engine, 64);
            kv = new Windowed(engine.kvMemory(), windows, direct);
            transport = InMemoryTransport.start(network, id);
            kv.peers().ifPresent(p -> transport.enableDirect(new PeerPath(p), EPOCH));
            book = new WorkBook(id, EPOCH, works, turns::offer, kv, transport, this, 16, 8, 2_000_000_000L);
        }

        @Override
        public void tellSelf(WorkEvent event) {
            events.add(event);
        }

        @Override
        public void watch(ActorRef<RequestMessage> ref) {}

        @Override
        public void unwatch(ActorRef<RequestMessage> ref) {}

        void run() {
            turns.turn(System.nanoTime());
            kv.copyOne();
            transport.deliver();
            for (WorkEvent e = events.poll(); e != null; e = events.poll()) {
                if (e instanceof WorkEvent.PrefillProgress p && kv.groups > 1) {
                    book.on(new WorkEvent.PrefillUnderWay(p.key(), p.wholeBlocks(), p.blockIds(), 0));
                    late.add(p);
                } else {
                    book.on(e);
                }
            }
            if (++runs % 50 == 0 && !late.isEmpty()) {
                book.on(late.poll());
            }
            book.tick(System.nanoTime());
        }

        @Override
        public void close() {
            transport.close();
            engine.close();
        }
    }

    /** Blocks behind windows; a copy takes one turn. */
    private static final class Windowed implements KvMemory {
        private final KvMemory blocks;
        private final ArrayDeque<MemorySegment> free = new ArrayDeque<>();
        private final ArrayDeque<Runnable> copies = new ArrayDeque<>();
        private final int windows;
        private int fewest;
        private int groups = 1;
        private int groupsFilled;
        private final Optional<PeerBlocks> peers;

        Windowed(KvMemory blocks, int windows, boolean direct) {
            peers = direct ? Optional.of(new Peers(this)) : Optional.empty();
            this.blocks = blocks;
            this.windows = windows;
            fewest = windows;
            for (int i = 0; i < windows; i++) {
                free.add(Arena.ofAuto().allocate(blocks.layout().blockBytes(), 64));
            }
        }

        @Override
        public Optional<PeerBlocks> peers() {
            return peers;
        }

        @Override
        public int layerGroups() {
            return groups;
        }

        @Override
        public long groupOffset(int group) {
            return layout().blockBytes() * group / groups;
        }

        @Override
        public void fillGroup(long pass, int group, int[] ids, MemorySegment[] to, Consumer<RuntimeException> done) {
            long offset = groupOffset(group);
            long bytes = groupOffset(group + 1) - offset;
            copies.add(() -> {
                for (int i = 0; i < ids.length; i++) {
                    MemorySegment.copy(blocks.block(ids[i]), offset, to[i], offset, bytes);
                }
                groupsFilled++;
                done.accept(null);
            });
        }

        void copyOne() {
            Runnable copy = copies.poll();
            if (copy != null) {
                copy.run();
            }
        }

        @Override
        public boolean hasWindows() {
            return true;
        }

        @Override
        public MemorySegment borrowWindow(int blockId) {
            MemorySegment window = free.poll();
            fewest = Math.min(fewest, free.size());
            return window;
        }

        @Override
        public void returnWindow(MemorySegment window) {
            window.fill((byte) 0x55);
            free.add(window);
            assertTrue(free.size() <= windows, "a window came back twice");
        }

        @Override
        public void fillWindow(int blockId, MemorySegment window, Consumer<RuntimeException> done) {
            copies.add(() -> {
                window.copyFrom(blocks.block(blockId));
                done.accept(null);
            });
        }

        @Override
        public void fillBlocks(int[] blockIds, MemorySegment[] from, Consumer<RuntimeException> done) {
            copies.add(() -> {
                for (int i = 0; i < blockIds.length; i++) {
                    blocks.block(blockIds[i]).copyFrom(from[i]);
                }
                done.accept(null);
            });
        }

        @Override
        public KvLayout layout() {
            return blocks.layout();
        }

        @Override
        public int blocks() {
            return blocks.blocks();
        }

        @Override
        public MemorySegment block(int blockId) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void close() {}
    }

    /** Device to device: a copy takes one turn. */
    private static final class Peers implements PeerBlocks {
        private static final Map<Integer, Windowed> ALL = new HashMap<>();
        private final Map<Long, Windowed> open = new HashMap<>();
        private final Windowed own;
        private final int number = ALL.size();

        Peers(Windowed own) {
            this.own = own;
            ALL.put(number, own);
        }

        @Override
        public String kind() {
            return "test";
        }

        @Override
        public byte[] ticket() {
            return new byte[] {(byte) number};
        }

        @Override
        public void open(long link, byte[] ticket, Consumer<String> done) {
            own.copies.add(() -> {
                open.put(link, ALL.get((int) ticket[0]));
                done.accept("");
            });
        }

        @Override
        public void close(long link, Runnable done) {
            open.remove(link);
            done.run();
        }

        @Override
        public void fetch(long link, int[] from, int[] to, SumListener done) {
            own.copies.add(() -> {
                for (int i = 0; i < to.length; i++) {
                    own.blocks.block(to[i]).copyFrom(open.get(link).blocks.block(from[i]));
                }
                done.over(sums(to), "");
            });
        }

        @Override
        public void sum(int[] ids, SumListener done) {
            own.copies.add(() -> done.over(sums(ids), ""));
        }

        private long[] sums(int[] ids) {
            return Arrays.stream(ids)
                    .mapToLong(id -> BlockSum.of(own.blocks.block(id)))
                    .toArray();
        }
    }

    private RequestTarget target(int attempt) {
        return new RequestTarget(hub.getRef(), 1, attempt);
    }

    private static SequenceSpec spec() {
        int[] prompt = new int[PROMPT];
        for (int i = 0; i < PROMPT; i++) {
            prompt[i] = 1 + i % 900;
        }
        return new SequenceSpec(
                prompt, PROMPT, NEW_TOKENS, SamplingParams.greedy(), new int[0], 0, System.nanoTime() + (1L << 40));
    }

    private void dispatch(Worker worker, WorkerMessage.Kind kind, RequestTarget target) {
        worker.book.dispatch(new WorkerMessage.Dispatch(kind, EPOCH, target, spec(), 60_000), System.nanoTime());
    }

    private List<Integer> tokensOf(List<RequestMessage> messages) {
        List<Integer> tokens = new ArrayList<>();
        for (RequestMessage m : messages) {
            if (m instanceof RequestMessage.Tokens t) {
                for (int token : t.tokens()) {
                    tokens.add(token);
                }
            }
        }
        return tokens;
    }

    private <T> T await(Class<T> type, List<RequestMessage> seen, Worker... workers) {
        for (int turn = 0; turn < 10_000; turn++) {
            for (Worker worker : workers) {
                worker.run();
            }
            seen.addAll(hub.getAllReceived());
            for (RequestMessage m : seen) {
                if (type.isInstance(m)) {
                    return type.cast(m);
                }
            }
        }
        throw new AssertionError("no " + type.getSimpleName() + " among " + seen);
    }

    @Test
    void shouldGoOnFromBlocksThatTravelledThroughFewWindows() {
        List<RequestMessage> alone = new ArrayList<>();
        try (Worker one = new Worker("one", EngineRole.MIXED, 4)) {
            dispatch(one, WorkerMessage.Kind.GENERATE, target(1));
            await(RequestMessage.Ended.class, alone, one);
        }
        List<RequestMessage> seen = new ArrayList<>();
        try (Worker prefill = new Worker("prefill", EngineRole.PREFILL, 2);
                Worker decode = new Worker("decode", EngineRole.DECODE, 40)) {
            RequestTarget target = target(2);
            dispatch(decode, WorkerMessage.Kind.RESERVE, target);
            dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
            RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
            prefill.book.push(new WorkerMessage.PushKv(
                    target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
            await(RequestMessage.Tokens.class, seen, prefill, decode);
            int first = tokensOf(seen).getFirst();
            decode.book.adopt(new WorkerMessage.AdoptKv(target, new int[] {first}));
            await(RequestMessage.KvAdopted.class, seen, prefill, decode);
            seen.removeIf(m -> m instanceof RequestMessage.Ended);
            await(RequestMessage.Ended.class, seen, prefill, decode);
            assertEquals(tokensOf(alone), tokensOf(seen));
            assertEquals(0, prefill.kv.fewest, "two windows were not enough to be all in use");
            assertEquals(2, prefill.kv.free.size());
            assertEquals(40, decode.kv.free.size());
        }
    }

    @Test
    void shouldSendBlocksALayerGroupAtATimeWhileTheyAreComputed() {
        List<RequestMessage> whole = new ArrayList<>();
        List<RequestMessage> byGroups = new ArrayList<>();
        try (Worker prefill = new Worker("p", EngineRole.PREFILL, 40);
                Worker decode = new Worker("d", EngineRole.DECODE, 40)) {
            split(prefill, decode, target(1), whole);
        }
        for (int windows : new int[] {40, 3}) {
            byGroups.clear();
            try (Worker prefill = new Worker("prefill", EngineRole.PREFILL, windows);
                    Worker decode = new Worker("decode", EngineRole.DECODE, 40)) {
                prefill.kv.groups = 3;
                TransferStats stats = split(prefill, decode, target(2), byGroups);
                assertEquals(19, stats.blocks());
                assertEquals(tokensOf(whole), tokensOf(byGroups));
                assertTrue(prefill.kv.groupsFilled > 0, "every block waited until its pass was over");
                assertEquals(windows, prefill.kv.free.size());
                assertEquals(40, decode.kv.free.size());
            }
        }
    }

    /** Moves a prompt's blocks and runs it to its end; how they went. */
    private TransferStats split(Worker prefill, Worker decode, RequestTarget target, List<RequestMessage> seen) {
        dispatch(decode, WorkerMessage.Kind.RESERVE, target);
        dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
        RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
        prefill.book.push(new WorkerMessage.PushKv(
                target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
        await(RequestMessage.Tokens.class, seen, prefill, decode);
        decode.book.adopt(
                new WorkerMessage.AdoptKv(target, new int[] {tokensOf(seen).getFirst()}));
        TransferStats stats =
                await(RequestMessage.KvAdopted.class, seen, prefill, decode).stats();
        seen.removeIf(m -> m instanceof RequestMessage.Ended);
        await(RequestMessage.Ended.class, seen, prefill, decode);
        return stats;
    }

    @Test
    void shouldGoOnFromBlocksThatWentFromDeviceToDevice() {
        try (Worker prefill = new Worker("prefill", EngineRole.PREFILL, 4, true);
                Worker decode = new Worker("decode", EngineRole.DECODE, 40, true)) {
            List<RequestMessage> streamed = new ArrayList<>();
            assertFalse(split(prefill, decode, target(1), streamed).direct(), "nobody knew the way yet");
            prefill.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            decode.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            prefill.kv.fewest = 4;
            decode.kv.fewest = 40;
            List<RequestMessage> fetched = new ArrayList<>();
            TransferStats stats = split(prefill, decode, target(2), fetched);
            assertTrue(stats.direct());
            assertEquals(19, stats.blocks());
            assertEquals(tokensOf(streamed), tokensOf(fetched));
            assertEquals(44, prefill.kv.fewest + decode.kv.fewest, "windows were used");
            assertEquals(0, prefill.engine.stats().usedBlocks());
        }
    }

    @Test
    void shouldGiveEverythingBackWhenACopyBetweenDevicesIsCancelled() {
        try (Worker prefill = new Worker("prefill", EngineRole.PREFILL, 4, true);
                Worker decode = new Worker("decode", EngineRole.DECODE, 40, true)) {
            split(prefill, decode, target(1), new ArrayList<>());
            prefill.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            decode.engine.apply(new EngineCommand.ClearPrefixCache(), 0);
            RequestTarget target = target(2);
            dispatch(decode, WorkerMessage.Kind.RESERVE, target);
            dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
            List<RequestMessage> seen = new ArrayList<>();
            RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
            prefill.book.push(new WorkerMessage.PushKv(
                    target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
            while (decode.kv.copies.isEmpty()) {
                prefill.run();
                decode.transport.deliver();
            }
            decode.book.cancel(target);
            prefill.book.cancel(target);
            for (int i = 0; i < 500; i++) {
                prefill.run();
                decode.run();
            }
            assertEquals(0, prefill.engine.stats().usedBlocks());
            assertEquals(0, decode.engine.stats().usedBlocks());
            assertEquals(4, prefill.kv.free.size());
            assertEquals(40, decode.kv.free.size());
        }
    }

    @Test
    void shouldRefuseWhenTheWindowsDoNotDoAndHoldNothing() {
        List<RequestMessage> seen = new ArrayList<>();
        try (Worker decode = new Worker("decode", EngineRole.DECODE, 5)) {
            dispatch(decode, WorkerMessage.Kind.RESERVE, target(1));
            RequestMessage.Refused refused = await(RequestMessage.Refused.class, seen, decode);
            assertTrue(refused.detail().contains("transfer-buffer-bytes"), refused.detail());
            for (int i = 0; i < 50; i++) {
                decode.run();
            }
            assertEquals(5, decode.kv.free.size());
            assertEquals(0, decode.engine.stats().usedBlocks());
        }
    }

    @Test
    void shouldGiveWindowsAndBlocksBackWhenATransferIsCancelled() {
        List<RequestMessage> seen = new ArrayList<>();
        try (Worker prefill = new Worker("prefill", EngineRole.PREFILL, 3);
                Worker decode = new Worker("decode", EngineRole.DECODE, 40)) {
            RequestTarget target = target(1);
            dispatch(decode, WorkerMessage.Kind.RESERVE, target);
            dispatch(prefill, WorkerMessage.Kind.PREFILL, target);
            RequestMessage.KvReserved reserved = await(RequestMessage.KvReserved.class, seen, decode, prefill);
            prefill.book.push(new WorkerMessage.PushKv(
                    target, reserved.lease(), reserved.endpoint(), reserved.cachedBlocks(), reserved.totalBlocks()));
            prefill.run();
            prefill.run();
            assertTrue(prefill.kv.free.size() < 3, "nothing is under way");
            prefill.book.cancel(target);
            decode.book.cancel(target);
            for (int i = 0; i < 500; i++) {
                prefill.run();
                decode.run();
            }
            assertEquals(3, prefill.kv.free.size());
            assertEquals(40, decode.kv.free.size());
            assertEquals(0, prefill.engine.stats().usedBlocks());
            assertEquals(0, decode.engine.stats().usedBlocks());
            assertInstanceOf(RequestMessage.Ended.class, await(RequestMessage.Ended.class, seen, prefill, decode));
        }
    }
}
