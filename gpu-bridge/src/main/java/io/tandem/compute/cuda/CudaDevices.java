package io.tandem.compute.cuda;

import io.tandem.compute.ComputeBackend;
import io.tandem.engine.EngineSettings;
import io.tandem.model.ModelConfig;
import io.tandem.weights.Checkpoint;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The NVIDIA devices of this host, and whether one of them can serve a model. */
public final class CudaDevices {
    private static final int MAX_GROUP = 16;
    private static final int MAX_HEAD_DIM = 256;

    private CudaDevices() {}

    /** Why CUDA cannot serve the model here; empty when it can. */
    public static String refusal(ModelConfig model, CudaSettings settings, EngineSettings engine) {
        String device = deviceRefusal(settings.device());
        if (!device.isEmpty()) {
            return "cuda: " + device;
        }
        if (engine.blockTokens() != CudaBackend.BLOCK_TOKENS) {
            return "cuda: tandem.engine.block-tokens must be " + CudaBackend.BLOCK_TOKENS + ", not "
                    + engine.blockTokens();
        }
        boolean widths = model.headDim() % 8 == 0
                && model.headDim() <= MAX_HEAD_DIM
                && model.hiddenSize() % 8 == 0
                && model.intermediateSize() % 8 == 0;
        if (!widths || model.heads() / model.kvHeads() > MAX_GROUP) {
            return "cuda: the kernels take widths that are multiples of 8, heads up to " + MAX_HEAD_DIM
                    + " wide and up to " + MAX_GROUP + " query heads a key head; the model is " + model;
        }
        return "";
    }

    /** Why the device cannot be used at all; empty when it can. */
    public static String deviceRefusal(int ordinal) {
        if (!Files.exists(Path.of("/dev/nvidiactl")) && !Files.exists(Path.of("/dev/dxg"))) {
            return "no CUDA device on this host";
        }
        try {
            int count = NativeDriver.deviceCount();
            if (ordinal >= count) {
                return "tandem.compute.cuda.device is " + ordinal + " but the host has " + count + " devices";
            }
            KernelCatalog.forDevice(NativeDriver.facts(ordinal));
            return "";
        } catch (UnsatisfiedLinkError | NoClassDefFoundError | ExceptionInInitializerError e) {
            return "a device is here, but not the driver's library libcuda.so.1: " + e.getMessage();
        } catch (CudaException | CudaUnavailableException e) {
            return e.getMessage();
        }
    }

    /** What the device is, for people. */
    public static String describe(int ordinal) {
        NativeDriver.deviceCount();
        return NativeDriver.facts(ordinal).toString();
    }

    /**
     * Opens the model on a device that {@link #refusal} has nothing against. Owns the checkpoint, also when it fails.
     *
     * @param threads threads that bring the weights over
     * @throws IllegalStateException when the device's memory does not do, with the figures
     */
    public static ComputeBackend open(
            Checkpoint checkpoint, CudaSettings settings, EngineSettings engine, int threads, List<String> refusals) {
        NativeDriver.deviceCount();
        CudaDriver driver = NativeDriver.open(settings.device());
        return new CudaBackend(
                driver, KernelCatalog.forDevice(driver.facts()), checkpoint, settings, engine, threads, refusals);
    }
}
