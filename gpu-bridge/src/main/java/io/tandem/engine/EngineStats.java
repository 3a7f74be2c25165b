package io.tandem.engine;

/**
 * A snapshot of an engine's load, safe to read from any thread.
 *
 * @param role current scheduling state
 * @param waiting sequences not started
 * @param running sequences with a step behind them
 * @param reserved sequences whose KV is on its way here
 * @param held finished prefills whose blocks wait for their transfer
 * @param waitingPromptTokens prompt tokens not yet computed
 * @param decodes sequences whose output is or will be computed here
 * @param contextTokens tokens of their prompts and outputs so far
 * @param totalBlocks KV blocks
 * @param freeBlocks KV blocks nobody uses and no cache entry fills
 * @param cachedBlocks KV blocks nobody uses whose content can be found again
 * @param steps steps since start
 * @param computedTokens tokens run through the model since start
 * @param generatedTokens tokens chosen since start
 * @param cacheHitTokens prompt tokens found in the prefix cache since start
 * @param preemptions since start
 * @param lastStepNanos duration of the latest step
 */
public record EngineStats(
        EngineRole role,
        int waiting,
        int running,
        int reserved,
        int held,
        long waitingPromptTokens,
        int decodes,
        long contextTokens,
        int totalBlocks,
        int freeBlocks,
        int cachedBlocks,
        long steps,
        long computedTokens,
        long generatedTokens,
        long cacheHitTokens,
        long preemptions,
        long lastStepNanos) {

    /** Blocks that a sequence or a lease holds. */
    public int usedBlocks() {
        return totalBlocks - freeBlocks - cachedBlocks;
    }
}
