package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.compute.cuda.SideStream.Worker;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import org.junit.jupiter.api.Test;

/** Work beside the passes: what waits is done together and in order, and nothing stays without an answer. */
class SideStreamTest {
    private final HostDriver driver = new HostDriver();

    /** Begins a batch, says so, and ends it when it may. */
    private static final class Slow implements Worker<Integer> {
        final LinkedBlockingQueue<List<Integer>> begun = new LinkedBlockingQueue<>();
        final List<Integer> refused = new ArrayList<>();
        final Semaphore mayEnd = new Semaphore(0);

        @Override
        public void run(List<Integer> requests, SideStream<Integer>.Lane lane) {
            begun.add(List.copyOf(requests));
            mayEnd.acquireUninterruptibly();
        }

        @Override
        public void refuse(Integer request, IllegalStateException reason) {
            refused.add(request);
        }
    }

    @Test
    void shouldDoWhatWaitsTogetherAndInOrder() throws InterruptedException {
        Slow worker = new Slow();
        try (SideStream<Integer> side = new SideStream<>("side", driver, driver::createStream, 2, worker)) {
            side.add(1);
            assertEquals(List.of(1), worker.begun.take());
            List.of(2, 3, 4).forEach(side::add);
            worker.mayEnd.release(3);
            assertEquals(List.of(2, 3), worker.begun.take());
            assertEquals(List.of(4), worker.begun.take());
        }
        assertEquals(List.of(), worker.refused);
    }

    @Test
    void shouldRefuseWhatComesAfterTheEnd() {
        Slow worker = new Slow();
        SideStream<Integer> side = new SideStream<>("side", driver, driver::createStream, 2, worker);
        side.close();
        side.add(7);
        assertEquals(List.of(7), worker.refused);
        assertEquals(List.of(), List.copyOf(worker.begun));
    }

    @Test
    void shouldLiveOnWhenAnAnswerThrows() {
        try (BlockCopier copier = new BlockCopier(driver, driver.createEvent(false))) {
            copier.toDevice(new long[0], new MemorySegment[0], false, failure -> {
                throw new UnsupportedOperationException("on purpose");
            });
            CompletableFuture<Boolean> next = new CompletableFuture<>();
            copier.toDevice(new long[0], new MemorySegment[0], false, failure -> next.complete(failure == null));
            assertTrue(next.join(), "the copy after it failed");
        }
    }

    @Test
    void shouldAnswerCopiesAskedForAfterTheEnd() {
        BlockCopier copier = new BlockCopier(driver, driver.createEvent(false));
        copier.close();
        CompletableFuture<RuntimeException> out = new CompletableFuture<>();
        CompletableFuture<RuntimeException> in = new CompletableFuture<>();
        copier.toHost(0, MemorySegment.NULL, out::complete);
        copier.toDevice(new long[0], new MemorySegment[0], false, in::complete);
        assertInstanceOf(IllegalStateException.class, out.join());
        assertInstanceOf(IllegalStateException.class, in.join());
    }
}
