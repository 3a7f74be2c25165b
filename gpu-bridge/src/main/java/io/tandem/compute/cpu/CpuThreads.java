package io.tandem.compute.cpu;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * A fixed team of threads for one caller: {@link #run} splits a task into numbered items that the caller and its helpers
 * claim one by one, and returns when all are done. Helpers spin for a few microseconds between the many small tasks of a
 * forward pass, then sleep, so that an idle worker costs nothing. Allocates nothing after construction.
 */
final class CpuThreads implements AutoCloseable {
    private static final int SPINS_BEFORE_PARK = 2000;
    private static final int SPINS_BEFORE_YIELD = 500;
    private static final long PARK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    /** A piece of work cut into items; items must not depend on each other. */
    interface Task {
        /**
         * @param item from 0
         * @param thread index of the thread, for scratch memory
         */
        void run(int item, int thread);
    }

    private final Thread[] helpers;
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicInteger busy = new AtomicInteger();
    private volatile int generation;
    private volatile boolean closed;
    private Task task;
    private int items;
    private volatile Throwable failure;

    CpuThreads(int threads) {
        helpers = new Thread[threads - 1];
        for (int i = 0; i < helpers.length; i++) {
            int index = i + 1;
            helpers[i] = Thread.ofPlatform()
                    .name("cpu-compute-" + index)
                    .daemon(true)
                    .start(() -> help(index));
        }
    }

    int threads() {
        return helpers.length + 1;
    }

    // The caller is the only writer of the generation; yielding only bounds the cost of waiting for a helper that lost
    // its core.
    void run(Task newTask, int itemCount) {
        if (helpers.length == 0 || itemCount == 1) {
            for (int i = 0; i < itemCount; i++) {
                newTask.run(i, 0);
            }
            return;
        }
        task = newTask;
        items = itemCount;
        failure = null;
        next.set(0);
        busy.set(helpers.length);
        generation++;
        for (Thread helper : helpers) {
            LockSupport.unpark(helper);
        }
        try {
            work(newTask, itemCount, 0);
        } finally {
            int spins = 0;
            while (busy.get() > 0) {
                if (++spins > SPINS_BEFORE_YIELD) {
                    Thread.yield();
                } else {
                    Thread.onSpinWait();
                }
            }
        }
        if (failure != null) {
            throw new IllegalStateException("a part of the work failed: " + failure, failure);
        }
    }

    private void work(Task current, int itemCount, int thread) {
        for (int i = next.getAndIncrement(); i < itemCount; i = next.getAndIncrement()) {
            current.run(i, thread);
        }
    }

    private void help(int thread) {
        int seen = 0;
        while (!closed) {
            int spins = 0;
            while (generation == seen && !closed) {
                if (++spins > SPINS_BEFORE_PARK) {
                    LockSupport.parkNanos(this, PARK_NANOS);
                } else {
                    Thread.onSpinWait();
                }
            }
            if (closed) {
                return;
            }
            seen = generation;
            try {
                work(task, items, thread);
            } catch (RuntimeException | Error e) {
                // An error as well: a helper that is gone would be waited for by every task to come.
                failure = e;
            } finally {
                busy.decrementAndGet();
            }
        }
    }

    @Override
    public void close() {
        closed = true;
        for (Thread helper : helpers) {
            LockSupport.unpark(helper);
        }
        for (Thread helper : helpers) {
            try {
                helper.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
