package io.tandem.transfer;

import io.aeron.Aeron;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.agrona.CloseHelper;
import org.agrona.concurrent.AgentRunner;
import org.agrona.concurrent.IdleStrategy;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * KV blocks over Aeron, with a media driver of its own in this process. "udp" binds one port; "ipc" publishes the driver's
 * directory, and a sender on the same host connects to it.
 */
public final class AeronTransport extends AgentTransport {
    private static final Logger LOG = LoggerFactory.getLogger(AeronTransport.class);
    private static final ErrorLog ERRORS = new ErrorLog(LOG, System::nanoTime);

    /** Streams of the one channel. */
    static final int DATA_STREAM = 7481;

    static final int REPLY_STREAM = 7482;

    private final MediaDriver driver;
    private final AgentRunner senderRunner;
    private final AgentRunner receiverRunner;

    private AeronTransport(
            TransferEndpoint endpoint,
            TransferLimits limits,
            Counters counters,
            ConcurrentHashMap<LeaseId, SendLease> sends,
            ConcurrentHashMap<Long, ReceiveLease> receives,
            BlockSender sender,
            BlockReceiver receiver,
            MediaDriver driver,
            IdleStrategy senderIdle,
            IdleStrategy receiverIdle) {
        super(endpoint, limits, counters, sends, receives, sender, receiver);
        this.driver = driver;
        senderRunner = new AgentRunner(senderIdle, ERRORS, null, sender);
        receiverRunner = new AgentRunner(receiverIdle, ERRORS, null, receiver);
        AgentRunner.startOnThread(senderRunner, AeronTransport::daemon);
        AgentRunner.startOnThread(receiverRunner, AeronTransport::daemon);
    }

    private static Thread daemon(Runnable runnable) {
        return Thread.ofPlatform().daemon(true).unstarted(runnable);
    }

    /**
     * Starts driver and agents.
     *
     * @throws IllegalStateException when the address cannot be bound or there is no room for Aeron's buffers
     */
    public static AeronTransport start(TransferSettings settings) {
        return start(settings, context -> {});
    }

    /** With a last word on the driver, for tests that inject loss. */
    static AeronTransport start(TransferSettings settings, Consumer<MediaDriver.Context> lastWord) {
        AeronDirectories.sweep(settings);
        MediaDriver.Context context = driverContext(settings);
        lastWord.accept(context);
        MediaDriver driver = MediaDriver.launch(context);
        Aeron receiving = null;
        Aeron sending = null;
        try {
            receiving = connect(driver.aeronDirectoryName());
            sending = connect(driver.aeronDirectoryName());
            // Two sockets when the kernel chooses the ports: a driver does not bind a port it was given under another
            // name.
            Subscription data = subscribe(receiving, listenChannel(settings), DATA_STREAM);
            Subscription replies = subscribe(sending, listenChannel(settings), REPLY_STREAM);
            TransferEndpoint endpoint = endpoint(settings, driver, receiving, data);
            TransferEndpoint replyTo = endpoint(settings, driver, sending, replies);
            return assemble(settings, driver, endpoint, replyTo, receiving, data, sending, replies);
        } catch (RuntimeException | Error e) {
            CloseHelper.quietCloseAll(sending, receiving, driver);
            throw e;
        }
    }

    private static TransferEndpoint endpoint(
            TransferSettings settings, MediaDriver driver, Aeron aeron, Subscription subscription) {
        String channel =
                settings.wire().equals("ipc") ? driver.aeronDirectoryName() : resolve(aeron, subscription, settings);
        return new TransferEndpoint(settings.wire(), List.of(channel), subscription.streamId(), hostId());
    }

    private static AeronTransport assemble(
            TransferSettings settings,
            MediaDriver driver,
            TransferEndpoint endpoint,
            TransferEndpoint replyTo,
            Aeron receiving,
            Subscription data,
            Aeron sending,
            Subscription replies) {
        TransferLimits limits = TransferLimits.of(settings);
        Counters counters = new Counters();
        ConcurrentHashMap<LeaseId, SendLease> sends = new ConcurrentHashMap<>();
        ConcurrentHashMap<Long, ReceiveLease> receives = new ConcurrentHashMap<>();
        BlockSender sender = new BlockSender(
                new AeronChannels(sending, replies), replyTo, REPLY_STREAM, limits, System::nanoTime, counters, sends);
        BlockReceiver receiver =
                new BlockReceiver(new AeronChannels(receiving, data), limits, System::nanoTime, counters, receives);
        LOG.info("KV transfers by {} at {}", endpoint.wire(), endpoint.channels());
        RestingIdleStrategy senderIdle = idle(settings);
        RestingIdleStrategy receiverIdle = idle(settings);
        AeronTransport transport = new AeronTransport(
                endpoint, limits, counters, sends, receives, sender, receiver, driver, senderIdle, receiverIdle);
        transport.wakeBy(senderIdle::wake, receiverIdle::wake);
        return transport;
    }

