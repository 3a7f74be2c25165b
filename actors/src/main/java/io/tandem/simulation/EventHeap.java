package io.tandem.simulation;

import java.util.Arrays;

/** A binary heap of (time, kind, number), all primitive. */
final class EventHeap {
    static final int PASS_END = 0;
    static final int TRANSFER_END = 1;

    private long[] nanos;
    private long[] order;
    private int[] payload;
    private int size;

    EventHeap(int capacity) {
        nanos = new long[capacity];
        order = new long[capacity];
        payload = new int[capacity];
    }

    boolean isEmpty() {
        return size == 0;
    }

    long nextNanos() {
        return nanos[0];
    }

    void add(long atNanos, int kind, int what) {
        if (size == nanos.length) {
            nanos = Arrays.copyOf(nanos, 2 * size);
            order = Arrays.copyOf(order, 2 * size);
            payload = Arrays.copyOf(payload, 2 * size);
        }
        long key = (long) kind << 32 | (what < 0 ? ~what : what);
        int at = size++;
        while (at > 0 && before(atNanos, key, (at - 1) / 2)) {
            move((at - 1) / 2, at);
            at = (at - 1) / 2;
        }
        set(at, atNanos, key, what);
    }

    int poll() {
        int first = payload[0];
        int last = --size;
        long lastNanos = nanos[last];
        long lastOrder = order[last];
        int at = 0;
        while (2 * at + 1 < size) {
            int child = 2 * at + 1;
            if (child + 1 < size && before(nanos[child + 1], order[child + 1], child)) {
                child++;
            }
            if (!before(nanos[child], order[child], lastNanos, lastOrder)) {
                break;
            }
            move(child, at);
            at = child;
        }
        set(at, lastNanos, lastOrder, payload[last]);
        return first;
    }

    private boolean before(long atNanos, long key, int other) {
        return before(atNanos, key, nanos[other], order[other]);
    }

    private static boolean before(long aNanos, long aOrder, long bNanos, long bOrder) {
        return aNanos < bNanos || aNanos == bNanos && aOrder < bOrder;
    }

    private void move(int from, int to) {
        set(to, nanos[from], order[from], payload[from]);
    }

    private void set(int at, long atNanos, long key, int what) {
        nanos[at] = atNanos;
        order[at] = key;
        payload[at] = what;
    }
}
