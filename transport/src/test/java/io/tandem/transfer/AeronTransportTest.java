package io.tandem.transfer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.ConfigFactory;
import io.aeron.Aeron;
import io.aeron.Publication;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import io.aeron.driver.ext.DebugChannelEndpointConfiguration;
import io.aeron.driver.ext.DebugReceiveChannelEndpoint;
import io.aeron.driver.ext.DebugSendChannelEndpoint;
import io.aeron.driver.ext.LossGenerator;
import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.SendResult;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AeronTransportTest {
    @TempDir
    Path directory;

    private TransferSettings settings(String wire, int mtu) {
        return TransferSettings.from(ConfigFactory.parseString("tandem.transfer { wire = " + wire + ", directory = \""
                        + directory + "\", mtu-bytes = " + mtu + ", term-bytes = 1M, connect-timeout = 1s }")
                .withFallback(ConfigFactory.defaultReference(AeronTransport.class.getClassLoader()))
                .resolve());
    }

    private AeronTransport start(String wire) {
        return AeronTransport.start(settings(wire, 0));
    }

    private static void queue(BlockTransport from, LeaseId lease, int slot, MemorySegment block) {
        SendResult result = from.send(lease, slot, block);
        while (result == SendResult.BACK_PRESSURED) {
            Thread.onSpinWait();
            result = from.send(lease, slot, block);
        }
        assertEquals(SendResult.QUEUED, result);
    }

    private static void roundTrip(BlockTransport from, BlockTransport to, int blocks, int bytes)
            throws InterruptedException {
        LeaseId lease = new LeaseId(blocks, 3);
        Ends received = new Ends();
        Ends sent = new Ends();
        try (Arena arena = Arena.ofShared()) {
            MemorySegment[] source = Ends.random(arena, blocks, bytes, blocks);
            MemorySegment[] slots = Ends.blocks(arena, blocks, bytes);
            assertEquals(OpenResult.OPENED, to.openReceive(lease, slots, Ends.deadline(60), received));
            assertEquals(OpenResult.OPENED, from.openSend(lease, to.endpoint(), blocks, Ends.deadline(60), sent));
            for (int i = blocks - 1; i >= 0; i--) {
                queue(from, lease, i, source[i]);
            }
            Ends.End end = received.next();
            assertNull(end.failure());
            assertEquals(blocks, end.stats().blocks());
            assertEquals((long) blocks * bytes, end.stats().bytes());
            assertNull(sent.next().failure());
            for (int i = 0; i < blocks; i++) {
                assertEquals(-1, source[i].mismatch(slots[i]), "block " + i);
            }
        }
        assertTrue(received.calls.isEmpty() && sent.calls.isEmpty());
    }

    @ParameterizedTest
    @CsvSource({"ipc,1,65536", "ipc,2,300001", "ipc,100,70001", "udp,1,1", "udp,2,300001", "udp,100,70001"})
    void shouldMoveBlocksIntact(String wire, int blocks, int bytes) throws InterruptedException {
        try (AeronTransport from = start(wire);
                AeronTransport to = start(wire)) {
            roundTrip(from, to, blocks, bytes);
            assertEquals(blocks, to.counters().blocksReceived());
            assertEquals(0, to.counters().checksumFailures());
            assertEquals(0, to.counters().openReceives() + from.counters().openSends());
        }
    }

    @Test
    void shouldDeliverAllBytesWhenOneDatagramInTwentyIsLost() throws InterruptedException {
        LossGenerator data = DebugChannelEndpointConfiguration.lossGeneratorSupplier(0.05, 7);
        LossGenerator none = DebugChannelEndpointConfiguration.lossGeneratorSupplier(0, 0);
        TransferSettings settings = settings("udp", 1408);
        try (AeronTransport from = AeronTransport.start(
                        settings,
                        c -> c.sendChannelEndpointSupplier((channel, indicator, context) ->
                                new DebugSendChannelEndpoint(channel, indicator, context, data, none)));
                AeronTransport to = AeronTransport.start(
                        settings,
                        c -> c.receiveChannelEndpointSupplier(
                                (channel, dispatcher, indicator, context) -> new DebugReceiveChannelEndpoint(
                                        channel, dispatcher, indicator, context, none, none)))) {
            roundTrip(from, to, 8, 200_003);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"ipc", "udp"})
    void shouldTellTheSenderOfAnUnknownLeaseAndOfAnotherEpoch(String wire) throws InterruptedException {
        try (AeronTransport from = start(wire);
                AeronTransport to = start(wire);
                Arena arena = Arena.ofShared()) {
            Ends sent = new Ends();
            from.openSend(new LeaseId(1, 1), to.endpoint(), 1, Ends.deadline(60), sent);
            assertEquals(TransferFailure.UNKNOWN_LEASE, sent.next().failure());
            Ends received = new Ends();
            to.openReceive(new LeaseId(2, 5), Ends.blocks(arena, 1, 64), Ends.deadline(60), received);
            from.openSend(new LeaseId(2, 4), to.endpoint(), 1, Ends.deadline(60), sent);
            assertEquals(TransferFailure.WRONG_EPOCH, sent.next().failure());
            assertEquals(1, to.counters().openReceives());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"ipc", "udp"})
    void shouldEndBothSidesWhenEitherAborts(String wire) throws InterruptedException {
        try (AeronTransport from = start(wire);
                AeronTransport to = start(wire);
                Arena arena = Arena.ofShared()) {
            for (boolean bySender : List.of(true, false)) {
                LeaseId lease = new LeaseId(bySender ? 1 : 2, 1);
                Ends received = new Ends();
                Ends sent = new Ends();
                to.openReceive(lease, Ends.blocks(arena, 2, 64), Ends.deadline(60), received);
                from.openSend(lease, to.endpoint(), 2, Ends.deadline(60), sent);
                queue(from, lease, 1, arena.allocate(64));
                long before = to.counters().blocksReceived();
                while (to.counters().blocksReceived() == before && received.calls.isEmpty()) {
                    Thread.onSpinWait();
                }
                if (bySender) {
                    from.abortSend(lease);
                } else {
                    to.abortReceive(lease);
                }
                TransferFailure expected =
                        bySender ? TransferFailure.ABORTED_BY_SENDER : TransferFailure.ABORTED_BY_RECEIVER;
                assertEquals(expected, received.next().failure());
                assertEquals(expected, sent.next().failure());
            }
        }
    }

    @Test
    void shouldFailByDeadlineAndWhenThePeerIsGone() throws InterruptedException {
        AeronTransport to = start("udp");
        try (AeronTransport from = start("udp");
                Arena arena = Arena.ofShared()) {
            Ends received = new Ends();
            to.openReceive(new LeaseId(1, 1), Ends.blocks(arena, 1, 64), System.nanoTime() + 50_000_000, received);
            assertEquals(TransferFailure.DEADLINE, received.next().failure());
            to.openReceive(new LeaseId(2, 1), Ends.blocks(arena, 1, 64), Ends.deadline(60), received);
            TransferEndpoint endpoint = to.endpoint();
            to.close();
            assertEquals(TransferFailure.CLOSED, received.next().failure());
            assertEquals(
                    OpenResult.CLOSED,
                    to.openReceive(new LeaseId(3, 1), new MemorySegment[0], Ends.deadline(1), received));
            Ends sent = new Ends();
            from.openSend(new LeaseId(2, 1), endpoint, 1, Ends.deadline(60), sent);
            assertEquals(TransferFailure.NOT_CONNECTED, sent.next().failure());
        } finally {
            to.close();
        }
    }

    @Test
    void shouldCompleteEmptyLeasesAndRefuseHeapMemory() throws InterruptedException {
        try (AeronTransport one = start("ipc")) {
            Ends ends = new Ends();
            LeaseId lease = new LeaseId(1, 1);
            one.openReceive(lease, new MemorySegment[0], Ends.deadline(60), ends);
            assertNull(ends.next().failure());
            one.openSend(lease, one.endpoint(), 0, Ends.deadline(60), ends);
            assertNull(ends.next().failure());
            MemorySegment[] heap = {MemorySegment.ofArray(new byte[8])};
            assertThrows(IllegalArgumentException.class, () -> one.openReceive(lease, heap, Ends.deadline(1), ends));
            TransferEndpoint elsewhere =
                    new TransferEndpoint("ipc", one.endpoint().channels(), 1, "another");
            assertEquals(OpenResult.UNREACHABLE, one.openSend(lease, elsewhere, 1, Ends.deadline(1), ends));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"ipc", "udp"})
    void shouldMoveSixteenLeasesAtOnce(String wire) throws InterruptedException {
        try (AeronTransport from = start(wire);
                AeronTransport to = start(wire);
                Arena arena = Arena.ofShared()) {
            MemorySegment[] source = Ends.random(arena, 16, 150_001, 5);
            MemorySegment[] slots = Ends.blocks(arena, 16, 150_001);
            Ends received = new Ends();
            Ends sent = new Ends();
            for (int i = 0; i < 16; i++) {
                LeaseId lease = new LeaseId(i, 1);
                to.openReceive(lease, new MemorySegment[] {slots[i]}, Ends.deadline(60), received);
                from.openSend(lease, to.endpoint(), 1, Ends.deadline(60), sent);
                queue(from, lease, 0, source[i]);
            }
            for (int i = 0; i < 16; i++) {
                assertNull(received.next().failure());
                assertNull(sent.next().failure());
            }
            for (int i = 0; i < 16; i++) {
                assertEquals(-1, source[i].mismatch(slots[i]));
            }
        }
    }

    @Test
    void shouldFailOpenLeasesAtCloseAndLeaveNothing() throws InterruptedException, IOException {
        AeronTransport first = start("ipc");
        Path own;
        try (Stream<Path> there = Files.list(directory)) {
            own = there.findFirst().orElseThrow();
        }
        first.close();
        String namespace = own.getFileName().toString().split("-")[3];
        Path stale = Files.createDirectory(directory.resolve("tandem-aeron-4194305-" + namespace + "-dead"));
        try (Arena arena = Arena.ofShared()) {
            AeronTransport from = start("ipc");
            AeronTransport to = start("ipc");
            assertFalse(Files.exists(stale));
            Ends ends = new Ends();
            LeaseId lease = new LeaseId(1, 1);
            to.openReceive(lease, Ends.blocks(arena, 2, 64), Ends.deadline(60), ends);
            from.openSend(lease, to.endpoint(), 2, Ends.deadline(60), ends);
            queue(from, lease, 0, arena.allocate(64));
            from.close();
            assertEquals(TransferFailure.CLOSED, ends.next().failure());
            to.close();
            ends.next();
            assertTrue(ends.calls.isEmpty());
        }
        try (Stream<Path> left = Files.list(directory)) {
            assertEquals(List.of(), left.toList());
        }
    }

    /** Containers with a shared /dev/shm: another one's process has a number that means nothing here. */
    @Test
    void shouldLeaveTheDirectoryOfALiveDriverWhoseProcessIsNotToBeSeen() throws IOException {
        Path live = directory.resolve("tandem-aeron-4194305-1-live");
        Path silent = Files.createDirectory(directory.resolve("tandem-aeron-4194305-1-silent"));
        Path starting = Files.createDirectory(directory.resolve("tandem-aeron-4194305-1-starting"));
        FileTime longAgo = FileTime.from(Instant.now().minus(Duration.ofHours(1)));
        Files.setLastModifiedTime(silent, longAgo);
        try (MediaDriver driver = MediaDriver.launch(
                new MediaDriver.Context().aeronDirectoryName(live.toString()).dirDeleteOnShutdown(true))) {
            Files.setLastModifiedTime(live, longAgo);
            start("ipc").close();
            assertTrue(Files.exists(Path.of(driver.aeronDirectoryName())));
            assertTrue(Files.exists(starting));
            assertFalse(Files.exists(silent));
        }
    }

    /** A neighbour that hangs: its driver takes commands and does not answer. */
    @Test
    void shouldNotWaitForTheDriverOfANeighbour() {
        MediaDriver.Context context = new MediaDriver.Context()
                .aeronDirectoryName(directory.resolve("hangs").toString())
                .threadingMode(ThreadingMode.INVOKER)
                .dirDeleteOnShutdown(true);
        try (MediaDriver own = MediaDriver.launch(new MediaDriver.Context()
                        .aeronDirectoryName(directory.resolve("own").toString())
                        .dirDeleteOnShutdown(true));
                MediaDriver hangs = MediaDriver.launch(context)) {
            Aeron aeron = Aeron.connect(new Aeron.Context()
                    .aeronDirectoryName(own.aeronDirectoryName())
                    .useConductorAgentInvoker(true));
            AeronChannels channels = new AeronChannels(aeron, aeron.addSubscription("aeron:ipc", 1));
            hangs.sharedAgentInvoker().invoke();
            Channels.Outbound stream = channels.connect("ipc", hangs.aeronDirectoryName(), 7);
            assertNotNull(stream, "it waited until it gave up");
            channels.doWork();
            assertFalse(stream.isConnected());
            assertEquals(Publication.NOT_CONNECTED, stream.tryClaim(64));
            stream.close();
            assertEquals(Channels.Outbound.CLOSED, stream.tryClaim(64));
            hangs.sharedAgentInvoker().invoke();
            channels.close();
        }
    }
}
