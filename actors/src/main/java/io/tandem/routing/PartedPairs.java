package io.tandem.routing;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Pairs of workers between which a transfer found no way lately: they are not asked to work together for a while, then tried
 * again. Bounded; the oldest is forgotten first. Not thread-safe.
 */
final class PartedPairs {
    private static final int PAIRS_MAX = 4_096;

    private record Pair(String from, String to) {}

    private final long restNanos;

    /** Until when; those found parted first are first. */
    private final LinkedHashMap<Pair, Long> until = new LinkedHashMap<>();

    /** @param restNanos how long a pair is left alone */
    PartedPairs(long restNanos) {
        this.restNanos = restNanos;
    }

    void add(String from, String to, long nowNanos) {
        Pair pair = new Pair(from, to);
        until.remove(pair);
        until.put(pair, nowNanos + restNanos);
        while (until.size() > PAIRS_MAX || over(until.firstEntry(), nowNanos)) {
            until.pollFirstEntry();
        }
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
