package io.tandem.routing;

import java.util.LinkedHashMap;
import java.util.Map;

/** Pairs of workers of which something was seen lately; after a while it is forgotten. Bounded; the oldest goes first. Not thread-safe. */
final class RecentPairs {
    private static final int PAIRS_MAX = 4_096;

    private record Pair(String from, String to) {}

    private final long keptNanos;

    /** Until when; those seen first are first. */
    private final LinkedHashMap<Pair, Long> until = new LinkedHashMap<>();

    /** @param keptNanos how long a pair is known after it was seen */
    RecentPairs(long keptNanos) {
        this.keptNanos = keptNanos;
    }

    void add(String from, String to, long nowNanos) {
        Pair pair = new Pair(from, to);
        until.remove(pair);
        until.put(pair, nowNanos + keptNanos);
        while (!until.isEmpty() && (until.size() > PAIRS_MAX || over(until.firstEntry(), nowNanos))) {
            until.pollFirstEntry();
        }
    }

    void remove(String from, String to) {
        until.remove(new Pair(from, to));
    }

    private static boolean over(Map.Entry<Pair, Long> entry, long nowNanos) {
        return nowNanos - entry.getValue() >= 0;
    }

    boolean isEmpty() {
        return until.isEmpty();
    }

    boolean contains(String from, String to, long nowNanos) {
        Long end = until.get(new Pair(from, to));
        return end != null && nowNanos - end < 0;
    }
}
