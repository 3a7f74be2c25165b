package io.tandem.engine;

import io.tandem.compute.DeviceLostException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The thread of an engine: {@link EngineTurns} while there is work, sleep when there is none. */
public final class EngineLoop implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(EngineLoop.class);
    private static final long IDLE_PARK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    private static final int CLOSE_GUARD_SECONDS = 30;

    private final Engine engine;
    private final EngineTurns turns;
    private final Thread thread;
    private final AtomicBoolean closed = new AtomicBoolean();
    private volatile long lastTurnNanos = System.nanoTime();
    private volatile boolean parked;
    private volatile DeviceLostException failure;

    /** Starts the thread. The loop owns the engine and closes it. */
    public EngineLoop(String name, Engine engine, int commandQueueEntries) {
        this.engine = engine;
        turns = new EngineTurns(engine, commandQueueEntries);
        thread = Thread.ofPlatform().name("engine-" + name).daemon(true).unstarted(this::run);
        thread.start();
    }

    /** Queues a command from any thread; false when the queue is full or the loop is closed. */
    public boolean offer(EngineCommand command) {
        boolean queued = !closed.get() && turns.offer(command);
        if (parked) {
            LockSupport.unpark(thread);
        }
        return queued;
    }

    /** The engine's load after its latest step. */
    public EngineStats stats() {
        return turns.stats();
    }

    /** Why the loop ended by itself; null while it runs and after an ordinary close. */
    public DeviceLostException failure() {
        return failure;
    }

    /** How long the thread has been in one turn: a large value means the engine hangs. */
    public long turnAgeNanos(long nowNanos) {
        return nowNanos - lastTurnNanos;
    }

    private void run() {
        while (!closed.get()) {
            long now = System.nanoTime();
            lastTurnNanos = now;
            try {
                if (!turns.turn(now)) {
                    park();
                }
            } catch (DeviceLostException e) {
                LOG.error(
                        "{}: the device is lost; its sequences end here and may go on elsewhere", thread.getName(), e);
                endBy(e);
            } catch (RuntimeException | Error e) {
                LOG.error("{}: cannot go on; its sequences end here and may go on elsewhere", thread.getName(), e);
                DeviceLostException end = new DeviceLostException("the engine's thread failed: " + e, e);
                turns.failAll(end.getMessage(), now);
                endBy(end);
            }
        }
        engine.close();
    }

    /** In this order: whoever sees the failure finds the loop closed. */
    private void endBy(DeviceLostException e) {
        closed.set(true);
        failure = e;
    }

    private void park() {
        turns.refreshStats();
        parked = true;
        if (!turns.hasCommands() && !closed.get()) {
            LockSupport.parkNanos(this, IDLE_PARK_NANOS);
        }
        parked = false;
    }

    /** Whether the thread is gone, so that what it computed with may be freed. */
    public boolean hasEnded() {
        return !thread.isAlive();
    }

    /** Stops the thread after its current step and frees the KV memory. Gives up on one that takes too long: {@link #hasEnded}. */
    @Override
    public void close() {
        closed.set(true);
        LockSupport.unpark(thread);
        try {
            if (!thread.join(java.time.Duration.ofSeconds(CLOSE_GUARD_SECONDS))) {
                LOG.error("{} does not stop; its KV memory stays until the process ends", thread.getName());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
