package io.tandem.transfer;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;
import org.agrona.concurrent.BackoffIdleStrategy;
import org.agrona.concurrent.IdleStrategy;

/**
 * Backs off within microseconds while there is traffic, and sleeps longer after a second without any: an agent that wakes
 * every 400 microseconds for nothing costs some percent of a core, and a worker has three of them.
 */
final class RestingIdleStrategy implements IdleStrategy {
    private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final int TRAFFIC_CYCLES = 3;
    private static final long MAX_SPINS = 100;
    private static final long MAX_YIELDS = 20;
    private static final long MIN_PARK_NANOS = 1_000;

    private final BackoffIdleStrategy busy;
    private final long restNanos;
    private final LongSupplier clock;
    private volatile long lastTrafficNanos;
    private volatile Thread sleeper;
    private int cyclesWithWork;

    /**
     * @param sleepNanos longest sleep while there is traffic
     * @param restNanos sleep after a second without
     * @param clock nanoseconds, any origin
     */
    RestingIdleStrategy(long sleepNanos, long restNanos, LongSupplier clock) {
        busy = new BackoffIdleStrategy(MAX_SPINS, MAX_YIELDS, MIN_PARK_NANOS, sleepNanos);
        this.restNanos = Math.max(sleepNanos, restNanos);
        this.clock = clock;
        lastTrafficNanos = clock.getAsLong();
    }

    /** Work in several cycles at once is traffic; single ones are an agent's own timers, which do not end a rest. */
    @Override
    public void idle(int workCount) {
        if (workCount <= 0) {
            cyclesWithWork = 0;
            idle();
            return;
        }
        if (++cyclesWithWork >= TRAFFIC_CYCLES) {
            lastTrafficNanos = clock.getAsLong();
        }
        busy.reset();
    }

    @Override
    public void idle() {
        if (resting()) {
            sleeper = Thread.currentThread();
            LockSupport.parkNanos(restNanos);
            sleeper = null;
        } else {
            busy.idle();
        }
    }

    /** Ends a rest: there will be traffic. Any thread. */
    void wake() {
        lastTrafficNanos = clock.getAsLong();
        Thread sleeping = sleeper;
        if (sleeping != null) {
            LockSupport.unpark(sleeping);
        }
    }

    /** Whether the last traffic is long ago. */
    boolean resting() {
        return clock.getAsLong() - lastTrafficNanos > QUIET_NANOS;
    }

    @Override
    public void reset() {
        cyclesWithWork = 0;
        busy.reset();
    }

    @Override
    public String alias() {
        return "resting";
    }
}
