package io.tandem.transfer;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.agrona.MutableDirectBuffer;
import org.agrona.concurrent.UnsafeBuffer;

/**
 * Ordered streams between {@link InMemoryTransport}s of one JVM, with faults on demand. Nothing is lost, changed or late
 * unless a test says so. Safe from any thread.
 */
public final class InMemoryNetwork {
    private static final int MAX_MESSAGE_BYTES = 4096;
    private static final int MAX_WAITING_MESSAGES = 256;
    private static final long NOT_CONNECTED = -1;
    private static final long BACK_PRESSURED = -2;

    /** What becomes of one message. */
    public enum Fate {
        PASS,
        DROP,
        /** The last byte changes. */
        CORRUPT,
        DUPLICATE
    }

    /** Decides on each message. */
    @FunctionalInterface
    public interface Faults {
        /**
         * @param to name of the receiving transport
         * @param number messages sent before this one, on all streams
         * @param bytes length of the message
         */
        Fate fate(String to, long number, int bytes);
    }

    private final Map<String, ArrayDeque<byte[]>> waiting = new HashMap<>();
    private final Set<String> disconnected = new HashSet<>();
    private final Set<String> held = new HashSet<>();
    private final AtomicLong aheadNanos = new AtomicLong();
    private Faults faults = (to, number, bytes) -> Fate.PASS;
    private long messages;

    /** Applies to all messages sent from now on. */
    public synchronized void faults(Faults next) {
        faults = next;
    }

    /** From now on nothing reaches {@code name}, and those who send to it see it unconnected. */
    public synchronized void disconnect(String name) {
        disconnected.add(name);
    }

    /** Delays what is sent to {@code name} until {@link #release}. */
    public synchronized void hold(String name) {
        held.add(name);
    }

    /** Ends a {@link #hold}. */
    public synchronized void release(String name) {
        held.remove(name);
    }

    /** Moves the clock of all transports of this network forward. */
    public void advanceNanos(long nanos) {
        aheadNanos.addAndGet(nanos);
    }

    long nanoTime() {
        return System.nanoTime() + aheadNanos.get();
    }

    synchronized void attach(String name, int streamId) {
        if (waiting.putIfAbsent(key(name, streamId), new ArrayDeque<>()) != null) {
            throw new IllegalArgumentException("name '" + name + "' is taken on this network; choose another");
        }
    }

    Channels channels(String name, int streamId) {
        return new Ends(name, streamId);
    }

    private static String key(String name, int streamId) {
        return name + " " + streamId;
    }

    private synchronized boolean reachable(String name, int streamId) {
        return waiting.containsKey(key(name, streamId)) && !disconnected.contains(name);
    }

    private synchronized long room(String name, int streamId) {
        if (!reachable(name, streamId)) {
            return NOT_CONNECTED;
        }
        return waiting.get(key(name, streamId)).size() < MAX_WAITING_MESSAGES ? 1 : BACK_PRESSURED;
    }

    private synchronized void put(String name, int streamId, byte[] message) {
        ArrayDeque<byte[]> queue = waiting.get(key(name, streamId));
        Fate fate = faults.fate(name, messages++, message.length);
        if (queue == null || disconnected.contains(name) || fate == Fate.DROP) {
            return;
        }
        if (fate == Fate.CORRUPT) {
            message[message.length - 1] ^= 1;
        }
        queue.add(message);
        if (fate == Fate.DUPLICATE) {
            queue.add(message.clone());
        }
    }

    private synchronized byte[] take(String name, int streamId) {
        ArrayDeque<byte[]> queue = waiting.get(key(name, streamId));
        return queue == null || held.contains(name) || disconnected.contains(name) ? null : queue.poll();
    }

    private synchronized void detach(String name, int streamId) {
        waiting.remove(key(name, streamId));
    }

    /** The streams of one agent. */
    private final class Ends implements Channels {
        private final String name;
        private final int streamId;
        private final UnsafeBuffer view = new UnsafeBuffer(0, 0);

        Ends(String name, int streamId) {
            this.name = name;
            this.streamId = streamId;
        }

        @Override
        public Outbound connect(String wire, String channel, int stream) {
            return wire.equals(InMemoryTransport.WIRE) ? new Stream(channel, stream) : null;
        }

        @Override
        public Inbound inbound() {
            return (handler, limit) -> {
                int polled = 0;
                for (byte[] m = take(name, streamId); m != null; m = polled < limit ? take(name, streamId) : null) {
                    view.wrap(m);
                    handler.onMessage(view, 0, m.length);
                    polled++;
                }
                return polled;
            };
        }

        @Override
        public int doWork() {
            return 0;
        }

        @Override
        public void close() {
            detach(name, streamId);
        }
    }

    private final class Stream implements Channels.Outbound {
        private final String to;
        private final int streamId;
        private final UnsafeBuffer claim = new UnsafeBuffer(0, 0);
        private boolean closed;

        Stream(String to, int streamId) {
            this.to = to;
            this.streamId = streamId;
        }

        @Override
        public long tryClaim(int length) {
            if (closed) {
                return CLOSED;
            }
            long room = room(to, streamId);
            if (room > 0) {
                claim.wrap(new byte[length]);
            }
            return room;
        }

        @Override
        public MutableDirectBuffer buffer() {
            return claim;
        }

        @Override
        public int offset() {
            return 0;
        }

        @Override
        public void commit() {
            put(to, streamId, claim.byteArray());
        }

        @Override
        public boolean isConnected() {
            return !closed && reachable(to, streamId);
        }

        @Override
        public int maxPayload() {
            return MAX_MESSAGE_BYTES;
        }

        @Override
        public void close() {
            closed = true;
        }
    }
}
