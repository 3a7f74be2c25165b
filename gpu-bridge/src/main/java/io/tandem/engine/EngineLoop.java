package io.tandem.engine;

import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The thread of an engine: takes commands between steps, steps while there is work, sleeps when there is none. Offers are
 * bounded; the last eighth of the queue is kept for commands that free something, so that an overloaded engine can always
 * be told to let go.
 */
public final class EngineLoop implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(EngineLoop.class);
    private static final long IDLE_PARK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    private static final long HOUSEKEEPING_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    private static final int CLOSE_GUARD_SECONDS = 30;

    private final Engine engine;
    private final ArrayBlockingQueue<EngineCommand> commands;
    private final int headroom;
    private final Thread thread;
    private final AtomicBoolean closed = new AtomicBoolean();
    private volatile EngineStats stats;
    private volatile long lastTurnNanos = System.nanoTime();
    private volatile boolean parked;

    /** Starts the thread. The loop owns the engine and closes it. */
    public EngineLoop(String name, Engine engine, int commandQueueEntries) {
        this.engine = engine;
        commands = new ArrayBlockingQueue<>(commandQueueEntries);
        headroom = commandQueueEntries / 8;
        stats = engine.stats();
        thread = Thread.ofPlatform().name("engine-" + name).daemon(true).unstarted(this::run);
        thread.start();
    }

    /** Queues a command from any thread; false when the queue is full or the loop is closed. */
    public boolean offer(EngineCommand command) {
        if (closed.get() || !frees(command) && commands.remainingCapacity() <= headroom) {
            return false;
        }
        boolean queued = commands.offer(command);
        if (parked) {
            LockSupport.unpark(thread);
        }
        return queued;
    }

    private static boolean frees(EngineCommand command) {
        return command instanceof EngineCommand.Cancel
                || command instanceof EngineCommand.Release
                || command instanceof EngineCommand.Adopt;
    }

    /** The engine's load after its latest step. */
    public EngineStats stats() {
        return stats;
    }

    /** How long the thread has been in one turn: a large value means the engine hangs. */
    public long turnAgeNanos(long nowNanos) {
        return nowNanos - lastTurnNanos;
    }

    private void run() {
        long housekeeping = 0;
        while (!closed.get()) {
            long now = System.nanoTime();
            lastTurnNanos = now;
            boolean worked = drainCommands(now);
            if (now - housekeeping >= HOUSEKEEPING_NANOS || housekeeping == 0) {
                housekeeping = now;
                engine.endExpired(now);
                stats = engine.stats();
            }
            worked |= step(now);
            if (!worked) {
                park();
            }
        }
        engine.close();
    }

    private boolean drainCommands(long now) {
        boolean any = false;
        for (EngineCommand c = commands.poll(); c != null; c = commands.poll()) {
            any = true;
            try {
                engine.apply(c, now);
            } catch (RuntimeException e) {
                LOG.error("engine command {} failed", c, e);
            }
        }
        if (any) {
            stats = engine.stats();
        }
        return any;
    }

    private boolean step(long now) {
        try {
            return engine.hasWork() && engine.step(now);
        } catch (RuntimeException e) {
            LOG.error("engine step failed; its sequences end with an error", e);
            engine.failStep(e.toString(), now);
            return true;
        }
    }

    private void park() {
        stats = engine.stats();
        parked = true;
        if (commands.isEmpty() && !closed.get()) {
            LockSupport.parkNanos(this, IDLE_PARK_NANOS);
        }
        parked = false;
    }

    /** Stops the thread after its current step and frees the KV memory. */
    @Override
    public void close() {
        if (!closed.compareAndSet(false, true)) {
            return;
        }
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
