package io.tandem.compute;

import com.typesafe.config.Config;
import io.tandem.compute.cpu.CpuBackend;
import io.tandem.compute.cuda.CudaDevices;
import io.tandem.compute.cuda.CudaSettings;
import io.tandem.compute.simulated.SimulatedBackend;
import io.tandem.compute.simulated.TimingModel;
import io.tandem.engine.EngineSettings;
import io.tandem.model.Models;
import io.tandem.weights.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
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
        String name = nameOf(checkpoint, wanted, engine, config, refusals);
        if (!wanted.require().isEmpty() && !fulfils(name, wanted.require())) {
            throw new IllegalStateException("tandem.compute.require is '" + wanted.require() + "' but only '" + name
                    + "' can run here: " + refusals);
        }
        return switch (name) {
            case "cuda" ->
                CudaDevices.open(checkpoint, CudaSettings.from(config), engine, wanted.effectiveThreads(), refusals);
            case "simulated" -> {
                SimulatedBackend backend = new SimulatedBackend(
                        checkpoint.config(),
                        engine.blockTokens(),
                        engine.maxBatchTokens(),
                        TimingModel.from(config),
                        List.of("simulated was asked for: no model is computed"));
                long step = config.getLong("tandem.simulated.lose-with-step");
                if (step > 0) {
                    backend.loseWithStep(step);
                }
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

    private static String nameOf(
            Checkpoint checkpoint,
            ComputeSettings wanted,
            EngineSettings engine,
            Config config,
            List<String> refusals) {
        String cuda = cudaRefusal(checkpoint, wanted, engine, config);
        if (cuda.isEmpty()) {
            return "cuda";
        }
        refusals.add(cuda);
        if (wanted.backend().equals("cuda")) {
            throw new IllegalStateException("tandem.compute.backend is cuda, which cannot run here: " + cuda);
        }
        if (wanted.backend().equals("simulated")) {
            return "simulated";
        }
        String vector = vectorRefusal(wanted);
        if (vector.isEmpty()) {
            return "cpu-vector";
        }
        refusals.add(vector);
        return "cpu-scalar";
    }

    private static boolean fulfils(String name, String required) {
        return name.equals(required) || required.equals("cpu") && name.startsWith("cpu-");
    }

    private static String cudaRefusal(
            Checkpoint checkpoint, ComputeSettings wanted, EngineSettings engine, Config config) {
        if (!wanted.backend().equals("auto") && !wanted.backend().equals("cuda")) {
            return "cuda: tandem.compute.backend is " + wanted.backend();
        }
        return CudaDevices.refusal(checkpoint.config(), CudaSettings.from(config), engine);
    }

    private static String vectorRefusal(ComputeSettings wanted) {
        if (!Set.of("auto", "cpu", "cpu-vector").contains(wanted.backend())) {
            return "cpu-vector: tandem.compute.backend is " + wanted.backend();
        }
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            return "cpu-vector: the JVM runs without --add-modules jdk.incubator.vector";
        }
        String slow = CpuBackend.vectorRefusal();
        return slow.isEmpty() ? "" : "cpu-vector: " + slow;
    }
}
