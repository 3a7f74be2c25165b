package io.tandem.transfer;

import static org.junit.jupiter.api.Assertions.assertNotNull;

import io.tandem.transfer.BlockTransport.ReceiveListener;
import io.tandem.transfer.BlockTransport.SendListener;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** How transfers ended, and memory to move. */
final class Ends implements ReceiveListener, SendListener {
    /** One terminal call; no failure means success. */
    record End(LeaseId lease, TransferFailure failure, TransferStats stats) {}

    final LinkedBlockingQueue<End> calls = new LinkedBlockingQueue<>();

    @Override
    public void onComplete(LeaseId lease, TransferStats stats) {
        calls.add(new End(lease, null, stats));
    }

    @Override
    public void onAcknowledged(LeaseId lease, TransferStats stats) {
        calls.add(new End(lease, null, stats));
    }

    @Override
    public void onFailed(LeaseId lease, TransferFailure failure, TransferStats stats) {
        calls.add(new End(lease, failure, stats));
    }

    /** The next terminal call; the bound is a hang guard only. */
    End next() throws InterruptedException {
        End end = calls.poll(60, TimeUnit.SECONDS);
        assertNotNull(end, "no terminal call");
        return end;
    }

    static MemorySegment[] blocks(Arena arena, int count, long bytes) {
        MemorySegment[] blocks = new MemorySegment[count];
        for (int i = 0; i < count; i++) {
            blocks[i] = arena.allocate(bytes);
        }
        return blocks;
    }

    static MemorySegment[] random(Arena arena, int count, long bytes, long seed) {
        MemorySegment[] blocks = blocks(arena, count, bytes);
        SplittableRandom random = new SplittableRandom(seed);
        byte[] content = new byte[(int) bytes];
        for (MemorySegment block : blocks) {
            random.nextBytes(content);
            MemorySegment.copy(content, 0, block, ValueLayout.JAVA_BYTE, 0, content.length);
        }
        return blocks;
    }

    static long deadline(long seconds) {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
    }
}
