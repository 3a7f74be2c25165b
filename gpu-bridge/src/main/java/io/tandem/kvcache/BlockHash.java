package io.tandem.kvcache;

/**
 * The content address of a KV block: 128 bits that stand for the block's tokens and all before them, the model's fingerprint and the
 * tenant's salt. A collision would hand one prompt the KV of another, so two prompts must never share a block by accident or by
 * attack: by SHA-256 where nothing is secret, or by SipHash-2-4 under a key that only the cluster's nodes know, which is faster.
 * Not thread-safe; allocates nothing after construction.
 */
public abstract class BlockHash {
    /** Words of {@link #save}. */
    public static final int STATE_WORDS = 7;

    private static final int OWN_WORDS = 2;

    private long rootHigh;
    private long rootLow;

    /** High half of the latest result. */
    long high;

    /** Low half of the latest result. */
    long low;

    BlockHash() {}

    /** By SHA-256. */
    public static BlockHash of(String modelFingerprint, int blockTokens) {
        return of(BlockHashKey.PUBLIC, modelFingerprint, blockTokens);
    }

    /** @param key the cluster's secret, or {@link BlockHashKey#PUBLIC} */
    public static BlockHash of(BlockHashKey key, String modelFingerprint, int blockTokens) {
        return key.isSecret()
                ? new SipBlockHash(key, modelFingerprint, blockTokens)
                : new Sha256BlockHash(modelFingerprint, blockTokens);
    }

    /** The latest result stands for the model. */
    final void setRoot() {
        rootHigh = high;
        rootLow = low;
    }

    public final long high() {
        return high;
    }

    public final long low() {
        return low;
    }

    /** Starts a chain for a tenant. */
    public final void root(long salt) {
        high = rootHigh;
        low = rootLow ^ salt;
        begin(high, low);
    }

    /** Goes on from where {@link #save} was called. */
    public final void restore(long[] state) {
        high = state[0];
        low = state[1];
        restoreMore(state, OWN_WORDS);
    }

    /** Writes {@link #STATE_WORDS} words from which the chain can go on. */
    public final void save(long[] state) {
        state[0] = high;
        state[1] = low;
        saveMore(state, OWN_WORDS);
    }

    /** Hashes the block of tokens that starts at {@code from} onto the chain. */
    public abstract void next(int[] tokens, int from);

    void begin(long high, long low) {}

    void saveMore(long[] state, int at) {}

    void restoreMore(long[] state, int at) {}
}
