package io.tandem.kvcache;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.DigestException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * The content address of a KV block: {@code h[i] = first 128 bits of SHA-256(h[i-1] || tokens of block i)}, with
 * {@code h[-1]} made of the model's fingerprint and the tenant's salt. A cryptographic hash, because a collision would
 * hand one prompt the KV of another: two prompts never share a block by accident or by attack. Not thread-safe; allocates
 * nothing after construction.
 */
public final class BlockHash {
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private final MessageDigest digest;
    private final byte[] input;
    private final byte[] output = new byte[32];
    private final int blockTokens;
    private final long rootHigh;
    private final long rootLow;

    /** High half of the latest result. */
    private long high;

    /** Low half of the latest result. */
    private long low;

    public BlockHash(String modelFingerprint, int blockTokens) {
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
        this.blockTokens = blockTokens;
        this.input = new byte[16 + 4 * blockTokens];
        digest.update(modelFingerprint.getBytes(StandardCharsets.UTF_8));
        finish();
        rootHigh = high;
        rootLow = low;
    }

    public long high() {
        return high;
    }

    public long low() {
        return low;
    }

    /** Starts a chain for a tenant. */
    public void root(long salt) {
        high = rootHigh;
        low = rootLow ^ salt;
    }

    /** Goes on from a known block. */
    public void resume(long parentHigh, long parentLow) {
        high = parentHigh;
        low = parentLow;
    }

    /** Hashes the block of tokens that starts at {@code from} onto the chain. */
    public void next(int[] tokens, int from) {
        LONG.set(input, 0, high);
        LONG.set(input, 8, low);
        for (int i = 0; i < blockTokens; i++) {
            INT.set(input, 16 + 4 * i, tokens[from + i]);
        }
        digest.update(input, 0, input.length);
        finish();
    }

    private void finish() {
        try {
            digest.digest(output, 0, output.length);
        } catch (DigestException e) {
            throw new IllegalStateException(e);
        }
        high = (long) LONG.get(output, 0);
        low = (long) LONG.get(output, 8);
    }
}
