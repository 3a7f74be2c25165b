package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Stream;
import io.tandem.kvcache.KvLayout;
import io.tandem.model.ModelConfig;
import java.lang.foreign.MemorySegment;

/**
 * What the copy engine of capability 9.0 must know of the matrices that the kernels for many rows read: a description of {@value
 * #BYTES} bytes each, in device memory. KERNELS.md says how each matrix is cut into boxes.
 */
final class CopyMaps {
    static final int BYTES = 128;

    /** Elements of a box's row: 128 bytes, the width of the tensor cores' swizzled rows. */
    private static final int PANEL = 64;

    private static final int ROWS = 128;
    private static final int GROUP = 8;

    // Numbers of the maps, which lie one behind the other.
    private static final int QUERIES = 0;
    private static final int NORMED = 1;
    private static final int KEYS_AND_VALUES = 2;
    /** Of the first layer; the others follow. */
    private static final int GATE_UP = 3;

    private final CudaDriver driver;
    private final Stream stream;
    private final ModelConfig config;
    private final KvLayout layout;
    private final long first;

    CopyMaps(
            CudaDriver driver,
            DeviceMemory memory,
            Stream stream,
            ModelConfig config,
            KvLayout layout,
            DeviceWeights weights,
            Activations a,
            int maxTokens) {
        this.driver = driver;
        this.stream = stream;
        this.config = config;
        this.layout = layout;
        int layers = weights.layers.length;
        first = memory.take("copy maps", BYTES * (GATE_UP + (long) layers));
        long headBytes = 2L * config.headDim();
        long k = config.hiddenSize();
        long width = config.intermediateSize();
        MemorySegment pinned = driver.allocatePinned((long) BYTES * layers);
        describe(
                pinned,
                a.queries(),
                new long[] {config.headDim(), config.heads(), maxTokens},
                new long[] {headBytes, headBytes * config.heads()},
                PANEL,
                1,
                ROWS);
        send(QUERIES, pinned, 1);
        describe(pinned, a.normed(), new long[] {k, maxTokens}, new long[] {2 * k}, PANEL, ROWS);
        send(NORMED, pinned, 1);
        for (int i = 0; i < layers; i++) {
            describe(
                    pinned.asSlice((long) BYTES * i, BYTES),
                    weights.layers[i].gateUp(),
                    new long[] {k, GROUP, 2, width / GROUP},
                    new long[] {2 * k, 2 * k * width, 2 * k * GROUP},
                    PANEL,
                    GROUP,
                    2,
                    GROUP);
        }
        send(GATE_UP, pinned, layers);
        driver.freePinned(pinned);
    }

    private void describe(MemorySegment map, long matrix, long[] sizes, long[] strides, int... box) {
        driver.describeMatrix(map, matrix, sizes, strides, box);
    }

    private void send(int number, MemorySegment maps, int count) {
        driver.copyToDevice(map(number), maps.address(), (long) BYTES * count, stream);
        driver.synchronize(stream);
    }

    private long map(int number) {
        return first + (long) BYTES * number;
    }

    /** Whether the copy engine, which counts rows of a head in an int, can name each row of so many KV blocks. */
    static boolean reaches(KvLayout layout, int blocks) {
        return layout.blockBytes() / (2L * layout.headDim()) * blocks <= Integer.MAX_VALUE;
    }

    /** Where the KV blocks are, of which there are no more than {@link #reaches}. */
    void kv(long base, int blocks) {
        long rowBytes = 2L * config.headDim();
        long rows = layout.blockBytes() / rowBytes * blocks;
        MemorySegment pinned = driver.allocatePinned(BYTES);
        describe(pinned, base, new long[] {config.headDim(), rows}, new long[] {rowBytes}, PANEL, layout.blockTokens());
        send(KEYS_AND_VALUES, pinned, 1);
        driver.freePinned(pinned);
    }

    long queries() {
        return map(QUERIES);
    }

    long normed() {
        return map(NORMED);
    }

    long keysAndValues() {
        return map(KEYS_AND_VALUES);
    }

    /** Gate and up of a layer. */
    long gateUp(int layer) {
        return map(GATE_UP + layer);
    }
}
