package io.tandem.lifeline;

import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How a node tells the others where its lifelines end: as a cluster role, which is known of a member from its joining on and for no
 * longer than it is one.
 *
 * @param port where it listens
 * @param processId a random number that its listener greets with, and no other process
 */
public record LifelineRole(int port, long processId) {
    private static final String PREFIX = "lifeline-";
    private static final Pattern ROLE = Pattern.compile(PREFIX + "(\\d{1,5})-([0-9a-f]{16})");

    /** Whether a cluster role is one of these. */
    public static boolean isOne(String role) {
        return role.startsWith(PREFIX);
    }

    /** What a member's roles say; empty when it has no listener. */
    public static Optional<LifelineRole> of(Set<String> roles) {
        for (String role : roles) {
            Matcher m = ROLE.matcher(role);
            if (m.matches()) {
                return Optional.of(
                        new LifelineRole(Integer.parseInt(m.group(1)), Long.parseUnsignedLong(m.group(2), 16)));
            }
        }
        return Optional.empty();
    }

    /** The cluster role. */
    public String text() {
        return String.format("%s%d-%016x", PREFIX, port, processId);
    }
}
