package io.tandem.transfer;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * A transport of the real agents over an {@link InMemoryNetwork}, for deterministic tests: nothing moves but by
 * {@link #deliver()}. The lease protocol is the very one that runs over Aeron.
 */
public final class InMemoryTransport extends AgentTransport {
    static final String WIRE = "memory";
    private static final int DATA_STREAM = 1;
    private static final int REPLY_STREAM = 2;
    private static final TransferLimits LIMITS = new TransferLimits(
            64,
            256,
            16,
            TimeUnit.SECONDS.toNanos(1),
            TransferLimits.LinkPatience.of(Duration.ofMillis(600)),
            TimeUnit.SECONDS.toNanos(5));

    private final BlockSender sender;
    private final BlockReceiver receiver;

    private InMemoryTransport(
            TransferEndpoint endpoint,
            Counters counters,
            ConcurrentHashMap<LeaseId, SendLease> sends,
            ConcurrentHashMap<Long, ReceiveLease> receives,
            BlockSender sender,
            BlockReceiver receiver) {
        super(endpoint, LIMITS, counters, sends, receives, sender, receiver);
        this.sender = sender;
        this.receiver = receiver;
    }

    /**
     * A transport known to the others of {@code network} by {@code name}.
     *
     * @throws IllegalArgumentException when the name is taken
     */
    public static InMemoryTransport start(InMemoryNetwork network, String name) {
        network.attach(name, DATA_STREAM);
        network.attach(name, REPLY_STREAM);
        TransferEndpoint endpoint = new TransferEndpoint(WIRE, List.of(name), DATA_STREAM, "memory");
        Counters counters = new Counters();
        ConcurrentHashMap<LeaseId, SendLease> sends = new ConcurrentHashMap<>();
        ConcurrentHashMap<Long, ReceiveLease> receives = new ConcurrentHashMap<>();
        BlockSender sender = new BlockSender(
                network.channels(name, REPLY_STREAM),
                endpoint,
                REPLY_STREAM,
                LIMITS,
                network::nanoTime,
                counters,
                sends);
        BlockReceiver receiver =
                new BlockReceiver(network.channels(name, DATA_STREAM), LIMITS, network::nanoTime, counters, receives);
        return new InMemoryTransport(endpoint, counters, sends, receives, sender, receiver);
    }

    /** For tests of what the wire cannot be made to say. */
    BlockReceiver receiver() {
        return receiver;
    }

    /** For tests of what is counted. */
    BlockSender sender() {
        return sender;
    }

    /** One duty cycle of both agents, on the caller's thread; listeners are called from here. Not for two threads at once. */
    public int deliver() {
        return sender.doWork() + receiver.doWork();
    }
}
