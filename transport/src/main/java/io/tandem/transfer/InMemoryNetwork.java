package io.tandem.transfer;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
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

    /** State of the way from one transport to another. */
    public enum Link {
        OPEN,
        /** What is sent waits, as with packets that are lost and sent again. */
        HELD,
        /** What was on its way is lost, and the sender sees the receiver unconnected. */
        CUT
    }

    private record Message(String from, byte[] bytes) {}

    private final Map<String, ArrayDeque<Message>> waiting = new HashMap<>();
    private final Set<String> disconnected = new HashSet<>();
    private final Set<String> held = new HashSet<>();
    private final Map<String, Link> links = new HashMap<>();
    private final AtomicLong aheadNanos = new AtomicLong();
    private final LongSupplier clock;
    private final Map<String, Runnable> arrivals = new HashMap<>();
    private Faults faults = (to, number, bytes) -> Fate.PASS;
    private long messages;

    /** In real time. */
    public InMemoryNetwork() {
        this(System::nanoTime);
    }

    /** @param clock what its transports take for {@link System#nanoTime()} */
    public InMemoryNetwork(LongSupplier clock) {
        this.clock = clock;
    }

    /** Applies to all messages sent from now on. */
    public synchronized void faults(Faults next) {
        faults = next;
    }

    /** As with a process that dies: nothing reaches {@code name} or leaves it, and who sends to it sees it unconnected. */
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

    /** Has {@code arrival} called, on the sender's thread, whenever something is sent to {@code name}. */
    public synchronized void onMessage(String name, Runnable arrival) {
        arrivals.put(name, arrival);
    }

    /** Whether something that can be taken waits for {@code name}. */
    public synchronized boolean waits(String name) {
        for (Map.Entry<String, ArrayDeque<Message>> queue : waiting.entrySet()) {
            if (queue.getKey().startsWith(name + " ") && !queue.getValue().isEmpty()) {
                return true;
            }
        }
        return false;
    }

    /** Sets one direction between two transports; OPEN unless set. */
    public synchronized void link(String from, String to, Link state) {
        links.put(link(from, to), state);
        if (state == Link.CUT) {
            waiting.forEach((key, queue) -> {
                if (key.startsWith(to + " ")) {
                    queue.removeIf(m -> m.from().equals(from));
                }
            });
        }
    }

    private static String link(String from, String to) {
        return from + " > " + to;
    }

    private Link state(String from, String to) {
        return links.getOrDefault(link(from, to), Link.OPEN);
    }

    /** Moves the clock of all transports of this network forward. */
    public void advanceNanos(long nanos) {
        aheadNanos.addAndGet(nanos);
    }

    long nanoTime() {
        return clock.getAsLong() + aheadNanos.get();
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

    private synchronized boolean reachable(String from, String to, int streamId) {
        return waiting.containsKey(key(to, streamId)) && !disconnected.contains(to) && state(from, to) != Link.CUT;
    }

    private synchronized long room(String from, String to, int streamId) {
        if (!reachable(from, to, streamId)) {
            return NOT_CONNECTED;
        }
        return waiting.get(key(to, streamId)).size() < MAX_WAITING_MESSAGES ? 1 : BACK_PRESSURED;
    }

    private synchronized void put(String from, String to, int streamId, byte[] message) {
        ArrayDeque<Message> queue = waiting.get(key(to, streamId));
        Fate fate = faults.fate(to, messages++, message.length);
        if (queue == null
                || disconnected.contains(from)
                || disconnected.contains(to)
                || state(from, to) == Link.CUT
                || fate == Fate.DROP) {
            return;
        }
        if (fate == Fate.CORRUPT) {
            message[message.length - 1] ^= 1;
        }
        queue.add(new Message(from, message));
        if (fate == Fate.DUPLICATE) {
            queue.add(new Message(from, message.clone()));
        }
        Runnable arrival = arrivals.get(to);
        if (arrival != null) {
            arrival.run();
        }
    }

    private synchronized byte[] take(String name, int streamId) {
        ArrayDeque<Message> queue = waiting.get(key(name, streamId));
        if (queue == null || held.contains(name) || disconnected.contains(name)) {
            return null;
        }
        for (Iterator<Message> all = queue.iterator(); all.hasNext(); ) {
            Message m = all.next();
            if (state(m.from(), name) == Link.OPEN) {
                all.remove();
                return m.bytes();
            }
        }
        return null;
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
            return wire.equals(InMemoryTransport.WIRE) ? new Stream(name, channel, stream) : null;
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
        private final String from;
        private final String to;
        private final int streamId;
        private final UnsafeBuffer claim = new UnsafeBuffer(0, 0);
        private boolean closed;

        Stream(String from, String to, int streamId) {
            this.from = from;
            this.to = to;
            this.streamId = streamId;
        }

        @Override
        public long tryClaim(int length) {
            if (closed) {
                return CLOSED;
            }
            long room = room(from, to, streamId);
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
            put(from, to, streamId, claim.byteArray());
        }

        @Override
        public boolean isConnected() {
            return !closed && reachable(from, to, streamId);
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
