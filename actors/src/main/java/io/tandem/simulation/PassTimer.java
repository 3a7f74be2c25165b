package io.tandem.simulation;

/** How long an engine pass takes. */
@FunctionalInterface
public interface PassTimer {
    /** Duration in nanoseconds of virtual time, at least 1. */
    long passNanos(PassShape pass);
}
