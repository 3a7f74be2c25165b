package io.tandem.compute.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/**
 * The kernels that come with this module: a PTX text for one kind of device, and what {@code kernels.properties} says of how
 * each is launched. KERNELS.md beside the sources defines the names and parameters.
 */
final class KernelCatalog {
    private static final int PORTABLE = 80;
    private static final int HOPPER = 90;

    private final String target;
    private final byte[] ptx;
    private final Properties properties;

    KernelCatalog(String target, byte[] ptx, Properties properties) {
        this.target = target;
        this.ptx = ptx;
        this.properties = properties;
    }

    /** @throws CudaUnavailableException when no PTX fits the device */
    static KernelCatalog forDevice(DeviceFacts device) {
        if (device.capability() < PORTABLE) {
            throw new CudaUnavailableException(device + ": compute capability 8.0 or later is needed");
        }
        String target = device.capability() == HOPPER ? "sm_90a" : "sm_80";
        byte[] ptx = resource("tandem_" + target + ".ptx");
        Properties properties = new Properties();
        try (InputStream in = KernelCatalog.class.getResourceAsStream("kernels.properties")) {
            if (ptx == null || in == null) {
                throw new CudaUnavailableException("this build has no kernels for " + target
                        + ": run gpu-bridge/src/main/cuda/build_ptx.py and build again");
            }
            properties.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new KernelCatalog(target, ptx, properties);
    }

    private static byte[] resource(String name) {
        try (InputStream in = KernelCatalog.class.getResourceAsStream(name)) {
            return in == null ? null : in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    String target() {
        return target;
    }

    byte[] ptx() {
        return ptx;
    }

    /** Whether this target has a kernel. */
    boolean has(KernelName kernel) {
        return number(kernel.kernel + ".threads", 0) > 0;
    }

    int number(String key) {
        return number(key, Integer.MIN_VALUE);
    }

    int number(String key, int absent) {
        String value = properties.getProperty(target + "." + key, properties.getProperty(key));
        if (value == null && absent == Integer.MIN_VALUE) {
            throw new IllegalStateException("kernels.properties has no " + key);
        }
        return value == null ? absent : Integer.parseInt(value.trim());
    }
}
