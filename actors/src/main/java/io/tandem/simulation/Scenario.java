package io.tandem.simulation;

import io.tandem.simulation.ClusterSimulation.Cluster;

/**
 * All that decides the outcome of a run, beside the policy.
 *
 * @param timer how long a pass takes
 * @param slo what policies aim for and requests are counted by
 * @param seed of ties and of policies that draw
 */
public record Scenario(Trace trace, Layout layout, Cluster cluster, PassTimer timer, Slo slo, long seed) {
    public Scenario {
        if (layout.workers() != cluster.workers()) {
            throw new IllegalArgumentException(
                    "layout " + layout + " is for another number of workers than " + cluster.workers());
        }
    }
}
