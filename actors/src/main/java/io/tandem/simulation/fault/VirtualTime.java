package io.tandem.simulation.fault;

import java.util.PriorityQueue;

/** Events in order of time, those of one time in order of their making; so a seed always gives the same run. */
final class VirtualTime {
    private record Event(long atNanos, long number, Runnable action) implements Comparable<Event> {
        @Override
        public int compareTo(Event other) {
            int byTime = Long.compare(atNanos, other.atNanos);
            return byTime != 0 ? byTime : Long.compare(number, other.number);
        }
    }

    private final PriorityQueue<Event> events = new PriorityQueue<>(256);
    private long nowNanos;
    private long made;
    private long carriedOut;

    long nowNanos() {
        return nowNanos;
    }

    long nowMillis() {
        return nowNanos / 1_000_000;
    }

    void at(long nanos, Runnable action) {
        events.add(new Event(Math.max(nanos, nowNanos), made++, action));
    }

    void after(long nanos, Runnable action) {
        at(nowNanos + nanos, action);
    }

    long carriedOut() {
        return carriedOut;
    }

    /** Carries the next event out; false when there is none. */
    boolean next() {
        Event event = events.poll();
        if (event == null) {
            return false;
        }
        nowNanos = event.atNanos;
        carriedOut++;
        event.action.run();
        return true;
    }
}
