package io.tandem.supervisor;

import io.tandem.routing.RegistryMessage;
import io.tandem.serialization.WireMessage;

/**
 * What the supervisor thinks, told to every node about once an interval: for operators, and for the supervisor that may
 * take over.
 *
 * @param node host:port where it lives
 * @param mode act, advise or off
 * @param layout roles now, such as 2P2D
 * @param wanted the best layout it knows
 * @param promptStrain predicted wait for a prefill GPU; 1 = just within the TTFT target
 * @param decodeStrain predicted step time; 1 = just within the ITL target
 * @param reason what it decided, in a sentence
 * @param requestsPerSecond arriving
 * @param promptTokensPerSecond arriving and not cached
 * @param outputTokensPerSecond that the arriving requests will want
 * @param changes of role it has made since the cluster's start; what it only advises is in {@code wanted} and {@code reason}
 * @param lastChange the latest of them, or empty
 * @param lastChangeMillis from the decision to the first step in the new role; 0 = none yet
 */
public record SupervisorReport(
        String node,
        String mode,
        String layout,
        String wanted,
        double promptStrain,
        double decodeStrain,
        String reason,
        double requestsPerSecond,
        double promptTokensPerSecond,
        double outputTokensPerSecond,
        long changes,
        String lastChange,
        double lastChangeMillis)
        implements RegistryMessage, WireMessage {

    /** No supervisor was heard of. */
    public static final SupervisorReport NONE =
            new SupervisorReport("", "off", "", "", 0, 0, "nothing heard of a supervisor yet", 0, 0, 0, 0, "", 0);
}
