package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Event;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A stream and a thread of its own, beside the passes, that does what it is asked in order. Its queue is bounded by what the
 * requests hold: windows, leases, links. Every request is answered, those that come after the end as well.
 */
final class SideStream<T> implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SideStream.class);
    private static final long POLL_NANOS = 20_000;
    private static final long IDLE_MILLIS = 100;

    /** What is done with requests. Called on the thread, {@link #refuse} on the asker's too. */
    interface Worker<T> {
        /** Does and answers all of them, each answer by {@link Lane#answer}. */
        void run(List<T> requests, SideStream<T>.Lane lane);

        /** Answers one that nothing is done for any more. */
        void refuse(T request, IllegalStateException reason);
    }

    /** The stream, for its thread. */
    final class Lane {
        private final Stream stream;
        private final Event over;

        private Lane(Stream stream, Event over) {
            this.stream = stream;
            this.over = over;
        }

        Stream stream() {
            return stream;
        }

        /**
         * Returns when all that was put on the stream is done.
         *
         * @throws IllegalStateException when this was closed meanwhile
         */
        void finish() {
            driver.record(over, stream);
            while (!driver.isDone(over)) {
                if (closed) {
                    throw ended();
                }
                LockSupport.parkNanos(POLL_NANOS);
            }
        }

        /** Gives an asker its answer. What that throws is logged: it must not cost the others theirs. */
        void answer(Runnable answer) {
            safely(answer);
        }
    }

    private final CudaDriver driver;
    private final Supplier<Stream> streams;
    private final int maxTogether;
    private final Worker<T> worker;
    private final LinkedBlockingQueue<T> queue = new LinkedBlockingQueue<>();
    private final Thread thread;
    private volatile boolean closed;

    /**
     * @param streams makes the stream, on its thread
     * @param maxTogether requests that the worker is given at a time when as many wait
     */
    SideStream(String name, CudaDriver driver, Supplier<Stream> streams, int maxTogether, Worker<T> worker) {
        this.driver = driver;
        this.streams = streams;
        this.maxTogether = maxTogether;
        this.worker = worker;
        thread = Thread.ofPlatform().name(name).daemon().start(this::run);
    }

    void add(T request) {
        queue.add(request);
        if (closed) {
            refuseLeft();
        }
    }

    private void run() {
        try {
            driver.makeCurrent();
            carryOut();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            closed = true;
            refuseLeft();
        }
    }

    private void carryOut() throws InterruptedException {
        List<T> together = new ArrayList<>();
        try (Stream stream = streams.get();
                Event over = driver.createEvent(false)) {
            Lane lane = new Lane(stream, over);
            while (!closed) {
                T first = queue.poll(IDLE_MILLIS, TimeUnit.MILLISECONDS);
                if (first != null) {
                    together.add(first);
                    queue.drainTo(together, maxTogether - 1);
                    safely(() -> worker.run(together, lane));
                    together.clear();
                }
            }
        }
    }

    private void safely(Runnable answer) {
        try {
            answer.run();
        } catch (RuntimeException e) {
            LOG.error("{}: the answer to a request failed", thread.getName(), e);
        }
    }

    private void refuseLeft() {
        for (T left = queue.poll(); left != null; left = queue.poll()) {
            T request = left;
            safely(() -> worker.refuse(request, ended()));
        }
    }

    private static IllegalStateException ended() {
        return new IllegalStateException("the KV memory is closed");
    }

    /** Returns when the thread has ended: memory that it used may be freed then. */
    @Override
    public void close() {
        closed = true;
        ThreadEnd.await(thread);
    }
}
