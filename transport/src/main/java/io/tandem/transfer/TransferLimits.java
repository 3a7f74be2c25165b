package io.tandem.transfer;

/** Bounds of the agents, apart from the wire's settings. */
record TransferLimits(
        int maxLeases, int queueEntries, int maxPeers, long connectTimeoutNanos, long resultTimeoutNanos) {
    static TransferLimits of(TransferSettings s) {
        return new TransferLimits(
                s.maxLeases(),
                s.queueEntries(),
                s.maxPeers(),
                s.connectTimeout().toNanos(),
                s.resultTimeout().toNanos());
    }
}
