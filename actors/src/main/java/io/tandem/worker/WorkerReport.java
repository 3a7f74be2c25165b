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
        WorkerFacts facts)
        implements RegistryMessage, WireMessage {

    public EngineRole role() {
        return stats.role();
    }
}