    private static RestingIdleStrategy idle(TransferSettings settings) {
        return new RestingIdleStrategy(
                TimeUnit.MICROSECONDS.toNanos(settings.idleSleepMicros()),
                TimeUnit.MICROSECONDS.toNanos(settings.restSleepMicros()),
                System::nanoTime);
    }

    private static MediaDriver.Context driverContext(TransferSettings s) {
        int socketBuffer = Math.min(s.socketBufferBytes(), KernelLimits.socketBufferBytes());
        int window = Math.min(Math.min(s.windowBytes(), socketBuffer / 2), s.termBytes() / 2);
        int mtu = Math.min(mtu(s), socketBuffer / 2 / 32 * 32);
        return new MediaDriver.Context()
                .aeronDirectoryName(AeronDirectories.fresh(s).toString())
                .dirDeleteOnStart(true)
                .dirDeleteOnShutdown(true)
                .threadingMode(ThreadingMode.SHARED)
                .sharedIdleStrategy(idle(s))
                .termBufferSparseFile(true)
                .performStorageChecks(false)
                .publicationTermBufferLength(s.termBytes())
                .ipcTermBufferLength(s.termBytes())
                .mtuLength(mtu)
                .ipcMtuLength(65_504)
                .socketRcvbufLength(socketBuffer)
                .socketSndbufLength(socketBuffer)
                .initialWindowLength(window)
                .publicationConnectionTimeoutNs(
                        TransferLimits.LinkPatience.of(s.linkTimeout()).wireNanos())
                .imageLivenessTimeoutNs(TimeUnit.SECONDS.toNanos(4))
                .clientLivenessTimeoutNs(TimeUnit.SECONDS.toNanos(10))
                .publicationLingerTimeoutNs(TimeUnit.MILLISECONDS.toNanos(200))
                .errorHandler(ERRORS)
                .warnIfDirectoryExists(false);
    }

    private static int mtu(TransferSettings s) {
        if (s.mtuBytes() != 0) {
            return s.mtuBytes() / 32 * 32;
        }
        try {
            return InetAddress.getByName(s.host()).isLoopbackAddress() ? 65_504 : 8_192;
        } catch (UnknownHostException e) {
            throw new IllegalArgumentException("tandem.transfer.host '" + s.host() + "' is not known", e);
        }
    }

    private static Aeron connect(String directory) {
        return Aeron.connect(new Aeron.Context()
                .aeronDirectoryName(directory)
                .useConductorAgentInvoker(true)
                .errorHandler(ERRORS));
    }

    private static String listenChannel(TransferSettings s) {
        return s.wire().equals("ipc") ? "aeron:ipc" : "aeron:udp?endpoint=" + s.host() + ":" + s.port();
    }

    private static Subscription subscribe(Aeron aeron, String channel, int stream) {
        return aeron.addSubscription(channel, stream);
    }

    /** The channel with the port that the kernel gave. */
    private static String resolve(Aeron aeron, Subscription subscription, TransferSettings s) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (System.nanoTime() - end < 0) {
            aeron.conductorAgentInvoker().invoke();
            String channel = subscription.tryResolveChannelEndpointPort();
            if (channel != null) {
                return channel;
            }
            Thread.onSpinWait();
        }
        throw new IllegalStateException(
                "cannot bind " + s.host() + ":" + s.port() + " for KV transfers (tandem.transfer.host and port)");
    }

    /** Equal for processes that share /dev/shm: one boot of one machine, and one mount of it. */
    private static String hostId() {
        Path boot = Path.of("/proc/sys/kernel/random/boot_id");
        try {
            String shm = Files.exists(AeronDirectories.SHM)
                    ? String.valueOf(Files.getAttribute(AeronDirectories.SHM, "unix:dev"))
                    : "none";
            return Files.readString(boot).trim() + "/" + shm;
        } catch (java.io.IOException | UnsupportedOperationException e) {
            return "host-" + ProcessHandle.current().pid();
        }
    }

    @Override
    void stop() {
        // Runners end their agents, agents their clients; then the driver removes its directory.
        CloseHelper.quietCloseAll(senderRunner, receiverRunner);
        CloseHelper.quietClose(driver);
    }
}
