package io.tandem.worker;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.compute.simulated.TimingModel;
import io.tandem.engine.Engine;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineSettings;
import io.tandem.engine.EngineTurns;
import io.tandem.kvcache.BlockSum;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import io.tandem.kvcache.PeerBlocks;
import io.tandem.model.ModelConfig;
import io.tandem.model.RopeScaling;
import io.tandem.request.RequestMessage;
import io.tandem.transfer.InMemoryNetwork;
import io.tandem.transfer.InMemoryTransport;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.apache.pekko.actor.typed.ActorRef;

/** A worker without its actor, whose blocks lie behind windows. */
final class WindowedWorker implements WorkBook.Watcher, AutoCloseable {
    static final long EPOCH = 7;

    final ArrayDeque<WorkEvent> events = new ArrayDeque<>();
    final ArrayDeque<WorkEvent> late = new ArrayDeque<>();
    int runs;
    final SimulatedBackend backend;
    final Engine engine;
    final EngineTurns turns;
    final Windowed kv;
    final InMemoryTransport transport;
    final WorkBook book;

    WindowedWorker(InMemoryNetwork network, String id, EngineRole role, int windows) {
        this(network, id, role, windows, false);
    }

    WindowedWorker(InMemoryNetwork network, String id, EngineRole role, int windows, boolean direct) {
        EngineSettings settings = EngineSettings.from(ConfigFactory.parseString(
                        "tandem.engine { kv-blocks = 64, prefill-chunk-tokens = 80, verify-each-step = on }")
                .withFallback(ConfigFactory.load()));
        ModelConfig model = new ModelConfig(
                "llama", 1000, 8, 1, 1, 1, 8, 8, 1e-5f, 1e4, new RopeScaling.None(), false, 4096, true, 1, List.of(2));
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

    /** Blocks behind windows; a copy takes one turn. */
    static final class Windowed implements KvMemory {
        private final KvMemory blocks;
        final ArrayDeque<MemorySegment> free = new ArrayDeque<>();
        final ArrayDeque<Runnable> copies = new ArrayDeque<>();
        private final int windows;
        int fewest;
        int groups = 1;
        int groupsFilled;
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
    static final class Peers implements PeerBlocks {
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
}
