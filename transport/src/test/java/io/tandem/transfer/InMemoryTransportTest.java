package io.tandem.transfer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.SendResult;
import io.tandem.transfer.InMemoryNetwork.Fate;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class InMemoryTransportTest {
    private static final LeaseId LEASE = new LeaseId(9, 2);

    /** Messages above this are chunks; the open message and the answers are shorter. */
    private static final int CHUNK = 1000;

    private static final long MILLI = 1_000_000;

    /** Time goes on by {@link InMemoryNetwork#advanceNanos} alone. */
    private final long start = System.nanoTime();

    private final InMemoryNetwork network = new InMemoryNetwork(() -> start);
    private final InMemoryTransport from = InMemoryTransport.start(network, "from");
    private final InMemoryTransport to = InMemoryTransport.start(network, "to");
    private final Arena arena = Arena.ofShared();
    private final Ends received = new Ends();
    private final Ends sent = new Ends();

    @AfterEach
    void close() {
        from.close();
        to.close();
        arena.close();
    }

    private void settle() {
        while (from.deliver() + to.deliver() > 0) {
            // goes on while anything moves
        }
    }

    private MemorySegment[] open(MemorySegment[] source) {
        MemorySegment[] slots = Ends.blocks(arena, source.length, source[0].byteSize());
        assertEquals(OpenResult.OPENED, to.openReceive(LEASE, slots, Ends.deadline(60), received));
        assertEquals(OpenResult.OPENED, from.openSend(LEASE, to.endpoint(), source.length, Ends.deadline(60), sent));
        for (int i = 0; i < source.length; i++) {
            assertEquals(SendResult.QUEUED, from.send(LEASE, i, source[i]));
        }
        return slots;
    }

    private void assertBothFailedWith(TransferFailure atReceiver, TransferFailure atSender) {
        assertEquals(1, received.calls.size());
        assertEquals(1, sent.calls.size());
        assertEquals(atReceiver, received.calls.remove().failure());
        assertEquals(atSender, sent.calls.remove().failure());
        assertEquals(0, to.counters().openReceives() + from.counters().openSends());
    }

    @Test
    void shouldMoveBlocksOfAnySizeIntact() {
        for (int bytes : new int[] {1, 4040, 4041, 50_003}) {
            MemorySegment[] source = Ends.random(arena, 3, bytes, bytes);
            MemorySegment[] slots = open(source);
            settle();
            assertBothFailedWith(null, null);
            for (int i = 0; i < 3; i++) {
                assertEquals(-1, source[i].mismatch(slots[i]));
            }
        }
    }

    /** Blocks that are still computed when the ones before have gone are no measure of the wire. */
    @Test
    void shouldTellTheTimeOnTheWireFromTheTimeWithoutAnythingToSend() {
        MemorySegment[] source = Ends.random(arena, 3, 50_000, 1);
        MemorySegment[] slots = Ends.blocks(arena, 3, 50_000);
        to.openReceive(LEASE, slots, Ends.deadline(60), received);
        from.openSend(LEASE, to.endpoint(), 3, 2, Ends.deadline(60), sent);
        network.advanceNanos(5 * MILLI);
        settle();
        from.send(LEASE, 0, source[0]);
        settle();
        network.advanceNanos(80 * MILLI);
        settle();
        from.send(LEASE, 1, source[1], 0, 25_000);
        settle();
        network.advanceNanos(40 * MILLI);
        from.send(LEASE, 1, source[1], 25_000, 25_000);
        from.send(LEASE, 2, source[2]);
        from.deliver();
        network.advanceNanos(7 * MILLI);
        settle();
        for (Ends.End end : new Ends.End[] {received.calls.remove(), sent.calls.remove()}) {
            assertNull(end.failure());
            assertEquals(127 * MILLI, end.stats().nanos());
            assertEquals(7 * MILLI, end.stats().busyNanos(), "the last ones took it");
        }
    }

    /** What is on its way keeps the wire busy, whether its sender has more or not. */
    @Test
    void shouldNotTakeASlowWireForASlowSender() {
        MemorySegment[] source = Ends.random(arena, 2, 2_000, 1);
        MemorySegment[] slots = Ends.blocks(arena, 2, 2_000);
        to.openReceive(LEASE, slots, Ends.deadline(60), received);
        from.openSend(LEASE, to.endpoint(), 2, Ends.deadline(60), sent);
        settle();
        from.send(LEASE, 0, source[0]);
        from.deliver();
        to.deliver();
        network.hold("to");
        network.advanceNanos(10 * MILLI);
        from.deliver();
        from.send(LEASE, 1, source[1]);
        from.deliver();
        network.advanceNanos(90 * MILLI);
        network.release("to");
        settle();
        TransferStats stats = received.calls.remove().stats();
        assertEquals(100 * MILLI, stats.nanos());
        assertEquals(90 * MILLI, stats.busyNanos());
    }

    @Test
    void shouldIgnoreDuplicatesAndCarryOnAfterADelay() {
        network.faults((name, number, bytes) -> bytes > CHUNK ? Fate.DUPLICATE : Fate.PASS);
        network.hold("to");
        MemorySegment[] source = Ends.random(arena, 2, 20_000, 1);
        MemorySegment[] slots = open(source);
        settle();
        assertTrue(received.calls.isEmpty() && sent.calls.isEmpty());
        network.release("to");
        settle();
        assertBothFailedWith(null, null);
        assertEquals(-1, source[1].mismatch(slots[1]));
        assertEquals(40_000, to.counters().bytesReceived());
    }

    @Test
    void shouldFailBothSidesOnACorruptChunkAndWriteNoMore() {
        long[] chunks = {0};
        network.faults((name, number, bytes) -> bytes > CHUNK && chunks[0]++ == 2 ? Fate.CORRUPT : Fate.PASS);
        MemorySegment[] slots = open(Ends.random(arena, 2, 20_000, 1));
        settle();
        assertEquals(1, received.calls.peek().stats().checksumFailures());
        assertBothFailedWith(TransferFailure.CHECKSUM_MISMATCH, TransferFailure.CHECKSUM_MISMATCH);
        assertEquals(1, to.counters().checksumFailures());
        assertEquals(0, slots[1].get(ValueLayout.JAVA_LONG, 0));
    }

    @Test
    void shouldNeverCallALossASuccess() {
        long[] chunks = {0};
        network.faults((name, number, bytes) -> bytes > CHUNK && chunks[0]++ == 1 ? Fate.DROP : Fate.PASS);
        open(Ends.random(arena, 1, 20_000, 1));
        settle();
        assertBothFailedWith(TransferFailure.PROTOCOL_ERROR, TransferFailure.PROTOCOL_ERROR);
    }

    @Test
    void shouldFailBothSidesAtTheirDeadlines() {
        MemorySegment[] slots = Ends.blocks(arena, 2, 64);
        to.openReceive(LEASE, slots, Ends.deadline(60), received);
        from.openSend(LEASE, to.endpoint(), 2, Ends.deadline(70), sent);
        settle();
        network.advanceNanos(TimeUnit.SECONDS.toNanos(65));
        settle();
        assertBothFailedWith(TransferFailure.DEADLINE, TransferFailure.DEADLINE);
    }

    @Test
    void shouldFailTheSenderWhenThePeerIsGoneAndTheReceiverByDeadline() {
        to.openReceive(LEASE, Ends.blocks(arena, 1, 64), Ends.deadline(60), received);
        from.openSend(LEASE, to.endpoint(), 1, Ends.deadline(60), sent);
        settle();
        network.disconnect("to");
        settle();
        network.advanceNanos(TimeUnit.SECONDS.toNanos(2));
        settle();
        assertEquals(TransferFailure.NOT_CONNECTED, sent.calls.remove().failure());
        network.advanceNanos(TimeUnit.SECONDS.toNanos(60));
        settle();
        assertEquals(TransferFailure.DEADLINE, received.calls.remove().failure());
    }

    private TransferFailure sendFailsAfter(long millis, LeaseId lease) {
        from.openSend(lease, to.endpoint(), 1, Ends.deadline(60), sent);
        settle();
        network.advanceNanos(TimeUnit.MILLISECONDS.toNanos(millis - 10));
        settle();
        assertNull(sent.calls.peek(), "not before " + millis + " ms");
        network.advanceNanos(TimeUnit.MILLISECONDS.toNanos(20));
        settle();
        return sent.calls.isEmpty() ? null : sent.calls.remove().failure();
    }

    @Test
    void shouldGiveALinkThatIsLostUpSoonerThanAReceiverThatWasNeverThere() {
        network.link("from", "to", InMemoryNetwork.Link.CUT);
        assertEquals(TransferFailure.NOT_CONNECTED, sendFailsAfter(1_000, new LeaseId(1, 2)));
        assertEquals(TransferFailure.NOT_CONNECTED, sendFailsAfter(600, new LeaseId(2, 2)), "it was lost just now");
    }

    @Test
    void shouldGiveUpSoonWhenAReceiverThatWasConnectedIsSoNoMore() {
        network.link("from", "to", InMemoryNetwork.Link.OPEN);
        MemorySegment[] source = Ends.random(arena, 1, 64, 1);
        open(source);
        settle();
        assertBothFailedWith(null, null);
        network.link("from", "to", InMemoryNetwork.Link.CUT);
        assertEquals(TransferFailure.NOT_CONNECTED, sendFailsAfter(200, new LeaseId(1, 2)));
        assertEquals(TransferFailure.NOT_CONNECTED, sendFailsAfter(600, new LeaseId(2, 2)));
        network.link("from", "to", InMemoryNetwork.Link.OPEN);
        MemorySegment[] slots = open(source);
        settle();
        assertBothFailedWith(null, null);
        assertEquals(-1, source[0].mismatch(slots[0]), "and it serves again when it is back");
    }

    @Test
    void shouldAnswerBackPressureAndDuplicatesExplicitly() {
        from.openSend(LEASE, to.endpoint(), 2, Ends.deadline(60), sent);
        assertEquals(OpenResult.DUPLICATE, from.openSend(LEASE, to.endpoint(), 2, Ends.deadline(60), sent));
        MemorySegment block = arena.allocate(64);
        assertEquals(SendResult.QUEUED, from.send(LEASE, 0, block));
        assertEquals(SendResult.QUEUED, from.send(LEASE, 1, block));
        assertEquals(SendResult.BACK_PRESSURED, from.send(LEASE, 1, block));
        assertEquals(SendResult.NO_SUCH_LEASE, from.send(new LeaseId(1, 1), 0, block));
        from.abortSend(LEASE);
        settle();
        assertEquals(TransferFailure.ABORTED_BY_SENDER, sent.calls.remove().failure());
        for (int i = 0; i < 64; i++) {
            OpenResult opened =
                    to.openReceive(new LeaseId(i, 1), new MemorySegment[] {block}, Ends.deadline(60), received);
            assertEquals(OpenResult.OPENED, opened);
        }
        assertEquals(
                OpenResult.TOO_MANY_LEASES,
                to.openReceive(LEASE, new MemorySegment[] {block}, Ends.deadline(60), received));
        assertNull(sent.calls.peek());
    }
}
