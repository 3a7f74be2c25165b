package io.tandem.simulation;

/** Changes roles while the simulated cluster runs, at even intervals of virtual time. */
public interface RoleController {
    /** Pause between two rounds, above 0. */
    long intervalNanos();

    /** One round. */
    void round(RoleBoard roles, long nowNanos);
}
