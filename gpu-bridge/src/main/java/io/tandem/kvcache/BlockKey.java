package io.tandem.kvcache;

/**
 * The 64-bit name of a KV block where only routing depends on it: the low half of its 128-bit {@link BlockHash}. The hash is
 * SHA-256 cut short, so each half is as good as any function of both. Two blocks of one name can send a request to the wrong
 * worker, which compares all 128 bits before it uses a block.
 */
public final class BlockKey {
    private BlockKey() {}

    public static long of(long hashHigh, long hashLow) {
        return hashLow;
    }
}
