package io.tandem.http.security;

import io.tandem.http.wire.ApiException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * By which names a server may be asked that listens on this machine alone and wants no key. A browser here reaches it for any
 * page: one whose name was made to mean 127.0.0.1 counts as of the same origin, and only the name in {@code Host} gives it away.
 */
public final class AllowedHosts {
    private static final Pattern LOOPBACK = Pattern.compile("localhost|.+\\.localhost|127(\\.\\d{1,3}){3}|\\[::1]");
    private static final String ANY = "*";

    private final boolean checked;
    private final String listensOn;
    private final List<String> names;

    /**
     * @param listensOn address the server listens on
     * @param keys where model routes ask for one no page can; nor is it looked at on other addresses, which may have any name
     * @param names further names; "*" = any
     */
    public AllowedHosts(String listensOn, ApiKeys keys, List<String> names) {
        this.listensOn = listensOn.toLowerCase(Locale.ROOT);
        this.names = names.stream().map(n -> n.toLowerCase(Locale.ROOT)).toList();
        checked = ApiKeys.isLoopback(listensOn) && !keys.guardApi() && !names.contains(ANY);
    }

    /** Refuses a foreign name; a client that sends none is no browser. */
    public void require(Optional<String> host) {
        if (!checked || host.isEmpty()) {
            return;
        }
        String name = nameOf(host.get());
        if (!name.isEmpty() && !LOOPBACK.matcher(name).matches() && !name.equals(listensOn) && !names.contains(name)) {
            throw ApiException.refused(
                    403,
                    "foreign_host",
                    "This server listens on loopback without a key and is not '" + name
                            + "'; ask it as localhost, set tandem.http.api-keys, or add the name to tandem.http.allowed-hosts");
        }
    }

    /** Without the port and the dot that ends a name. */
    private static String nameOf(String host) {
        String text = host.strip().toLowerCase(Locale.ROOT);
        int colon = text.lastIndexOf(':');
        String name = colon > text.lastIndexOf(']') ? text.substring(0, colon) : text;
        return name.endsWith(".") ? name.substring(0, name.length() - 1) : name;
    }
}
