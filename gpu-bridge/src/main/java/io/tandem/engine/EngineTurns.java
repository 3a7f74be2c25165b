package io.tandem.engine;

import io.tandem.compute.DeviceLostException;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The turns of an engine without a thread or a clock of their own: commands, deadlines, one step. {@link EngineLoop} gives
 * them a thread; a simulation calls them at the times it likes. Offers are bounded; the last eighth of the queue is kept
 * for commands that free something, so that an overloaded engine can always be told to let go.
 */
public final class EngineTurns {
    private static final Logger LOG = LoggerFactory.getLogger(EngineTurns.class);
    private static final long HOUSEKEEPING_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    private final Engine engine;
    private final ArrayBlockingQueue<EngineCommand> commands;
    private final int headroom;
    private volatile EngineStats stats;
    private boolean began;
    private long housekeepingNanos;

    public EngineTurns(Engine engine, int commandQueueEntries) {
        this.engine = engine;
        commands = new ArrayBlockingQueue<>(commandQueueEntries);
        headroom = commandQueueEntries / 8;
        stats = engine.stats();
    }

    /** Queues a command from any thread; false when the queue is full. */
    public boolean offer(EngineCommand command) {
        return (frees(command) || commands.remainingCapacity() > headroom) && commands.offer(command);
    }

    private static boolean frees(EngineCommand command) {
        return command instanceof EngineCommand.Cancel
                || command instanceof EngineCommand.Release
                || command instanceof EngineCommand.EndExport
                || command instanceof EngineCommand.Resume
                || command instanceof EngineCommand.Pause
                || command instanceof EngineCommand.Shed
                || command instanceof EngineCommand.Adopt;
    }

    /** Any thread: whether a command waits. */
    public boolean hasCommands() {
        return !commands.isEmpty();
    }

    /** Any thread: the engine's load as of its latest turn. */
    public EngineStats stats() {
        return stats;
    }

    /**
     * One turn; answers whether anything was done. Always the same thread, or one after the other.
     *
     * @throws DeviceLostException once every sequence has ended: the last turn
     * @throws RuntimeException when it cannot go on
     */
    public boolean turn(long nowNanos) {
        boolean worked = drainCommands(nowNanos);
        if (!began || nowNanos - housekeepingNanos >= HOUSEKEEPING_NANOS) {
            began = true;
            housekeepingNanos = nowNanos;
            engine.endExpired(nowNanos);
            refreshStats();
        }
        return step(nowNanos) || worked;
    }

    /** Brings {@link #stats()} up to date; on the engine's thread. */
    public void refreshStats() {
        stats = engine.stats();
    }

    /** Ends every sequence, those that wait in the queue as well, as far as that can be done still. */
    void failAll(String detail, long nowNanos) {
        try {
            try {
                drainCommands(nowNanos);
            } finally {
                engine.failAll(detail, nowNanos);
                refreshStats();
            }
        } catch (RuntimeException | Error e) {
            LOG.error("the engine's sequences cannot be ended", e);
        }
    }

    private boolean drainCommands(long nowNanos) {
        boolean any = false;
        for (EngineCommand c = commands.poll(); c != null; c = commands.poll()) {
            any = true;
            apply(c, nowNanos);
        }
        if (any) {
            refreshStats();
        }
        return any;
    }

    /** Whoever waits for a command that fails hears so; one that nobody could be told of is the end of the engine. */
    private void apply(EngineCommand command, long nowNanos) {
        try {
            engine.apply(command, nowNanos);
        } catch (RuntimeException e) {
            LOG.error("engine command {} failed", command, e);
            if (!engine.failCommand(command, "the engine failed at a command: " + e, nowNanos)) {
                throw e;
            }
        }
    }

    private boolean step(long nowNanos) {
        try {
            return engine.hasWork() && stepOrFail(nowNanos);
        } catch (DeviceLostException e) {
            // What waits in the queue would never be told otherwise.
            drainCommands(nowNanos);
            engine.failAll(e.getMessage(), nowNanos);
            refreshStats();
            throw e;
        }
    }

    private boolean stepOrFail(long nowNanos) {
        try {
            return engine.step(nowNanos);
        } catch (DeviceLostException e) {
            throw e;
        } catch (RuntimeException e) {
            LOG.error("engine step failed; its sequences end with an error", e);
            engine.failStep(e.toString(), nowNanos);
            return true;
        }
    }
}
