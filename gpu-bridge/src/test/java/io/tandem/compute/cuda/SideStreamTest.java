package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.tandem.compute.cuda.SideStream.Worker;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
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

    /** Nobody would take its requests from the queue. */
    @Test
    void shouldRefuseAllWhenItsThreadCannotBegin() {
        CudaDriver broken = (CudaDriver) Proxy.newProxyInstance(
                CudaDriver.class.getClassLoader(), new Class<?>[] {CudaDriver.class}, (proxy, method, arguments) -> {
                    throw new CudaException("cuCtxSetCurrent", 201, "CUDA_ERROR_INVALID_CONTEXT");
                });
        try (BlockCopier copier = new BlockCopier(broken, driver.createEvent(false))) {
            CompletableFuture<RuntimeException> answer = new CompletableFuture<>();
            copy(copier, answer::complete);
            assertInstanceOf(
                    IllegalStateException.class,
                    answer.orTimeout(60, TimeUnit.SECONDS).join());
        }
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

    /** The throwing answer stands before another of its batch, and before a later batch. */
    @Test
    void shouldGiveTheOthersTheirAnswersWhenOneThrows() {
        try (BlockCopier copier = new BlockCopier(driver, driver.createEvent(false))) {
            CompletableFuture<Void> begun = new CompletableFuture<>();
            CompletableFuture<Void> asked = new CompletableFuture<>();
            copy(copier, failure -> {
                begun.complete(null);
                asked.join();
            });
            begun.join();
            copy(copier, failure -> {
                throw new UnsupportedOperationException("on purpose");
            });
            CompletableFuture<RuntimeException> sameBatch = new CompletableFuture<>();
            copy(copier, sameBatch::complete);
            asked.complete(null);
            assertNull(sameBatch.orTimeout(60, TimeUnit.SECONDS).join());
            CompletableFuture<RuntimeException> later = new CompletableFuture<>();
            copy(copier, later::complete);
            assertNull(later.orTimeout(60, TimeUnit.SECONDS).join());
        }
    }

    private static void copy(BlockCopier copier, Consumer<RuntimeException> done) {
        copier.toDevice(new long[0], new MemorySegment[0], false, done);
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
