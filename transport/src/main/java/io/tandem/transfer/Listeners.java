package io.tandem.transfer;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Calls out of the agents: a listener that throws must not take the agent's other leases with it. */
final class Listeners {
    private static final Logger LOG = LoggerFactory.getLogger(Listeners.class);

    private Listeners() {}

    static void tell(Runnable call) {
        try {
            call.run();
        } catch (RuntimeException e) {
            LOG.error("a transfer listener threw {}", e.toString(), e);
        }
    }
}
