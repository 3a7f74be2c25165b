package io.tandem.kvcache;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.DigestException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * {@link BlockHash} by {@code h[i] = first 128 bits of SHA-256(h[i-1] || tokens of block i)}.
 *
 * <p>Tokens below 2^19, which is those of every vocabulary in use, go in as 19 bits each: 16 of them and the parent make 54 bytes, and
 * SHA-256 takes up to 55 in one step of its compression function, 64 to 119 in two. A block with a larger token goes in as 32 bits a
 * token; the two are of different length, so they cannot be confused.
 */
final class Sha256BlockHash extends BlockHash {
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private static final int PARENT_BYTES = 16;
    private static final int TOKEN_BITS = 19;

    /** Tokens packed at a time: a whole number of bytes, {@code TOKEN_BITS} of them. */
    private static final int GROUP = 8;

    private final MessageDigest digest;
    private final byte[] input;
    private final byte[] output = new byte[32];
    private final int blockTokens;

    Sha256BlockHash(String modelFingerprint, int blockTokens) {
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
        this.blockTokens = blockTokens;
        this.input = new byte[PARENT_BYTES + 4 * blockTokens];
        digest.update(modelFingerprint.getBytes(StandardCharsets.UTF_8));
        finish();
        setRoot();
    }

    @Override
    public void next(int[] tokens, int from) {
        LONG.set(input, 0, high);
        LONG.set(input, 8, low);
        digest.update(input, 0, PARENT_BYTES + (fits(tokens, from) ? pack(tokens, from) : copy(tokens, from)));
        finish();
    }

    private boolean fits(int[] tokens, int from) {
        int bits = 0;
        for (int i = 0; i < blockTokens; i++) {
            bits |= tokens[from + i];
        }
        return bits >>> TOKEN_BITS == 0 && blockTokens % GROUP == 0;
    }

    /** Puts tokens into the input, 19 bits each; answers how many bytes they take. */
    private int pack(int[] tokens, int from) {
        int at = PARENT_BYTES;
        for (int i = from; i < from + blockTokens; i += GROUP, at += TOKEN_BITS) {
            long t3 = tokens[i + 3];
            long t6 = tokens[i + 6];
            LONG.set(input, at, tokens[i] | (long) tokens[i + 1] << 19 | (long) tokens[i + 2] << 38 | t3 << 57);
            LONG.set(input, at + 8, t3 >>> 7 | (long) tokens[i + 4] << 12 | (long) tokens[i + 5] << 31 | t6 << 50);
            INT.set(input, at + 16, (int)
                    (t6 >>> 14 | (long) tokens[i + 7] << 5)); // 3 bytes; the next group is written over the 4th
        }
        return at - PARENT_BYTES;
    }

    private int copy(int[] tokens, int from) {
        for (int i = 0; i < blockTokens; i++) {
            INT.set(input, PARENT_BYTES + 4 * i, tokens[from + i]);
        }
        return 4 * blockTokens;
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
