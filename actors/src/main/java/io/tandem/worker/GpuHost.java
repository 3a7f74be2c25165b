package io.tandem.worker;

import com.typesafe.config.Config;
import io.tandem.compute.ComputeBackend;
import io.tandem.engine.EngineRole;
import io.tandem.model.ModelBundle;
import io.tandem.transfer.BlockTransport;
import java.io.IOException;
import java.util.Map;

/**
 * What a node gives its workers: the model, the role each GPU starts with, and how to open a backend and a transport.
 *
 * @param gpus role at start by GPU id
 */
public record GpuHost(
        Config config,
        ModelBundle model,
        Map<String, EngineRole> gpus,
        BackendFactory backends,
        TransportFactory transports) {

    /** Opens what computes for one GPU; may take seconds. */
    @FunctionalInterface
    public interface BackendFactory {
        ComputeBackend open(String gpuId) throws IOException;

        /** What was opened is of no use: the GPU's worker could not begin with it. */
        default void cannotStart(String gpuId, Throwable why) {}

        /** Why the GPU cannot be had again in this process, which is ending for it; empty when that is not so. */
        default String gone(String gpuId) {
            return "";
        }
    }

    /** Opens what moves blocks for one GPU. */
    @FunctionalInterface
    public interface TransportFactory {
        BlockTransport open(String gpuId) throws IOException;
    }
}
