package io.tandem.compute.cuda;

import io.tandem.compute.cuda.CudaDriver.Graph;
import io.tandem.compute.cuda.CudaDriver.Stream;
import java.util.ArrayList;
import java.util.List;

/** The decode pass recorded once for each of a few batch sizes; a batch takes the smallest that holds it. */
final class DecodeGraphs implements AutoCloseable {
    private static final int[] SIZES = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128};
    private static final int STEP_BEYOND = 64;

    private final int[] buckets;
    private final Graph[] graphs;

    private DecodeGraphs(int[] buckets, Graph[] graphs) {
        this.buckets = buckets;
        this.graphs = graphs;
    }

    static DecodeGraphs capture(CudaDriver driver, Stream stream, ForwardKernels forward, int maxSequences) {
        int[] buckets = buckets(maxSequences);
        Graph[] graphs = new Graph[buckets.length];
        DecodeGraphs all = new DecodeGraphs(buckets, graphs);
        try {
            for (int i = 0; i < buckets.length; i++) {
                driver.beginCapture(stream);
                forward.decode(buckets[i]);
                graphs[i] = driver.endCapture(stream);
            }
            return all;
        } catch (RuntimeException e) {
            all.close();
            throw e;
        }
    }

    /** The batch sizes for up to that many sequences, ascending; the last one is exactly that. */
    static int[] buckets(int maxSequences) {
        List<Integer> sizes = new ArrayList<>();
        for (int size : SIZES) {
            if (size < maxSequences) {
                sizes.add(size);
            }
        }
        for (int size = SIZES[SIZES.length - 1] + STEP_BEYOND; size < maxSequences; size += STEP_BEYOND) {
            sizes.add(size);
        }
        sizes.add(maxSequences);
        return sizes.stream().mapToInt(Integer::intValue).toArray();
    }

    int count() {
        return graphs.length;
    }

    Graph forBatch(int sequences) {
        int i = 0;
        while (buckets[i] < sequences) {
            i++;
        }
        return graphs[i];
    }

    @Override
    public void close() {
        for (Graph graph : graphs) {
            if (graph != null) {
                graph.close();
            }
        }
    }
}
