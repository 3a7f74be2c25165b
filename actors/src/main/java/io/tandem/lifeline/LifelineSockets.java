package io.tandem.lifeline;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketOption;
import java.net.StandardSocketOptions;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import jdk.net.ExtendedSocketOptions;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The idle connections of one node: a listener that greets whoever connects and then says nothing, and connections to others'
 * listeners. One thread, which sleeps while nothing happens. What it sees is for {@link Lifelines} to judge. Should it fail, all
 * connections are told as ended and it begins anew under the same port: who watches this process connects again and is greeted
 * as before.
 */
public final class LifelineSockets implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(LifelineSockets.class);
    private static final long MAGIC = 0x54414E_44454D_4C31L; // "TANDEML1"
    private static final int GREETING_BYTES = 2 * Long.BYTES;

    /** Calls from other threads that wait, per connection: opened and closed. */
    private static final int CALLS_A_CONNECTION = 2;

    private static final int KEEP_ALIVE_PROBES = 3;
    private static final int BACKLOG = 128;

    /** What becomes of a connection; on this class's thread, which must not be blocked. */
    public interface Events {
        /** @param address where the other one was found, for the next connection to it */
        void opened(long line, long processId, String address);

        void refused(long line);

        void failed(long line, String why);

        /** An open one has ended. */
        void closed(long line);
    }

    private static final class Outgoing {
        final long line;
        final Events events;
        final SocketChannel channel;
        final long deadlineNanos;
        final ByteBuffer greeting = ByteBuffer.allocate(GREETING_BYTES);
        boolean open;

        Outgoing(long line, Events events, SocketChannel channel, long deadlineNanos) {
            this.line = line;
            this.events = events;
            this.channel = channel;
            this.deadlineNanos = deadlineNanos;
        }
    }

    private final LifelineSettings settings;
    private final InetAddress address;
    private final int port;
    private final long processId = ThreadLocalRandom.current().nextLong();
    private final String refusal;
    private final ArrayBlockingQueue<Runnable> calls;
    private final Map<Long, Outgoing> outgoing = new HashMap<>();
    private final Set<SocketChannel> accepted = new HashSet<>();
    private final Thread thread;

    // Of the thread; others only wake the selector up.
    private ServerSocketChannel listener;
    private volatile Selector selector;
    private volatile boolean closing;

    private LifelineSockets(LifelineSettings settings, Selector selector, ServerSocketChannel listener)
            throws IOException {
        this.settings = settings;
        this.selector = selector;
        this.listener = listener;
        InetSocketAddress bound = (InetSocketAddress) listener.getLocalAddress();
        address = bound.getAddress();
        port = bound.getPort();
        refusal = refusalText();
        calls = new ArrayBlockingQueue<>(CALLS_A_CONNECTION * settings.maxConnections() + 1);
        listener.configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        thread = Thread.ofPlatform().daemon(true).name("lifelines").start(this::run);
    }

    /**
     * Begins to listen.
     *
     * @param host address to bind to
     * @throws IllegalArgumentException when the port cannot be had
     */
    public static LifelineSockets open(String host, LifelineSettings settings) {
        Selector selector = null;
        ServerSocketChannel listener = null;
        try {
            selector = Selector.open();
            listener = ServerSocketChannel.open();
            listener.bind(new InetSocketAddress(InetAddress.getByName(host), settings.port()), BACKLOG);
            return new LifelineSockets(settings, selector, listener);
        } catch (IOException e) {
            closeAll(listener, selector);
            throw new IllegalArgumentException(
                    "tandem.lifeline.port " + settings.port() + " cannot be bound on " + host + " (" + e.getMessage()
                            + "); choose another port, 0 for a free one, or tandem.lifeline.enabled = off",
                    e);
        }
    }

    /** What the others are to be told. */
    public LifelineRole role() {
        return new LifelineRole(port, processId);
    }

    /** Connects and awaits the greeting; answered by one of opened, refused and failed. From any thread. */
    public void connect(long line, String host, int toPort, Events events) {
        // A name may take seconds to be resolved, which must delay nobody else.
        Thread.ofVirtual().name("lifeline-to-" + host).start(() -> {
            try {
                InetSocketAddress to = new InetSocketAddress(InetAddress.getByName(host), toPort);
                call(() -> begin(line, to, events), () -> events.failed(line, "too many connections at once"));
            } catch (UnknownHostException e) {
                events.failed(line, "the host " + host + " is not known");
            } catch (IllegalArgumentException e) {
                events.failed(line, e.toString());
            }
        });
    }

    /** Gives a connection up; nothing more is told of it. From any thread. */
    public void disconnect(long line) {
        call(
                () -> {
                    Outgoing out = outgoing.remove(line);
                    if (out != null) {
                        closeAll(out.channel);
                    }
                },
                () -> LOG.warn("a lifeline stays open: too many calls at once"));
    }

    /** Has something done on the thread. */
    void call(Runnable what, Runnable full) {
        if (closing || !calls.offer(what)) {
            full.run();
        }
        selector.wakeup();
    }

    /** Ends all connections: for the others this process is gone then. */
    @Override
    public void close() {
        closing = true;
        selector.wakeup();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    // ---- its thread

    private void run() {
        while (!closing) {
            try {
                serve();
            } catch (IOException | RuntimeException | Error e) {
                LOG.error("lifelines fail and begin anew; until then dead processes are noticed by time-outs", e);
                beginAnew();
            }
        }
        outgoing.values().forEach(out -> closeAll(out.channel));
        accepted.forEach(LifelineSockets::closeAll);
        closeAll(listener, selector);
    }

    private void serve() throws IOException {
        while (!closing) {
            for (Runnable call = calls.poll(); call != null; call = calls.poll()) {
                call.run();
            }
            expire();
            selector.select(this::onReady, millisToNextDeadline());
        }
    }

    /** Until it succeeds, or is told to end. The listener stays where it can: nobody is refused meanwhile. */
    private void beginAnew() {
        List<Outgoing> ended = List.copyOf(outgoing.values());
        ended.forEach(out -> end(out, new IOException("lifelines begin anew")));
        accepted.forEach(LifelineSockets::closeAll);
        accepted.clear();
        while (!closing) {
            try {
                closeAll(selector);
                selector = Selector.open();
                if (!listener.isOpen()) {
                    listener = ServerSocketChannel.open();
                    listener.bind(new InetSocketAddress(address, port), BACKLOG);
                    listener.configureBlocking(false);
                }
                listener.register(selector, SelectionKey.OP_ACCEPT);
                return;
            } catch (IOException e) {
                LOG.warn("no lifelines: {}; dead processes are noticed by time-outs", e.toString());
                closeAll(listener);
                pause();
            }
        }
    }

    private void pause() {
        try {
            Thread.sleep(settings.retryInterval());
        } catch (InterruptedException e) {
            LOG.debug("not paused: {}", e.toString());
        }
    }

    private long millisToNextDeadline() {
        long next = Long.MAX_VALUE;
        long now = System.nanoTime();
        for (Outgoing out : outgoing.values()) {
            if (!out.open) {
                next = Math.min(next, Math.max(1, TimeUnit.NANOSECONDS.toMillis(out.deadlineNanos - now) + 1));
            }
        }
        return next == Long.MAX_VALUE ? 0 : next;
    }

    private void expire() {
        long now = System.nanoTime();
        for (Outgoing out : List.copyOf(outgoing.values())) {
            if (!out.open && now - out.deadlineNanos >= 0) {
                fail(out, "no answer within " + settings.connectTimeout().toMillis() + " ms");
            }
        }
    }

    private void onReady(SelectionKey key) {
        if (!key.isValid()) {
            return;
        }
        if (key.isAcceptable()) {
            accept();
        } else if (key.attachment() instanceof Outgoing out) {
            onReady(out, key);
        } else {
            onAcceptedReady((SocketChannel) key.channel());
        }
    }

    // ---- connections from others

    private void accept() {
        SocketChannel channel = null;
        try {
            channel = listener.accept();
            if (channel == null) {
                return;
            }
            if (accepted.size() >= settings.maxConnections()) {
                closeAll(channel);
                return;
            }
            channel.configureBlocking(false);
            keepAlive(channel);
            ByteBuffer greeting = ByteBuffer.allocate(GREETING_BYTES)
                    .putLong(MAGIC)
                    .putLong(processId)
                    .flip();
            channel.write(greeting);
            channel.register(selector, SelectionKey.OP_READ);
            accepted.add(channel);
        } catch (IOException e) {
            LOG.debug("a lifeline was not taken: {}", e.toString());
            closeAll(channel);
            if (!listener.isOpen()) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** Nothing is said on a lifeline: what can be read is its end, or no lifeline. */
    private void onAcceptedReady(SocketChannel channel) {
        accepted.remove(channel);
        closeAll(channel);
    }

    // ---- connections to others

    private void begin(long line, InetSocketAddress to, Events events) {
        SocketChannel channel = null;
        try {
            channel = SocketChannel.open();
            channel.configureBlocking(false);
            keepAlive(channel);
            Outgoing out = new Outgoing(
                    line,
                    events,
                    channel,
                    System.nanoTime() + settings.connectTimeout().toNanos());
            boolean connected = channel.connect(to);
            channel.register(selector, connected ? SelectionKey.OP_READ : SelectionKey.OP_CONNECT, out);
            outgoing.put(line, out);
        } catch (IOException e) {
            closeAll(channel);
            tellFailure(line, events, e);
        } catch (RuntimeException e) {
            // An address of a kind that is turned off here, say: no reason to begin anew with all others.
            closeAll(channel);
            tellFailure(line, events, new IOException(e));
        }
    }

    private void onReady(Outgoing out, SelectionKey key) {
        try {
            if (key.isConnectable()) {
                out.channel.finishConnect();
                key.interestOps(SelectionKey.OP_READ);
                return;
            }
            read(out);
        } catch (IOException e) {
            end(out, e);
        }
    }

    private void read(Outgoing out) throws IOException {
        if (out.open) {
            // Its end, or somebody who does not know what a lifeline is.
            end(out, new IOException("the connection ended"));
            return;
        }
        if (out.channel.read(out.greeting) < 0) {
            fail(out, "the connection ended without a greeting");
        } else if (!out.greeting.hasRemaining()) {
            out.greeting.flip();
            if (out.greeting.getLong() != MAGIC) {
                fail(out, "something else answers there");
                return;
            }
            out.open = true;
            String found = ((InetSocketAddress) out.channel.getRemoteAddress())
                    .getAddress()
                    .getHostAddress();
            long id = out.greeting.getLong();
            tell(() -> out.events.opened(out.line, id, found));
        }
    }

    private void end(Outgoing out, IOException why) {
        outgoing.remove(out.line);
        closeAll(out.channel);
        if (out.open) {
            tell(() -> out.events.closed(out.line));
        } else {
            tellFailure(out.line, out.events, why);
        }
    }

    private void fail(Outgoing out, String why) {
        outgoing.remove(out.line);
        closeAll(out.channel);
        tell(() -> out.events.failed(out.line, why));
    }

    private void tellFailure(long line, Events events, IOException e) {
        if (e instanceof ConnectException && refusal.equals(e.getMessage())) {
            tell(() -> events.refused(line));
        } else {
            tell(() -> events.failed(line, e.getMessage() == null ? e.toString() : e.getMessage()));
        }
    }

    /** What a listener of events does wrong is not the sockets' failure. */
    private static void tell(Runnable event) {
        try {
            event.run();
        } catch (RuntimeException e) {
            LOG.error("an event of a lifeline was not taken", e);
        }
    }

    // ---- sockets

    /**
     * How this system says that nobody listens. The JDK has one exception for that and for "network is unreachable", which means
     * something else here, and the text depends on system and language: so it is asked for once.
     */
    private static String refusalText() throws IOException {
        InetSocketAddress nobody;
        try (ServerSocketChannel probe = ServerSocketChannel.open()) {
            probe.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            nobody = (InetSocketAddress) probe.getLocalAddress();
        }
        try (SocketChannel channel = SocketChannel.open(nobody)) {
            LOG.debug("{} was taken again at once", channel);
        } catch (ConnectException e) {
            return String.valueOf(e.getMessage());
        }
        return "Connection refused";
    }

    /** So that whatever stands between two nodes does not forget a connection that says nothing. */
    private void keepAlive(SocketChannel channel) throws IOException {
        channel.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
        int seconds = (int) settings.keepAlive().toSeconds();
        set(channel, ExtendedSocketOptions.TCP_KEEPIDLE, seconds);
        set(channel, ExtendedSocketOptions.TCP_KEEPINTERVAL, seconds);
        set(channel, ExtendedSocketOptions.TCP_KEEPCOUNT, KEEP_ALIVE_PROBES);
    }

    private static void set(SocketChannel channel, SocketOption<Integer> option, int value) throws IOException {
        if (channel.supportedOptions().contains(option)) {
            channel.setOption(option, value);
        }
    }

    private static void closeAll(AutoCloseable... resources) {
        for (AutoCloseable resource : resources) {
            try {
                if (resource != null) {
                    resource.close();
                }
            } catch (Exception e) {
                LOG.debug("not closed: {}", e.toString());
            }
        }
    }
}
