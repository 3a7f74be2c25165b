package io.tandem.routing;

import io.tandem.kvcache.BlockHash;
import io.tandem.kvcache.BlockHashKey;
import io.tandem.kvcache.BlockKey;

/**
 * The names of a prompt's whole blocks, in order, as {@link PrefixIndex} knows them; see {@link BlockKey}.
 *
 * @param blockTokens tokens of a block
 * @param hashes one a block
 */
public record PromptKeys(int blockTokens, long[] hashes) {
    /** Of a prompt that nobody looked up. */
    public static final PromptKeys NONE = new PromptKeys(1, new long[0]);

    /**
     * Hashes a prompt. The last token is never cached: a sequence needs one to run, so its block is left out.
     *
     * @param cacheSalt the tenant's; see {@link io.tandem.engine.SequenceSpec}
     */
    public static PromptKeys of(String modelFingerprint, int blockTokens, long cacheSalt, int[] tokens) {
        return of(BlockHashKey.PUBLIC, modelFingerprint, blockTokens, cacheSalt, tokens);
    }

    /** @param key of the cluster's block hashes */
    public static PromptKeys of(
            BlockHashKey key, String modelFingerprint, int blockTokens, long cacheSalt, int[] tokens) {
        long[] hashes = new long[Math.max(0, (tokens.length - 1) / blockTokens)];
        if (hashes.length > 0) {
            BlockHash hash = BlockHash.of(key, modelFingerprint, blockTokens);
            hash.root(cacheSalt);
            for (int i = 0; i < hashes.length; i++) {
                hash.next(tokens, i * blockTokens);
                hashes[i] = BlockKey.of(hash.high(), hash.low());
            }
        }
        return new PromptKeys(blockTokens, hashes);
    }
}
