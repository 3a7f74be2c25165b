package io.tandem.routing;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** What {@link PrefixIndex} must answer, said as plainly as can be: a set of hashes for each worker. */
final class ReferenceIndex {
    private final List<Set<Long>> held = new ArrayList<>();

    ReferenceIndex(int workers) {
        for (int i = 0; i < workers; i++) {
            held.add(new HashSet<>());
        }
    }

    int store(int worker, long parent, int position, long[] hashes) {
        if (position == PrefixIndex.UNKNOWN_POSITION && !held.get(worker).contains(parent)) {
            return PrefixIndex.UNKNOWN_PARENT;
        }
        for (long hash : hashes) {
            held.get(worker).add(hash);
        }
        return hashes.length;
    }

    int remove(int worker, long[] hashes) {
        int removed = 0;
        for (long hash : hashes) {
            removed += held.get(worker).remove(hash) ? 1 : 0;
        }
        return removed;
    }

    void clear(int worker) {
        held.get(worker).clear();
    }

    Set<Long> held(int worker) {
        return held.get(worker);
    }

    int depth(int worker, long[] chain) {
        int depth = 0;
        while (depth < chain.length && held.get(worker).contains(chain[depth])) {
            depth++;
        }
        return depth;
    }

    int distinct() {
        Set<Long> all = new HashSet<>();
        held.forEach(all::addAll);
        return all.size();
    }
}
