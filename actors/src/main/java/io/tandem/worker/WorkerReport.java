package io.tandem.worker;

import io.tandem.compute.BackendInfo;
import io.tandem.engine.EngineRole;
import io.tandem.engine.EngineStats;
import io.tandem.routing.RegistryMessage;
import io.tandem.routing.WorkerFacts;
import io.tandem.serialization.WireMessage;

/**
 * A worker's state as of now, sent to every node several times a second.
 *
 * @param gpuId its id
 * @param node host:port of its node's control messages
 * @param epoch incarnation; a greater one replaces a smaller one
 * @param maxTokens longest sequence it can hold
 * @param facts what routers predict with
 * @param history how long it has its role, and the one before
 * @param transferPaths how blocks leave it, whether from device to device and why not; for people
 */
public record WorkerReport(
        String gpuId,
        String node,
        long epoch,
        String model,
        String modelFingerprint,
        String kvSignature,
        BackendInfo backend,
        String transferWire,
        boolean draining,
        int maxTokens,
        EngineStats stats,
        WorkerFacts facts,
        RoleHistory history,
        String transferPaths)
        implements RegistryMessage, WireMessage {

    /**
     * It travels with the worker, so that a supervisor that starts anew knows what the one before did.
     *
     * @param previous role before the latest change; the present one when it never changed
     * @param ageMillis since the latest change, or since the start
     */
    public record RoleHistory(EngineRole previous, long ageMillis) {}

    /** A worker that never changed its role. */
    public WorkerReport(
            String gpuId,
            String node,
            long epoch,
            String model,
            String modelFingerprint,
            String kvSignature,
            BackendInfo backend,
            String transferWire,
            boolean draining,
            int maxTokens,
            EngineStats stats,
            WorkerFacts facts) {
        this(
                gpuId,
                node,
                epoch,
                model,
                modelFingerprint,
                kvSignature,
                backend,
                transferWire,
                draining,
                maxTokens,
                stats,
                facts,
                new RoleHistory(stats.role(), 0),
                "");
    }

    public EngineRole role() {
        return stats.role();
    }
}
