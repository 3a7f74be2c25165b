package io.tandem.request;

import io.tandem.routing.Route;
import io.tandem.transfer.TransferStats;

/** The {@link RequestFigures} of a request as they come. */
final class RunningFigures {
    private int cachedTokens = -1;
    private int resumes;
    private int kvBlocks;
    private long kvBytes;
    private long kvNanos;
    private int kvDirectBlocks;
    private int checksumFailures;
    private String prefillGpu = "";
    private String decodeGpu = "";
    private boolean split;
    private String reason = "";
    private String takenOverSince = "";

    void routed(Route route, boolean hasOutput) {
        prefillGpu = prefillGpu.isEmpty() || !hasOutput ? route.prefillGpu() : prefillGpu;
        decodeGpu = route.decodeGpu();
        split |= route.split();
        reason = takenOverSince.isEmpty() ? route.reason() : takenOverSince + "; then " + route.reason();
    }

    void moved(String toGpu) {
        decodeGpu = toGpu;
    }

    void goesOnSince(String why) {
        takenOverSince = why;
        reason = why;
    }

    void resumed() {
        resumes++;
    }

    /** The first worker that says so is right: later ones find what it computed. */
    void cached(int tokens) {
        cachedTokens = cachedTokens < 0 ? tokens : cachedTokens;
    }

    void transferred(TransferStats stats) {
        kvBlocks += stats.blocks();
        kvBytes += stats.bytes();
        kvNanos += stats.nanos();
        kvDirectBlocks += stats.directBlocks();
        checksumFailures += stats.checksumFailures();
    }

    void transferFailed(TransferStats stats) {
        checksumFailures += stats.checksumFailures();
    }

    RequestFigures now() {
        return new RequestFigures(
                Math.max(0, cachedTokens),
                prefillGpu,
                decodeGpu,
                split,
                kvBlocks,
                kvBytes,
                kvNanos,
                kvDirectBlocks,
                checksumFailures,
                resumes,
                reason);
    }
}
