package io.tandem.worker;

import io.tandem.routing.RegistryMessage;
import io.tandem.serialization.WireMessage;

/**
 * A worker's last word, to every node: what runs there is over now, and need not be waited for until its silence tells.
 *
 * @param epoch incarnation
 * @param why for people
 */
public record WorkerEnded(String gpuId, long epoch, String why) implements RegistryMessage, WireMessage {
    /** Why it ends in order. */
    public static final String NODE_STOPS = "its node stops";
}
