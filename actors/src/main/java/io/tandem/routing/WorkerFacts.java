package io.tandem.routing;

/**
 * What a router needs of a worker to predict: part of its report.
 *
 * @param stepPromptTokens prompt tokens a step takes in its present role
 * @param maxSequences that run there at the same time, at most
 * @param blockTokens tokens of a KV block
 * @param blockBytes bytes of a KV block
 * @param lastBlockEvent number of the latest block event it published; 0 = none yet
 * @param steps what it has learned of its step times
 * @param promptShare of its time that its prompts took lately, 0 to 1
 */
public record WorkerFacts(
        int stepPromptTokens,
        int maxSequences,
        int blockTokens,
        long blockBytes,
        long lastBlockEvent,
        StepTimes steps,
        double promptShare) {}
