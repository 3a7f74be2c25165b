/** The cluster under virtual time: traces, simulated engines, the production policies, and the baselines beside them. */
package io.tandem.simulation;
