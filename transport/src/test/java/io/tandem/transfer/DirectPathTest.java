package io.tandem.transfer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.transfer.BlockTransport.OpenResult;
import io.tandem.transfer.BlockTransport.SendResult;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Blocks past the stream: the agreement, the fall back, and every way in which one side goes while the other reads. */
class DirectPathTest {
    private static final LeaseId LEASE = new LeaseId(9, 2);
    private static final long BLOCK_BYTES = 64;

    private final InMemoryNetwork network = new InMemoryNetwork();
    private final Map<Integer, long[]> pools = new HashMap<>();
    private final InMemoryTransport from = InMemoryTransport.start(network, "from");
    private final InMemoryTransport to = InMemoryTransport.start(network, "to");
    private final Arena arena = Arena.ofShared();
    private final Ends received = new Ends();
    private final Ends sent = new Ends();
    private final Pool source = new Pool(1);
    private final Pool target = new Pool(2);
    private boolean memoryAsked;

    /** A pool of sixteen blocks, each of which is one number; what is asked for waits until the test lets it happen. */
    private final class Pool implements DirectPath {
        final int number;
        final long[] blocks = new long[16];
        final ArrayDeque<Runnable> asked = new ArrayDeque<>();
        final Map<Long, Integer> open = new HashMap<>();
        boolean atOnce;
        String refusal = "";
        String failure = "";

        Pool(int number) {
            this.number = number;
            pools.put(number, blocks);
        }

        void act() {
            for (Runnable one = asked.poll(); one != null; one = asked.poll()) {
                one.run();
            }
        }

        @Override
        public String name() {
            return "numbers";
        }

        @Override
        public byte[] ticket() {
            return ByteBuffer.allocate(4).putInt(number).array();
        }

        @Override
        public void open(long link, byte[] ticket, Consumer<String> done) {
            asked.add(() -> {
                if (refusal.isEmpty()) {
                    open.put(link, ByteBuffer.wrap(ticket).getInt());
                }
                done.accept(refusal);
            });
        }

        @Override
        public void close(long link, Runnable done) {
            asked.add(() -> {
                open.remove(link);
                done.run();
            });
            if (atOnce) {
                act();
            }
        }

        @Override
        public void fetch(long link, int[] theirs, int[] ours, FetchListener done) {
            asked.add(() -> {
                long[] sums = new long[ours.length];
                for (int i = 0; i < ours.length; i++) {
                    blocks[ours[i]] = pools.get(open.get(link))[theirs[i]];
                    sums[i] = blocks[ours[i]];
                }
                done.over(sums, failure);
            });
        }
    }

    private final ReceiveTarget place = new ReceiveTarget() {
        @Override
        public int blocks() {
            return 3;
        }

        @Override
        public MemorySegment[] memory() {
            memoryAsked = true;
            return Ends.blocks(arena, 3, BLOCK_BYTES);
        }

        @Override
        public int[] poolBlocks() {
            return new int[] {7, 8, 9};
        }
    };

    @AfterEach
    void close() {
        target.act();
        target.atOnce = true;
        to.close();
        from.close();
        arena.close();
    }

    private void settle() {
        while (from.deliver() + to.deliver() > 0) {
            // goes on while anything moves
        }
    }

    private void settleAll() {
        do {
            settle();
            target.act();
        } while (from.deliver() + to.deliver() > 0);
    }

    private OpenResult openDirect() {
        return from.openDirectSend(LEASE, to.endpoint(), 3, Ends.deadline(60), sent);
    }

    /** Both ends can, and have agreed. */
    private void agree() {
        from.enableDirect(source, 5);
        to.enableDirect(target, 2);
        assertEquals(OpenResult.NO_DIRECT_PATH, openDirect());
        assertEquals("the direct path is being opened", from.directRefusal(to.endpoint()));
        settleAll();
        assertEquals("", from.directRefusal(to.endpoint()));
    }

    private void begin() {
        for (int i = 0; i < 3; i++) {
            source.blocks[i + 1] = 100L + i;
        }
        assertEquals(OpenResult.OPENED, to.openReceive(LEASE, place, 3, Ends.deadline(60), received));
        assertEquals(OpenResult.OPENED, openDirect());
    }

    private void offerAll() {
        for (int i = 0; i < 3; i++) {
            assertEquals(SendResult.QUEUED, from.offer(LEASE, i, i + 1, BLOCK_BYTES, 100L + i));
        }
    }

    private void assertFailed(TransferFailure atReceiver, TransferFailure atSender) {
        assertEquals(atReceiver, received.calls.remove().failure());
        assertEquals(atSender, sent.calls.remove().failure());
        assertEquals(0, to.counters().openReceives() + from.counters().openSends());
    }

