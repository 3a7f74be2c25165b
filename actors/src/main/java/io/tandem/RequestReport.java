package io.tandem;

import java.util.List;

/**
 * What one request took, for usage, for {@code /admin/requests/{id}} and for benchmarks.
 *
 * @param requestId unique in the cluster
 * @param promptTokens tokens of the prompt
 * @param outputTokens tokens generated
 * @param cachedPromptTokens prompt tokens no GPU had to compute
 * @param ttftMs from acceptance to the first token on this node, milliseconds
 * @param totalMs from acceptance to the end
 * @param prefillGpu GPU that computed the prompt
 * @param decodeGpu GPU that generated (the last one, when it was resumed)
 * @param split whether prompt and output ran on different GPUs
 * @param kvBlocks KV blocks moved between GPUs
 * @param kvBytes bytes of them
 * @param kvTransferMs from the first block sent to the last acknowledged
 * @param kvDirectBlocks those of {@code kvBlocks} that went from device to device
 * @param checksumFailures blocks that arrived damaged
 * @param resumes times the request was taken over by another GPU
 * @param routingReason why it was split or not, for people
 * @param serviceClass its service class
 * @param queueMs time it waited before it was sent to a GPU; part of {@code ttftMs}
 * @param decisions of its attempts, in order; see {@link RouteDecision}
 */
public record RequestReport(
        String requestId,
        int promptTokens,
        int outputTokens,
        int cachedPromptTokens,
        double ttftMs,
        double totalMs,
        String prefillGpu,
        String decodeGpu,
        boolean split,
        int kvBlocks,
        long kvBytes,
        double kvTransferMs,
        int kvDirectBlocks,
        int checksumFailures,
        int resumes,
        String routingReason,
        String serviceClass,
        double queueMs,
        List<RouteDecision> decisions) {}
