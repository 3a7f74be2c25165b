package io.tandem.routing;

import io.tandem.kvcache.BlockEvents;
import io.tandem.routing.BlockFeedMessage.Events;
import io.tandem.routing.BlockFeedMessage.Snapshot;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Keeps a {@link PrefixIndex} true to what the workers say. Each worker numbers its events; this class takes them in that
 * order and no other, and says what to ask a worker for when some are missing: the events from a number on, or all it holds
 * when it is new here. What it believes of a worker is a prefix of that worker's history, so what the index says was true once,
 * and is true again when the worker was heard out.
 *
 * <p>One thread writes; {@link #find} and {@link #isLoaded} are for any thread. No clock, no actor.
 */
public final class BlockFeed {

    /**
     * To be asked of a worker.
     *
     * @param fromId number of the first event wanted; 0 = everything it holds
     */
    public record Fetch(String gpuId, long epoch, long fromId) {}

    /** Counts since the start. */
    public record Counts(long events, long words, long gaps, long duplicates, long snapshots, long refused) {}

    /** The index as it was a moment ago: distinct blocks it knows, those it gave up for room, and its memory. */
    public record IndexSize(long blocks, long evictedBlocks, long bytes) {}

    private record Published(Counts counts, IndexSize size) {}

    private final PrefixIndex index;
    private final long retryNanos;
    private final Map<String, Cursor> cursors = new HashMap<>();
    private final BitSet slotsInUse = new BitSet();
    private final ThreadLocal<PrefixMatch> matches;
    private volatile Map<String, Known> known = Map.of();
    private volatile Published published;
    private long events;
    private long words;
    private long gaps;
    private long duplicates;
    private long snapshots;
    private long refused;

    /** What readers see of a worker. */
    private record Known(int slot, long epoch, boolean loaded) {}

    /** How far one incarnation of a worker was heard. */
    private static final class Cursor {
        final int slot;
        final long epoch;

        /** All of it up to {@code lastId} is in the index. */
        boolean loaded;

        long lastId;

        /** Number of the latest event that is known to exist. */
        long announced;

        /** The snapshot that is coming in: its last event and the part that is next; 0 = none. */
        long loadingId;

        int nextPart;

        /** When it was last asked for something; it is asked again only {@code retryNanos} later. */
        long askedNanos;

        boolean asked;

        Cursor(int slot, long epoch) {
            this.slot = slot;
            this.epoch = epoch;
        }
    }

    /**
     * @param index nobody else writes to it
     * @param retryNanos patience with an answer, and with an event that is announced and does not come
     */
    public BlockFeed(PrefixIndex index, long retryNanos) {
        this.index = index;
        this.retryNanos = retryNanos;
        matches = ThreadLocal.withInitial(() -> new PrefixMatch(index.maxWorkers()));
        publish();
    }

    // ---- events; the one writer

    /** The live workers as of now: who is new is asked for everything, who is gone is forgotten. */
    public List<Fetch> onWorkers(List<WorkerDirectory.Entry> entries, long nowNanos) {
        List<Fetch> fetches = new ArrayList<>(0);
        Set<String> live = new HashSet<>();
        for (WorkerDirectory.Entry entry : entries) {
            if (entry.live()) {
                String gpu = entry.report().gpuId();
                live.add(gpu);
                Cursor cursor = cursor(gpu, entry.report().epoch());
                if (cursor != null) {
                    announce(cursor, entry.report().facts().lastBlockEvent(), nowNanos);
                    fetch(gpu, cursor, nowNanos).ifPresent(fetches::add);
                }
            }
        }
        for (String gpu : List.copyOf(cursors.keySet())) {
            if (!live.contains(gpu)) {
                forget(gpu);
            }
        }
        publish();
        return fetches;
    }

    /** An event came. */
    public Optional<Fetch> onEvents(Events m, long nowNanos) {
        Cursor cursor = cursors.get(m.gpuId());
        if (cursor == null || cursor.epoch != m.epoch()) {
            return Optional.empty(); // Its report will come, or another incarnation is here already.
        }
        announce(cursor, m.id(), nowNanos);
        if (!cursor.loaded) {
            return Optional.empty();
        }
        if (m.id() <= cursor.lastId) {
            duplicates++;
            return Optional.empty();
        }
        if (m.id() > cursor.lastId + 1) {
            gaps += cursor.asked ? 0 : 1;
            return ask(m.gpuId(), cursor, nowNanos);
        }
        if (!apply(cursor, m.words())) {
            return restart(m.gpuId(), cursor, nowNanos);
        }
        cursor.lastId = m.id();
        cursor.asked &= cursor.lastId < cursor.announced;
        events++;
        return Optional.empty();
    }

    /** A part of everything a worker holds. */
    public Optional<Fetch> onSnapshot(Snapshot m, long nowNanos) {
        Cursor cursor = cursors.get(m.gpuId());
        if (cursor == null || cursor.epoch != m.epoch() || cursor.loaded && m.lastId() <= cursor.lastId) {
            return Optional.empty();
        }
        if (m.part() == 0) {
            index.clear(cursor.slot);
            setLoaded(m.gpuId(), cursor, false);
            cursor.loadingId = m.lastId();
            cursor.nextPart = 0;
        }
        if (m.lastId() != cursor.loadingId || m.part() != cursor.nextPart) {
            return Optional.empty(); // A part is missing: the whole is asked for again when patience ends.
        }
        cursor.nextPart++;
        if (!apply(cursor, m.words())) {
            return restart(m.gpuId(), cursor, nowNanos);
        }
        if (cursor.nextPart == m.parts()) {
            snapshots++;
            cursor.lastId = m.lastId();
            cursor.loadingId = 0;
            cursor.asked = false;
            setLoaded(m.gpuId(), cursor, true);
            if (cursor.announced > cursor.lastId) {
                return ask(m.gpuId(), cursor, nowNanos);
            }
        }
        return Optional.empty();
    }

    /**
     * The cursor of the incarnation that lives; null when there are too many workers. Its epoch may be below that of the one
     * before, whose node's clock was ahead.
     */
    private Cursor cursor(String gpu, long epoch) {
        Cursor cursor = cursors.get(gpu);
        if (cursor != null && cursor.epoch == epoch) {
            return cursor;
        }
        forget(gpu);
        int slot = slotsInUse.nextClearBit(0);
        if (slot >= index.maxWorkers()) {
            return null;
        }
        slotsInUse.set(slot);
        cursor = new Cursor(slot, epoch);
        cursors.put(gpu, cursor);
        setLoaded(gpu, cursor, false);
        return cursor;
    }

    private void forget(String gpu) {
        Cursor cursor = cursors.remove(gpu);
        if (cursor != null) {
            index.clear(cursor.slot);
            slotsInUse.clear(cursor.slot);
            Map<String, Known> next = new HashMap<>(known);
            next.remove(gpu);
            known = Map.copyOf(next);
        }
    }

    private void setLoaded(String gpu, Cursor cursor, boolean loaded) {
        cursor.loaded = loaded;
        Map<String, Known> next = new HashMap<>(known);
        next.put(gpu, new Known(cursor.slot, cursor.epoch, loaded));
        known = Map.copyOf(next);
    }

    /** An event exists; from when on it is missing is remembered, for it may still be on its way. */
    private static void announce(Cursor cursor, long id, long nowNanos) {
        if (id > cursor.announced) {
            if (cursor.loaded && cursor.announced <= cursor.lastId && !cursor.asked) {
                cursor.askedNanos = nowNanos;
            }
            cursor.announced = id;
        }
    }

    /** What a worker is to be asked for now, if anything. */
    private Optional<Fetch> fetch(String gpu, Cursor cursor, long nowNanos) {
        boolean behind = cursor.announced > cursor.lastId;
        if (cursor.loaded && !behind) {
            return Optional.empty();
        }
        boolean patient = (cursor.asked || cursor.loaded) && nowNanos - cursor.askedNanos < retryNanos;
        if (patient) {
            return Optional.empty();
        }
        cursor.asked = false;
        gaps += cursor.loaded ? 1 : 0;
        return ask(gpu, cursor, nowNanos);
    }

    private Optional<Fetch> ask(String gpu, Cursor cursor, long nowNanos) {
        if (cursor.asked && nowNanos - cursor.askedNanos < retryNanos) {
            return Optional.empty();
        }
        cursor.asked = true;
        cursor.askedNanos = nowNanos;
        return Optional.of(new Fetch(gpu, cursor.epoch, cursor.loaded ? cursor.lastId + 1 : 0));
    }

    /** What came is no event list: nothing of this worker can be trusted until it said all again. */
    private Optional<Fetch> restart(String gpu, Cursor cursor, long nowNanos) {
        refused++;
        index.clear(cursor.slot);
        cursor.loadingId = 0;
        cursor.asked = false;
        setLoaded(gpu, cursor, false);
        return ask(gpu, cursor, nowNanos);
    }

    private boolean apply(Cursor cursor, long[] changes) {
        words += changes.length;
        try {
            BlockEvents.read(changes, changes.length, new BlockEvents.Visitor() {
                @Override
                public void stored(long parent, int position, long[] keys, int from, int count) {
                    index.store(cursor.slot, parent, position, keys, from, count);
                }

                @Override
                public void removed(long[] keys, int from, int count) {
                    index.remove(cursor.slot, keys, from, count);
                }

                @Override
                public void cleared() {
                    index.clear(cursor.slot);
                }
            });
            return true;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    private void publish() {
        published = new Published(counts(), new IndexSize(index.blocks(), index.evictedBlocks(), index.bytes()));
    }

    /** As of now; by the writer. */
    public Counts counts() {
        return new Counts(events, words, gaps, duplicates, snapshots, refused);
    }

    /** As of the latest look at the workers; any thread. */
    public Counts latestCounts() {
        return published.counts();
    }

    /** As of the latest look at the workers; any thread. */
    public IndexSize latestSize() {
        return published.size();
    }

    /**
     * How far an incarnation of a worker was heard.
     *
     * @param loaded whether all of it up to {@code lastId} is in the index
     */
    public record Heard(long epoch, boolean loaded, long lastId) {}

    /** How far a worker was heard; by the writer. Empty when it is not known. */
    public Optional<Heard> heard(String gpuId) {
        return Optional.ofNullable(cursors.get(gpuId)).map(c -> new Heard(c.epoch, c.loaded, c.lastId));
    }

    /** What the index says a worker holds; by the writer. */
    public void forEachHeld(String gpuId, PrefixIndex.HeldBlocks visitor) {
        Cursor cursor = cursors.get(gpuId);
        if (cursor != null) {
            index.forEachHeld(cursor.slot, visitor);
        }
    }

    // ---- look-ups; any thread

    /** Leading blocks of one prompt that each worker holds. Valid until the same thread looks up another one. */
    public static final class Depths {
        private final PrefixMatch match;
        private final Map<String, Known> workers;

        private Depths(PrefixMatch match, Map<String, Known> workers) {
            this.match = match;
            this.workers = workers;
        }

        public int of(String gpuId, long epoch) {
            Known worker = workers.get(gpuId);
            return worker == null || worker.epoch() != epoch ? 0 : match.depth(worker.slot());
        }
    }

    public Depths find(PromptKeys keys) {
        // The workers first: a slot that changes hands after that was emptied, and says too little, not too much.
        Map<String, Known> workers = known;
        PrefixMatch match = matches.get();
        index.find(keys.hashes(), 0, keys.hashes().length, match);
        return new Depths(match, workers);
    }

    /** Whether an incarnation of a worker was heard out at least once. */
    public boolean isLoaded(String gpuId, long epoch) {
        Known worker = known.get(gpuId);
        return worker != null && worker.epoch() == epoch && worker.loaded();
    }
}
