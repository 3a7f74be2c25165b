package io.tandem.request;

/** What of a {@link io.tandem.RequestReport} only the request's life cycle knows. */
public record RequestFigures(
        int cachedTokens,
        String prefillGpu,
        String decodeGpu,
        boolean split,
        int kvBlocks,
        long kvBytes,
        long kvNanos,
        int kvDirectBlocks,
        int checksumFailures,
        int resumes,
        String reason) {}
