package io.tandem.transfer;

import java.time.Duration;

/** Bounds of the agents, apart from the wire's settings. */
record TransferLimits(
        int maxLeases,
        int queueEntries,
        int maxPeers,
        long connectTimeoutNanos,
        LinkPatience link,
        long resultTimeoutNanos) {

    /**
     * With a receiver that was connected and is so no more.
     *
     * @param wireNanos until the wire says so
     * @param senderNanos from then on, until transfers fail
     */
    record LinkPatience(long wireNanos, long senderNanos) {
        /** A receiver tells of itself five times a second; a driver that was late itself hears it the moment after. */
        static LinkPatience of(Duration timeout) {
            long wire = timeout.toNanos() * 2 / 3;
            return new LinkPatience(wire, timeout.toNanos() - wire);
        }

        long wholeNanos() {
            return wireNanos + senderNanos;
        }
    }

    static TransferLimits of(TransferSettings s) {
        return new TransferLimits(
                s.maxLeases(),
                s.queueEntries(),
                s.maxPeers(),
                s.connectTimeout().toNanos(),
                LinkPatience.of(s.linkTimeout()),
                s.resultTimeout().toNanos());
    }
}
