package io.tandem.cluster;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Waits for a condition; the limit guards against hangs and is no measure of speed. */
final class Poll {
    private static final int HANG_GUARD_SECONDS = 90;
    private static final long PAUSE_MILLIS = 50;

    private Poll() {}

    static void until(String what, BooleanSupplier condition, Supplier<String> onTimeout) {
        until(HANG_GUARD_SECONDS, what, condition, onTimeout);
    }

    static void until(int guardSeconds, String what, BooleanSupplier condition, Supplier<String> onTimeout) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(guardSeconds);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("waited " + guardSeconds + " s for " + what + "\n" + onTimeout.get());
            }
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(PAUSE_MILLIS));
        }
    }

    /** Does nothing for so long, and not less. */
    static void pause(long millis) {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        for (long left = end - System.nanoTime(); left > 0; left = end - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
    }
}
