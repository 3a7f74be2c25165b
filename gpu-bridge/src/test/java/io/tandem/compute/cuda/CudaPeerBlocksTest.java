package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.golden.GoldenFiles;
import io.tandem.kvcache.BlockSum;
import io.tandem.kvcache.KvMemory;
import io.tandem.kvcache.PeerBlocks;
import io.tandem.model.Models;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** Blocks from one device to another: contents, sums, refusals, and nothing left open. */
class CudaPeerBlocksTest {
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    private static final int BLOCKS = 12;

    private record Sums(long[] sums, String failure) {}

    private final HostDriver one = new HostDriver();
    private final HostDriver other = new HostDriver();

    private static CudaBackend open(HostDriver driver) throws IOException {
        return HostDevice.open(driver, Models.openWeights(GoldenFiles.folder("tiny/llama")), HostDevice.config(""));
    }

    private static MemorySegment block(KvMemory kv, int id) {
        return ALL.asSlice(kv.address(id), kv.layout().blockBytes());
    }

    private static void fill(KvMemory kv) {
        for (int id = 0; id < kv.blocks(); id++) {
            MemorySegment block = block(kv, id);
            for (long i = 0; i < block.byteSize(); i++) {
                block.set(ValueLayout.JAVA_BYTE, i, (byte) (31 * id + 7 * i + (i >> 8)));
            }
        }
    }

    private static String open(PeerBlocks here, long link, byte[] ticket) {
        CompletableFuture<String> opened = new CompletableFuture<>();
        here.open(link, ticket, opened::complete);
        return opened.join();
    }

    private static Sums fetch(PeerBlocks here, long link, int[] from, int[] to) {
        CompletableFuture<Sums> over = new CompletableFuture<>();
        here.fetch(link, from, to, (sums, failure) -> over.complete(new Sums(sums, failure)));
        return over.join();
    }

    private static Sums sum(PeerBlocks here, int... blocks) {
        CompletableFuture<Sums> over = new CompletableFuture<>();
        here.sum(blocks, (sums, failure) -> over.complete(new Sums(sums, failure)));
        return over.join();
    }

    /** The ticket of a pool in another process: no such pool is known here. */
    private static byte[] foreign(byte[] ticket) {
        byte[] changed = ticket.clone();
        changed[4] ^= 1;
        return changed;
    }

    private void shouldFetch(boolean otherProcess) throws IOException {
        try (CudaBackend a = open(one);
                CudaBackend b = open(other);
                KvMemory source = a.allocateKv(BLOCKS);
                KvMemory target = b.allocateKv(BLOCKS)) {
            fill(source);
            PeerBlocks from = source.peers().orElseThrow();
            PeerBlocks to = target.peers().orElseThrow();
            assertEquals("", open(to, 5, otherProcess ? foreign(from.ticket()) : from.ticket()));
            assertEquals(otherProcess ? 1 : 0, other.shared());
            int[] theirs = {3, 4, 5, 9, 2};
            int[] ours = {7, 8, 1, 0, 11};
            Sums there = sum(from, theirs);
            Sums here = fetch(to, 5, theirs, ours);
            assertEquals("", here.failure());
            assertArrayEquals(there.sums(), here.sums());
            for (int i = 0; i < ours.length; i++) {
                assertEquals(-1, block(source, theirs[i]).mismatch(block(target, ours[i])));
                assertEquals(BlockSum.of(block(source, theirs[i])), here.sums()[i]);
            }
            CompletableFuture<Boolean> closed = new CompletableFuture<>();
            to.close(5, () -> closed.complete(true));
            closed.join();
            assertEquals(0, other.shared());
            assertEquals("link 5 is not open", fetch(to, 5, theirs, ours).failure());
        }
        assertEquals(0, one.open() + other.open(), "left on a device");
    }

    @Test
    void shouldFetchFromAnotherProcess() throws IOException {
        shouldFetch(true);
    }

    @Test
    void shouldFetchFromAnotherDeviceOfThisProcess() throws IOException {
        shouldFetch(false);
    }

    @Test
    void shouldAnswerEachOfManyThatGoTogether() throws IOException {
        try (CudaBackend a = open(one);
                CudaBackend b = open(other);
                KvMemory source = a.allocateKv(BLOCKS);
                KvMemory target = b.allocateKv(BLOCKS)) {
            fill(source);
            PeerBlocks to = target.peers().orElseThrow();
            assertEquals("", open(to, 5, source.peers().orElseThrow().ticket()));
            List<CompletableFuture<Sums>> over = new ArrayList<>();
            for (int i = 0; i < BLOCKS; i++) {
                CompletableFuture<Sums> one = new CompletableFuture<>();
                int from = i == 4 ? BLOCKS : i;
                to.fetch(
                        i == 7 ? 6 : 5,
                        new int[] {from},
                        new int[] {BLOCKS - 1 - i},
                        (sums, failure) -> one.complete(new Sums(sums, failure)));
                over.add(one);
            }
            for (int i = 0; i < BLOCKS; i++) {
                Sums sums = over.get(i).join();
                String failure = switch (i) {
                    case 4 -> "the peer has no block " + BLOCKS;
                    case 7 -> "link 6 is not open";
                    default -> "";
                };
                assertEquals(failure, sums.failure());
                if (failure.isEmpty()) {
                    assertArrayEquals(new long[] {BlockSum.of(block(source, i))}, sums.sums());
                    assertEquals(-1, block(source, i).mismatch(block(target, BLOCKS - 1 - i)));
                }
            }
        }
    }

    @Test
    void shouldSayWhyABlockPoolCannotBeOpened() throws IOException {
        try (CudaBackend a = open(one);
                KvMemory kv = a.allocateKv(BLOCKS)) {
            PeerBlocks here = kv.peers().orElseThrow();
            byte[] ticket = foreign(here.ticket());
            byte[] elsewhere = ticket.clone();
            elsewhere[32] = 1;
            assertEquals("the peer's device is not visible to this process", open(here, 1, elsewhere));
            byte[] larger = ticket.clone();
            larger[26] = 1;
            assertTrue(open(here, 2, larger).startsWith("the peer's blocks have "), "another block size");
            assertEquals("the peer's ticket is of another version", open(here, 3, new byte[7]));
            assertEquals("", open(here, 4, ticket));
            assertEquals(
                    "the peer has no block 12",
                    fetch(here, 4, new int[] {11, 12}, new int[] {0, 1}).failure());
        }
        assertEquals(0, one.open() + one.shared());
    }

    @Test
    void shouldLeaveThePoolWhereAnotherProcessMayHaveItOpen() throws IOException {
        try (CudaBackend a = open(one)) {
            long address;
            long bytes;
            long sum;
            try (KvMemory kv = a.allocateKv(BLOCKS)) {
                fill(kv);
                address = kv.address(0);
                bytes = kv.layout().blockBytes();
                sum = BlockSum.of(block(kv, 0));
                kv.keep();
            }
            assertEquals(sum, BlockSum.of(ALL.asSlice(address, bytes)));
        }
    }

    @Test
    void shouldSumDifferentlyWhateverChanges() {
        long[] words = {1, 2, 3, 0, 0, 9};
        long sum = BlockSum.of(MemorySegment.ofArray(words));
        assertTrue(sum != BlockSum.of(MemorySegment.ofArray(new long[] {2, 1, 3, 0, 0, 9})), "two words change places");
        assertTrue(sum != BlockSum.of(MemorySegment.ofArray(new long[] {1, 2, 3, 0, 0, 8})), "one bit");
        assertTrue(BlockSum.of(MemorySegment.ofArray(new long[6])) != 0, "zeros");
    }
}
