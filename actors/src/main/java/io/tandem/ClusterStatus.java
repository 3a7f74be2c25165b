package io.tandem;

import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import java.util.List;

/**
 * The cluster as one node sees it.
 *
 * @param self this node's address
 * @param ready whether requests can be served: the cluster is joined and at least one worker can prefill and one decode
 * @param reason what is missing when not ready; else empty
 * @param members nodes
 * @param workers GPUs
 * @param supervisor what it thinks
 */
public record ClusterStatus(
        String self, boolean ready, String reason, List<Member> members, List<Worker> workers, Supervisor supervisor) {

    /**
     * What the supervisor thinks.
     *
     * @param node host:port where it lives; empty = nothing heard of it yet
     * @param mode act, advise or off
     * @param layout roles now, such as 2P2D
     * @param wanted the best layout it knows
     * @param promptStrain predicted wait for a prefill GPU; 1 = just within the TTFT target
     * @param decodeStrain predicted step time; 1 = just within the ITL target
     * @param reason what it decided, in a sentence
     * @param requestsPerSecond arriving
     * @param promptTokensPerSecond arriving and not cached
     * @param outputTokensPerSecond that the arriving requests will want
     * @param changes of role that were made
     * @param lastChange the latest of them, or empty
     * @param lastChangeMillis from the decision to the first step in the new role; 0 = none yet
     */
    public record Supervisor(
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
            double lastChangeMillis) {
        public static final Supervisor NONE =
                new Supervisor("", "off", "", "", 0, 0, "nothing heard of it yet", 0, 0, 0, 0, "", 0);
    }

    /**
     * A node.
     *
     * @param address host:port of its control messages
     * @param roles its cluster roles
     * @param status "Up", "Joining", "Unreachable", ...
     */
    public record Member(String address, List<String> roles, String status) {}

    /**
     * A GPU.
     *
     * @param gpuId its id in the cluster
     * @param node address of the node that owns it
     * @param epoch incarnation of the worker
     * @param model what it serves
     * @param modelFingerprint content identity of the weights
     * @param kvSignature layout of its KV blocks
     * @param backend what computes there
     * @param transferWire how KV blocks reach it
     * @param transferPaths how KV blocks leave it: whether from device to device, to whom, and why not
     * @param draining out of routing
     * @param live reports arrive
     * @param stats its load as of the latest report
     */
    public record Worker(
            String gpuId,
            String node,
            long epoch,
            String model,
            String modelFingerprint,
            String kvSignature,
            BackendInfo backend,
            String transferWire,
            String transferPaths,
            boolean draining,
            boolean live,
            EngineStats stats) {

        public EngineRole role() {
            return stats.role();
        }
    }
}
