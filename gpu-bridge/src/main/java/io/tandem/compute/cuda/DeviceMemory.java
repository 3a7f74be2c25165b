package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Stream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Everything one owner takes from a device; freed together. Knows what was taken for what, for people. */
final class DeviceMemory implements AutoCloseable {
    private static final double GIB = 1 << 30;

    private final CudaDriver driver;
    private final List<Long> taken = new ArrayList<>();
    private final Map<String, Long> bytesFor = new LinkedHashMap<>();

    DeviceMemory(CudaDriver driver) {
        this.driver = driver;
    }

    /**
     * Memory with the content it happens to have.
     *
     * @param purpose "weights", for the message when there is none
     * @throws IllegalStateException when there is not enough, with all figures
     */
    long take(String purpose, long bytes) {
        try {
            long address = driver.allocate(Math.max(bytes, 16));
            taken.add(address);
            bytesFor.merge(purpose, bytes, Long::sum);
            return address;
        } catch (CudaException e) {
            if (!e.isOutOfMemory()) {
                throw e;
            }
            throw new IllegalStateException(
                    String.format(
                            "%s has not enough memory: %.2f GiB more for %s, %.2f of %.2f GiB free; taken here: %s. Use a"
                                    + " smaller model, less tandem.engine.kv-blocks, max-batch-tokens or max-sequences",
                            driver.facts().name(),
                            bytes / GIB,
                            purpose,
                            driver.freeBytes() / GIB,
                            driver.facts().totalBytes() / GIB,
                            figures()),
                    e);
        }
    }

    /** Zeroed memory, once the stream has run. */
    long takeZeroed(String purpose, long bytes, Stream stream) {
        long address = take(purpose, bytes);
        driver.fill(address, (byte) 0, Math.max(bytes, 16), stream);
        return address;
    }

    long takenBytes() {
        return bytesFor.values().stream().mapToLong(Long::longValue).sum();
    }

    /** "weights 15.01 GiB, activations 0.52 GiB". */
    String figures() {
        return bytesFor.entrySet().stream()
                .map(e -> String.format("%s %.2f GiB", e.getKey(), e.getValue() / GIB))
                .collect(Collectors.joining(", "));
    }

    @Override
    public void close() {
        for (long address : taken) {
            driver.free(address);
        }
        taken.clear();
        bytesFor.clear();
    }
}
