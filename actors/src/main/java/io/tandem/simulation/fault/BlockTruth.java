package io.tandem.simulation.fault;

import io.tandem.kvcache.BlockEvents;
import io.tandem.kvcache.FindableBlocks;
import java.util.ArrayList;
import java.util.List;
import org.agrona.collections.LongHashSet;

/**
 * What the prefix cache of one incarnation of a worker held after each of its block events, kept apart from all that is checked: a
 * plain set that takes the engine's changes as they come.
 */
final class BlockTruth {

    private final LongHashSet held = new LongHashSet();
    private final List<List<long[]>> events = new ArrayList<>();
    private List<long[]> pending = new ArrayList<>();

    /** The engine's cache changed. */
    void changed(long[] words) {
        apply(held, words);
        pending.add(words);
    }

    /** Number of the latest event that was published. */
    void published(long lastId) {
        if (lastId > events.size() + 1) {
            throw new IllegalStateException("event " + lastId + " follows " + events.size());
        }
        if (lastId > events.size()) {
            events.add(pending);
            pending = new ArrayList<>();
        }
    }

    long lastId() {
        return events.size();
    }

    /** Whether everything was published. */
    boolean told() {
        return pending.isEmpty();
    }

    /** The engine's own list must be what its events come to. */
    void mustBe(FindableBlocks blocks) {
        LongHashSet listed = new LongHashSet();
        for (long key : blocks.keys()) {
            listed.add(key);
        }
        if (!listed.equals(held)) {
            throw new IllegalStateException(
                    "the engine's cache holds " + listed.size() + " blocks, its events come to another " + held.size());
        }
    }

    private static void apply(LongHashSet set, long[] words) {
        BlockEvents.read(words, words.length, new BlockEvents.Visitor() {
            @Override
            public void stored(long parent, int position, long[] keys, int from, int count) {
                for (int i = from; i < from + count; i++) {
                    set.add(keys[i]);
                }
            }

            @Override
            public void removed(long[] keys, int from, int count) {
                for (int i = from; i < from + count; i++) {
                    set.remove(keys[i]);
                }
            }

            @Override
            public void cleared() {
                set.clear();
            }
        });
    }

    /** What was held after a certain event, which may be a later one each time. */
    final class View {
        private final LongHashSet set = new LongHashSet();
        private long id;

        void after(long eventId) {
            if (eventId < id) {
                set.clear();
                id = 0;
            }
            while (id < eventId) {
                events.get((int) id++).forEach(words -> apply(set, words));
            }
        }

        boolean holds(long key) {
            return set.contains(key);
        }

        int size() {
            return set.size();
        }

        boolean isOf(BlockTruth truth) {
            return truth == BlockTruth.this;
        }
    }
}
