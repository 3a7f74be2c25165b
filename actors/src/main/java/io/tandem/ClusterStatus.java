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
 */
public record ClusterStatus(String self, boolean ready, String reason, List<Member> members, List<Worker> workers) {

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
            boolean draining,
            boolean live,
            EngineStats stats) {

        public EngineRole role() {
            return stats.role();
        }
    }
}
