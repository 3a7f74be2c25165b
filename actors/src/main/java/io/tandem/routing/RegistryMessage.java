package io.tandem.routing;

import io.tandem.serialization.WireMessage;

/** What a node's {@link WorkerRegistry} receives: reports of workers, the supervisor's sign of life, and its own events. */
public interface RegistryMessage {

    /** The supervisor lives at this node. */
    record SupervisorSeen(String node) implements RegistryMessage, WireMessage {}
}
