package io.tandem.kvcache;

import com.typesafe.config.Config;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * The key of a cluster's block hashes: {@code tandem.node.block-hash-secret}, see reference.conf. Nodes with different keys name
 * blocks differently, so they never take each other's.
 *
 * @param first half of the key
 * @param second half of the key
 * @param mark tells keys apart and tells nothing about them; empty when there is no secret
 */
public record BlockHashKey(long first, long second, String mark) {
    /** Nothing is secret. */
    public static final BlockHashKey PUBLIC = new BlockHashKey(0, 0, "");

    private static final String SETTING = "tandem.node.block-hash-secret";
    private static final int SECRET_CHARS = 32;

    public boolean isSecret() {
        return !mark.isEmpty();
    }

    /** @throws IllegalArgumentException when the secret is too short to be one */
    public static BlockHashKey from(Config root) {
        return of(root.getString(SETTING));
    }

    static BlockHashKey of(String secret) {
        if (secret.isEmpty()) {
            return PUBLIC;
        }
        if (secret.length() < SECRET_CHARS) {
            throw new IllegalArgumentException(SETTING + " must have at least " + SECRET_CHARS + " characters, not "
                    + secret.length() + "; make one by: openssl rand -hex 32");
        }
        ByteBuffer key = digest("block hash key " + secret);
        ByteBuffer mark = digest("block hash mark " + secret);
        byte[] shown = new byte[4];
        mark.get(shown);
        return new BlockHashKey(key.getLong(), key.getLong(), HexFormat.of().formatHex(shown));
    }

    private static ByteBuffer digest(String text) {
        try {
            MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
            return ByteBuffer.wrap(sha256.digest(text.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    /** Without the key itself: settings and logs may show it. */
    @Override
    public String toString() {
        return isSecret() ? "secret " + mark : "public";
    }
}