    @Test
    void shouldFetchBlocksPastTheStream() {
        agree();
        begin();
        offerAll();
        settleAll();
        Ends.End atReceiver = received.calls.remove();
        Ends.End atSender = sent.calls.remove();
        assertEquals(null, atReceiver.failure());
        assertEquals(new TransferStats(3, 3 * BLOCK_BYTES, atSender.stats().nanos(), 0, 0, 3), atSender.stats());
        assertArrayEquals(new long[] {100, 101, 102}, Arrays.copyOfRange(target.blocks, 7, 10));
        assertFalse(memoryAsked, "memory for the stream was taken");
        assertEquals(3, to.counters().directBlocksReceived());
        assertEquals(0, to.counters().blocksReceived());
    }

    @Test
    void shouldNotCountTheTimeWithoutAnythingToFetch() {
        agree();
        begin();
        assertEquals(SendResult.QUEUED, from.offer(LEASE, 0, 1, BLOCK_BYTES, 100));
        settleAll();
        network.advanceNanos(TimeUnit.SECONDS.toNanos(3));
        assertEquals(SendResult.QUEUED, from.offer(LEASE, 1, 2, BLOCK_BYTES, 101));
        settle();
        network.advanceNanos(TimeUnit.SECONDS.toNanos(2));
        assertEquals(SendResult.QUEUED, from.offer(LEASE, 2, 3, BLOCK_BYTES, 102));
        settleAll();
        TransferStats stats = received.calls.remove().stats();
        assertTrue(stats.waitedNanos() >= TimeUnit.SECONDS.toNanos(3), stats.toString());
        assertTrue(stats.busyNanos() >= TimeUnit.SECONDS.toNanos(2), "it had the second one to fetch: " + stats);
        assertEquals(stats.nanos(), stats.waitedNanos() + stats.busyNanos());
    }

    @Test
    void shouldTakeTheStreamAndSayWhyWhereTheReceiverRefuses() {
        from.enableDirect(source, 5);
        assertEquals(OpenResult.NO_DIRECT_PATH, openDirect());
        assertEquals("the receiver has no direct path", from.directRefusal(to.endpoint()));
        to.enableDirect(target, 2);
        target.refusal = "the device cannot reach that one";
        assertEquals(OpenResult.NO_DIRECT_PATH, openDirect());
        settleAll();
        assertEquals(OpenResult.NO_DIRECT_PATH, openDirect());
        assertEquals("the device cannot reach that one", from.directRefusal(to.endpoint()));
        assertEquals(OpenResult.OPENED, to.openReceive(LEASE, place, 3, Ends.deadline(60), received));
        assertEquals(OpenResult.OPENED, from.openSend(LEASE, to.endpoint(), 3, Ends.deadline(60), sent));
        MemorySegment[] blocks = Ends.random(arena, 3, BLOCK_BYTES, 1);
        for (int i = 0; i < 3; i++) {
            from.send(LEASE, i, blocks[i]);
        }
        settleAll();
        assertEquals(null, received.calls.remove().failure());
        assertFalse(sent.calls.remove().stats().direct());
        assertTrue(memoryAsked);
        assertTrue(from.endDirect(Duration.ZERO), "a pool that was refused is open nowhere");
    }

    @Test
    void shouldTakeTheStreamWhenNobodyAnswersAnOffer() {
        from.enableDirect(source, 5);
        to.enableDirect(target, 2);
        openDirect();
        settle();
        network.advanceNanos(TimeUnit.SECONDS.toNanos(2));
        settle();
        assertEquals("the receiver does not answer", from.directRefusal(to.endpoint()));
        assertFalse(from.endDirect(Duration.ZERO), "it may have opened the pool");
    }

    @Test
    void shouldFailBothSidesWhenWhatArrivedIsNotWhatWasOffered() {
        agree();
        begin();
        offerAll();
        settle();
        source.blocks[2] = 77;
        settleAll();
        assertEquals(1, received.calls.peek().stats().checksumFailures());
        assertFailed(TransferFailure.CHECKSUM_MISMATCH, TransferFailure.CHECKSUM_MISMATCH);
        assertEquals(1, to.counters().checksumFailures());
    }

    @Test
    void shouldFailBothSidesWhenTheDeviceDoesNotCopy() {
        agree();
        begin();
        offerAll();
        target.failure = "CUDA_ERROR_ILLEGAL_ADDRESS";
        settleAll();
        assertFailed(TransferFailure.DEVICE_ERROR, TransferFailure.DEVICE_ERROR);
    }

