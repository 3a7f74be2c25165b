package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;

/**
 * Copies blocks between device and pinned memory on a stream and a thread of its own, beside the passes. What is asked for
 * while copies run goes out together when they are over. The queue is bounded by the windows there are.
 */
final class BlockCopier implements AutoCloseable {
    private static final long POLL_NANOS = 20_000;
    /** Few enough that the first of many leaves soon, enough to keep the bus busy between two polls. */
    private static final int MAX_TOGETHER = 32;

    private record Copy(
            long[] device,
            MemorySegment[] host,
            boolean toDevice,
            boolean afterPass,
            Consumer<RuntimeException> done) {}

    private final CudaDriver driver;
    private final Event lastPass;
    private final LinkedBlockingQueue<Copy> queue = new LinkedBlockingQueue<>();
    private final Thread thread;
    private volatile boolean closed;

    /**
     * @param lastPass the mark behind the latest pass, for blocks that a pass nobody waits for may still write to ({@link BlockWrites}).
     *     A block that is read was computed by a pass that is over, and must not wait for the one that runs now
     */
    BlockCopier(CudaDriver driver, Event lastPass) {
        this.driver = driver;
        this.lastPass = lastPass;
        thread = Thread.ofPlatform().name("kv-copier").daemon().start(this::run);
    }

    void toHost(long device, MemorySegment host, Consumer<RuntimeException> done) {
        queue.add(new Copy(new long[] {device}, new MemorySegment[] {host}, false, false, done));
    }

    /** @param afterPass whether a pass that may still run writes to a target */
    void toDevice(long[] device, MemorySegment[] host, boolean afterPass, Consumer<RuntimeException> done) {
        queue.add(new Copy(device, host, true, afterPass, done));
    }

    private void run() {
        List<Copy> together = new ArrayList<>();
        driver.makeCurrent();
        try (Stream stream = driver.createStream();
                Event over = driver.createEvent(false)) {
            while (!closed) {
                together.clear();
                Copy first = queue.poll(100, TimeUnit.MILLISECONDS);
                if (first != null) {
                    together.add(first);
                    queue.drainTo(together, MAX_TOGETHER - 1);
                    RuntimeException failure = copy(together, stream, over);
                    together.forEach(c -> c.done().accept(failure));
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        for (Copy left = queue.poll(); left != null; left = queue.poll()) {
            left.done().accept(new IllegalStateException("the KV memory is closed"));
        }
    }

    /** Null when all went well. */
    private RuntimeException copy(List<Copy> copies, Stream stream, Event over) {
        try {
            copies.stream().filter(c -> !c.afterPass()).forEach(c -> enqueue(c, stream));
            if (copies.stream().anyMatch(Copy::afterPass)) {
                driver.waitFor(stream, lastPass);
                copies.stream().filter(Copy::afterPass).forEach(c -> enqueue(c, stream));
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

    private void enqueue(Copy c, Stream stream) {
        for (int i = 0; i < c.device().length; i++) {
            MemorySegment host = c.host()[i];
            if (c.toDevice()) {
                driver.copyToDevice(c.device()[i], host.address(), host.byteSize(), stream);
            } else {
                driver.copyToHost(host.address(), c.device()[i], host.byteSize(), stream);
            }
        }
    }

    @Override
    public void close() {
        closed = true;
        ThreadEnd.await(thread);
    }
}
