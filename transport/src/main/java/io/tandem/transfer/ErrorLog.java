package io.tandem.transfer;

import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.agrona.ErrorHandler;
import org.slf4j.Logger;

/**
 * Tells the log of errors that a driver or an agent goes on after: of each kind at most once a second, since a network without a way to
 * a peer is an error for each datagram, thousands a second.
 */
final class ErrorLog implements ErrorHandler {
    private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final Logger log;
    private final LongSupplier clock;
    private String lastMessage = "";
    private long lastNanos;
    private long untold;

    ErrorLog(Logger log, LongSupplier clock) {
        this.log = log;
        this.clock = clock;
    }

    @Override
    public synchronized void onError(Throwable error) {
        String message = error.toString();
        long now = clock.getAsLong();
        if (message.equals(lastMessage) && now - lastNanos < PAUSE_NANOS) {
            untold++;
            return;
        }
        String more = untold == 0 ? "" : "; " + untold + " more of the one before";
        lastMessage = message;
        lastNanos = now;
        untold = 0;
        log.warn("a transfer agent goes on after {}{}", message, more);
        log.debug("it came from", error);
    }
}