    @Test
    void shouldEndACancelledLeaseOnlyWhenTheCopyIsOver() {
        agree();
        begin();
        offerAll();
        settle();
        to.abortReceive(LEASE);
        network.advanceNanos(TimeUnit.SECONDS.toNanos(1));
        settle();
        assertTrue(received.calls.isEmpty() && sent.calls.isEmpty(), "the copy is not over");
        settleAll();
        assertFailed(TransferFailure.ABORTED_BY_RECEIVER, TransferFailure.ABORTED_BY_RECEIVER);
    }

    @Test
    void shouldKeepTheSourceUntilTheReceiverReadsNoMore() {
        agree();
        begin();
        offerAll();
        settle();
        from.abortSend(LEASE);
        settle();
        assertTrue(received.calls.isEmpty() && sent.calls.isEmpty(), "the copy is not over");
        settleAll();
        assertFailed(TransferFailure.ABORTED_BY_SENDER, TransferFailure.ABORTED_BY_SENDER);
    }

    @Test
    void shouldFailTheSendAndForgetTheLinkWhenTheReceiverIsGone() {
        agree();
        begin();
        offerAll();
        settle();
        network.disconnect("to");
        settle();
        network.advanceNanos(TimeUnit.SECONDS.toNanos(2));
        settle();
        assertEquals(TransferFailure.NOT_CONNECTED, sent.calls.remove().failure());
        assertEquals("nothing was sent there yet", from.directRefusal(to.endpoint()));
        assertFalse(from.endDirect(Duration.ZERO), "nobody knows whether it reads");
    }

    @Test
    void shouldCloseThePoolOfASenderThatIsGone() {
        agree();
        assertEquals(1, target.open.size());
        network.disconnect("from");
        to.deliver();
        network.advanceNanos(TimeUnit.MILLISECONDS.toNanos(200));
        to.deliver();
        network.advanceNanos(TimeUnit.SECONDS.toNanos(2));
        to.deliver();
        target.act();
        assertTrue(target.open.isEmpty());
    }

    @Test
    void shouldSayThatThePoolIsFreeOnceThePeerClosedIt() {
        agree();
        begin();
        offerAll();
        settle();
        assertFalse(from.endDirect(Duration.ZERO), "the peer reads");
        settleAll();
        assertTrue(from.endDirect(Duration.ZERO));
        assertTrue(target.open.isEmpty());
        assertEquals(null, received.calls.remove().failure());
        assertEquals(OpenResult.NO_DIRECT_PATH, openDirect());
    }

    @Test
    void shouldNotFetchUnderTheLinkOfAnEarlierIncarnation() {
        agree();
        begin();
        // The same stream, another worker behind it: its offer ends what the one before had.
        long known = target.open.keySet().iterator().next();
        from.enableDirect(source, 6);
        PoolImports imports = to.receiver().imports();
        imports.offered(imports.open(known).peer, 4711, 6, "numbers", source.ticket());
        target.act();
        to.deliver();
        assertEquals(Set.of(4711L), target.open.keySet());
        offerAll();
        settleAll();
        assertFailed(TransferFailure.NO_DIRECT_PATH, TransferFailure.NO_DIRECT_PATH);
        assertEquals(0, target.blocks[7]);
        assertEquals(OpenResult.NO_DIRECT_PATH, openDirect(), "the next blocks take the stream");
    }

    @Test
    void shouldForgetALinkOnceHoweverManyLeasesFailOnIt() {
        agree();
        begin();
        LeaseId other = new LeaseId(10, 2);
        assertEquals(OpenResult.OPENED, to.openReceive(other, place, 3, Ends.deadline(60), received));
        assertEquals(OpenResult.OPENED, from.openDirectSend(other, to.endpoint(), 3, Ends.deadline(60), sent));
        PoolImports imports = to.receiver().imports();
        imports.closeAsked(target.open.keySet().iterator().next());
        settleAll();
        assertEquals(TransferFailure.NO_DIRECT_PATH, sent.calls.remove().failure());
        assertEquals(TransferFailure.NO_DIRECT_PATH, sent.calls.remove().failure());
        assertEquals(
                0,
                from.sender().peer(to.endpoint()).leases,
                "a stream with fewer leases than none is closed while it is used");
    }

    @Test
    void shouldRefuseAStaleEpochOfTheReceiver() {
        agree();
        assertEquals(OpenResult.OPENED, to.openReceive(LEASE, place, 3, Ends.deadline(60), received));
        LeaseId stale = new LeaseId(LEASE.id(), LEASE.epoch() - 1);
        assertEquals(OpenResult.OPENED, from.openDirectSend(stale, to.endpoint(), 3, Ends.deadline(60), sent));
        settleAll();
        assertEquals(TransferFailure.WRONG_EPOCH, sent.calls.remove().failure());
        assertTrue(received.calls.isEmpty());
    }
}
