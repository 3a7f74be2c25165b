package io.tandem.compute.cuda;

import com.typesafe.config.Config;
import io.tandem.settings.SettingRange;
import java.time.Duration;

/** {@code tandem.compute.cuda}; see this module's reference.conf for units, ranges and reasons. */
public record CudaSettings(
        int device,
        double memoryFraction,
        long memoryReserveBytes,
        long transferBufferBytes,
        int transferLayerGroups,
        boolean graphs,
        boolean overlapKernels,
        String cublasLt,
        Duration stepTimeout,
        long faultAfterPasses) {

    public CudaSettings {
        SettingRange.check("tandem.compute.cuda.device", device, 0, 255);
        SettingRange.checkPositive("tandem.compute.cuda.memory-fraction", memoryFraction, 1);
        if (memoryReserveBytes < 0 || transferBufferBytes < 0) {
            throw new IllegalArgumentException(
                    "tandem.compute.cuda: memory-reserve-bytes and transfer-buffer-bytes must" + " not be negative");
        }
        if (transferLayerGroups < 1 || transferLayerGroups > 256) {
            throw new IllegalArgumentException(
                    "tandem.compute.cuda.transfer-layer-groups must be 1 to 256, not " + transferLayerGroups);
        }
        if (faultAfterPasses < 0) {
            throw new IllegalArgumentException(
                    "tandem.compute.cuda.fault-after-passes must be 0 (never) or more, not " + faultAfterPasses);
        }
        if (stepTimeout.toMillis() < 100 || stepTimeout.toMinutes() > 60) {
            throw new IllegalArgumentException(
                    "tandem.compute.cuda.step-timeout must be 100ms to 60m, not " + stepTimeout);
        }
    }

    /** Reads {@code tandem.compute.cuda}. */
    public static CudaSettings from(Config root) {
        Config c = root.getConfig("tandem.compute.cuda");
        return new CudaSettings(
                c.getInt("device"),
                c.getDouble("memory-fraction"),
                c.getBytes("memory-reserve-bytes"),
                c.getBytes("transfer-buffer-bytes"),
                c.getInt("transfer-layer-groups"),
                c.getBoolean("graphs"),
                c.getBoolean("overlap-kernels"),
                c.getString("cublas-lt"),
                c.getDuration("step-timeout"),
                c.getLong("fault-after-passes"));
    }
}
