package io.tandem.http.security;

import io.tandem.http.wire.ApiException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.List;
import java.util.Optional;

/**
 * The keys clients and operators present as {@code Authorization: Bearer KEY}. Only digests are kept; every key is
 * compared, in constant time, whichever matches.
 */
public final class ApiKeys {

    private static final String BEARER = "bearer ";
    private static final int MIN_KEY_CHARS = 8;

    private final List<byte[]> apiKeys;
    private final List<byte[]> adminKeys;
    private final boolean loopback;

    /**
     * @param host address the server listens on
     * @throws IllegalArgumentException when the address can be reached from other machines and no API key is set
     */
    public ApiKeys(String host, List<String> apiKeys, List<String> adminKeys) {
        this.loopback = isLoopback(host);
        this.apiKeys = digests("tandem.http.api-keys", apiKeys);
        this.adminKeys = digests("tandem.http.admin-keys", adminKeys);
        if (!loopback && apiKeys.isEmpty()) {
            throw new IllegalArgumentException("tandem.http.host = " + host
                    + " can be reached from other machines: set tandem.http.api-keys, or listen on 127.0.0.1");
        }
    }

    /** Model routes: an API key or an admin key, where any API key is set. */
    public void requireApi(Optional<String> authorization) {
        if (!apiKeys.isEmpty()) {
            byte[] presented = digest(authorization);
            boolean isApi = matches(apiKeys, presented);
            boolean isAdmin = matches(adminKeys, presented);
            if (!isApi && !isAdmin) {
                throw refusal(authorization);
            }
        }
    }

    /** A name for the API key presented that tells nothing of it: "key-" and 8 hex digits of its SHA-256. Empty for others. */
    public Optional<String> keyId(Optional<String> authorization) {
        byte[] presented = digest(authorization);
        return matches(apiKeys, presented) ? Optional.of("key-" + Tenants.hex(presented)) : Optional.empty();
    }

    /** Operators' routes: an admin key where any is set, else as the model routes. */
    public void requireAdmin(Optional<String> authorization) {
        if (adminKeys.isEmpty()) {
            requireApi(authorization);
        } else if (!matches(adminKeys, digest(authorization))) {
            throw refusal(authorization);
        }
    }

    /** Health and metrics: open on loopback, else as the model routes. */
    public void requireProbe(Optional<String> authorization) {
        if (!loopback) {
            requireApi(authorization);
        }
    }

    /** Whether nobody gets an answer without a key, but for health and metrics. */
    public boolean guardApi() {
        return !apiKeys.isEmpty();
    }

    static boolean isLoopback(String host) {
        try {
            for (InetAddress address : InetAddress.getAllByName(host)) {
                if (!address.isLoopbackAddress()) {
                    return false;
                }
            }
            return true;
        } catch (UnknownHostException e) {
            throw new IllegalArgumentException("tandem.http.host = " + host + " is no address of this machine", e);
        }
    }

    private static ApiException refusal(Optional<String> authorization) {
        return ApiException.refused(
                401,
                "invalid_api_key",
                authorization.isEmpty()
                        ? "No API key: send it as 'Authorization: Bearer KEY'"
                        : "The API key is not valid for this route");
    }

    private static boolean matches(List<byte[]> keys, byte[] presented) {
        boolean found = false;
        for (byte[] key : keys) {
            found |= MessageDigest.isEqual(key, presented);
        }
        return found;
    }

    private static byte[] digest(Optional<String> authorization) {
        String header = authorization.orElse("");
        boolean bearer = header.regionMatches(true, 0, BEARER, 0, BEARER.length());
        return sha256(bearer ? header.substring(BEARER.length()).strip() : "");
    }

    private static List<byte[]> digests(String setting, List<String> keys) {
        for (String key : keys) {
            if (key.strip().length() < MIN_KEY_CHARS || !key.equals(key.strip())) {
                throw new IllegalArgumentException(
                        setting + " has a key of fewer than " + MIN_KEY_CHARS + " characters or with blanks around it");
            }
        }
        return keys.stream().map(ApiKeys::sha256).toList();
    }

    static byte[] sha256(String key) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JVM has SHA-256", e);
        }
    }
}
