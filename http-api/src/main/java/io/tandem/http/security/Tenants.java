package io.tandem.http.security;

import java.util.HexFormat;

/**
 * Whose share of the cluster a request uses: that of its API key. Where no API key is asked for, and for an admin key, whoever
 * is in front may say it in a header, or else the client by {@code user}.
 */
public final class Tenants {
    /** Header of those who act for several tenants. */
    public static final String HEADER = "x-tandem-tenant";

    private static final int MAX_CHARS = 64;
    private static final int HEX_DIGITS = 8;

    private Tenants() {}

    /** A tenant by a name that came from outside: a long one, or one with odd characters, is shortened to a unique one. */
    public static String named(String name) {
        String plain = name.replaceAll("[^A-Za-z0-9._@:+-]", "_");
        if (plain.length() <= MAX_CHARS && plain.equals(name)) {
            return name;
        }
        String unique = "~" + hex(ApiKeys.sha256(name));
        return plain.substring(0, Math.min(plain.length(), MAX_CHARS - unique.length())) + unique;
    }

    static String hex(byte[] digest) {
        return HexFormat.of().formatHex(digest).substring(0, HEX_DIGITS);
    }
}
