package io.tandem.compute;

import com.typesafe.config.Config;
import io.tandem.compute.cpu.CpuBackend;
import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.compute.simulated.TimingModel;
import io.tandem.engine.EngineSettings;
import io.tandem.model.Models;
import io.tandem.weights.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one place where a backend is chosen. Candidates are tried from the fastest to the slowest; each refusal is kept with
 * its reason, logged, and told by {@link BackendInfo}. With {@code tandem.compute.require} a slower one is an error.
 */
public final class Backends {
    private static final Logger LOG = LoggerFactory.getLogger(Backends.class);

    private Backends() {}

    /**
     * Opens the model and the best backend for it.
     *
     * @throws IllegalStateException when no backend, or not the required one, can run here
     * @throws IllegalArgumentException when the model cannot be read
     */
    public static ComputeBackend open(Path model, Config config) throws IOException {
        ComputeSettings wanted = ComputeSettings.from(config);
        EngineSettings engine = EngineSettings.from(config);
        Checkpoint checkpoint = Models.openWeights(model);
        try {
            ComputeBackend chosen = choose(checkpoint, wanted, engine, config);
            LOG.info(
                    "backend {} on {}{}",
                    chosen.info().name(),
                    chosen.info().device(),
                    chosen.info().refusals().isEmpty()
                            ? ""
                            : "; not chosen: " + chosen.info().refusals());
            warmUp(chosen, wanted);
            return chosen;
        } catch (RuntimeException | Error e) {
            checkpoint.close();
            throw e;
        }
    }

    private static void warmUp(ComputeBackend chosen, ComputeSettings wanted) {
        try {
            chosen.warmUp(wanted.warmUp());
        } catch (RuntimeException | Error e) {
            chosen.close();
            throw e;
        }
    }

    private static ComputeBackend choose(
            Checkpoint checkpoint, ComputeSettings wanted, EngineSettings engine, Config config) {
        List<String> refusals = new ArrayList<>();
        refusals.add(cudaRefusal(wanted));
        boolean simulated = wanted.backend().equals("simulated");
        String vector = vectorRefusal(wanted);
        if (!vector.isEmpty()) {
            refusals.add(vector);
        }
        String name = simulated ? "simulated" : vector.isEmpty() ? "cpu-vector" : "cpu-scalar";
        if (!wanted.require().isEmpty() && !wanted.require().equals(name)) {
            throw new IllegalStateException("tandem.compute.require is '" + wanted.require() + "' but only '" + name
                    + "' can run here: " + refusals);
        }
        return switch (name) {
            case "simulated" -> {
                SimulatedBackend backend = new SimulatedBackend(
                        checkpoint.config(),
                        engine.blockTokens(),
                        engine.maxBatchTokens(),
                        TimingModel.from(config),
                        List.of("simulated was asked for: no model is computed"));
                checkpoint.close();
                yield backend;
            }
            case "cpu-vector" ->
                CpuBackend.vector(
                        checkpoint,
                        wanted.effectiveThreads(),
                        engine.blockTokens(),
                        engine.maxBatchTokens(),
                        engine.maxSequences(),
                        refusals);
            default ->
                CpuBackend.scalar(
                        checkpoint, engine.blockTokens(), engine.maxBatchTokens(), engine.maxSequences(), refusals);
        };
    }

    private static String cudaRefusal(ComputeSettings wanted) {
        if (!wanted.backend().equals("auto")) {
            return "cuda: tandem.compute.backend is " + wanted.backend();
        }
        return Files.exists(Path.of("/dev/nvidiactl"))
                ? "cuda: a device is here, but this version has no CUDA backend yet"
                : "cuda: no CUDA device on this host";
    }

    private static String vectorRefusal(ComputeSettings wanted) {
        if (!wanted.backend().equals("auto") && !wanted.backend().equals("cpu-vector")) {
            return "cpu-vector: tandem.compute.backend is " + wanted.backend();
        }
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            return "cpu-vector: the JVM runs without --add-modules jdk.incubator.vector";
        }
        String slow = CpuBackend.vectorRefusal();
        return slow.isEmpty() ? "" : "cpu-vector: " + slow;
    }
}
