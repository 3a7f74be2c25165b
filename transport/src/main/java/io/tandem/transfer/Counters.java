package io.tandem.transfer;

import io.tandem.transfer.BlockTransport.TransportCounters;
import java.util.concurrent.atomic.AtomicLong;

/** Totals of one transport; each is written by one agent and read by anybody. */
final class Counters {
    final AtomicLong blocksSent = new AtomicLong();
    final AtomicLong bytesSent = new AtomicLong();
    final AtomicLong blocksReceived = new AtomicLong();
    final AtomicLong bytesReceived = new AtomicLong();
    final AtomicLong checksumFailures = new AtomicLong();
    final AtomicLong leasesFailed = new AtomicLong();
    final AtomicLong backPressured = new AtomicLong();
    final AtomicLong directBlocksSent = new AtomicLong();
    final AtomicLong directBlocksReceived = new AtomicLong();

    TransportCounters read(int openReceives, int openSends) {
        return new TransportCounters(
                blocksSent.get(),
                bytesSent.get(),
                blocksReceived.get(),
                bytesReceived.get(),
                checksumFailures.get(),
                leasesFailed.get(),
                openReceives,
                openSends,
                backPressured.get(),
                directBlocksSent.get(),
                directBlocksReceived.get());
    }
}
