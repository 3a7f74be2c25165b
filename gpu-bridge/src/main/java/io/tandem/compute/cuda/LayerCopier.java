package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;

/**
 * Copies blocks to pinned memory a group of layers at a time while their pass runs: on a stream that waits for the pass's marks
 * and a thread of its own, so that no other copy waits with it. The queue is bounded by the windows there are.
 */
final class LayerCopier implements AutoCloseable {
    private static final long POLL_NANOS = 20_000;

    private record Part(
            long pass,
            int group,
            long offset,
            long bytes,
            long[] device,
            MemorySegment[] host,
            Consumer<RuntimeException> done) {}

    private final CudaDriver driver;
    private final LayerMarks marks;
    private final LinkedBlockingQueue<Part> queue = new LinkedBlockingQueue<>();
    private final Thread thread;
    private volatile boolean closed;

    LayerCopier(CudaDriver driver, LayerMarks marks) {
        this.driver = driver;
        this.marks = marks;
        thread = Thread.ofPlatform().name("kv-layers").daemon().start(this::run);
    }

    /** Copies {@code bytes} from an offset of each block to the same offset of its window. */
    void toHost(
            long pass,
            int group,
            long offset,
            long bytes,
            long[] device,
            MemorySegment[] host,
            Consumer<RuntimeException> done) {
        queue.add(new Part(pass, group, offset, bytes, device, host, done));
        if (closed) {
            failLeft();
        }
    }

    private void run() {
        driver.makeCurrent();
        try (Stream stream = driver.createStream();
                Event over = driver.createEvent(false)) {
            while (!closed) {
                Part part = queue.poll(100, TimeUnit.MILLISECONDS);
                if (part != null) {
                    part.done().accept(copy(part, stream, over));
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        failLeft();
    }

    private void failLeft() {
        for (Part left = queue.poll(); left != null; left = queue.poll()) {
            left.done().accept(new IllegalStateException("the KV memory is closed"));
        }
    }

    /** Null when all went well. */
    private RuntimeException copy(Part part, Stream stream, Event over) {
        try {
            marks.await(part.pass(), part.group(), stream);
            for (int i = 0; i < part.device().length; i++) {
                driver.copyToHost(
                        part.host()[i].address() + part.offset(),
                        part.device()[i] + part.offset(),
                        part.bytes(),
                        stream);
            }
            driver.record(over, stream);
            while (!driver.isDone(over)) {
                if (closed) {
                    return new IllegalStateException("the KV memory is closed");
                }
                LockSupport.parkNanos(POLL_NANOS);
            }
            return null;
        } catch (CudaException e) {
            return e;
        }
    }

    @Override
    public void close() {
        closed = true;
        ThreadEnd.await(thread);
    }
}
