package io.tandem.simulation.planning;

/**
 * A model on the GPUs that serve it together.
 *
 * @param gpus that share weights and work (tensor parallel)
 */
public record Replica(ModelShape model, GpuSpec gpu, Precision precision, int gpus) {
    /** Share of memory left after weights that KV may take; the rest is activations and fragmentation. */
    private static final double KV_SHARE = 0.9;

    private static final double WEIGHT_SHARE = 0.95;

    public Replica {
        if (gpus < 1 || gpus > 64 || Integer.bitCount(gpus) != 1) {
            throw new IllegalArgumentException("the GPUs of a replica must be 1, 2, 4, ... 64, not " + gpus);
        }
    }

    /** Tokens whose KV fits beside the weights; 0 = the weights do not fit. */
    public double kvTokens() {
        double weights = model.weightBytes(precision);
        double memory = gpus * gpu.memoryBytes();
        if (weights > WEIGHT_SHARE * memory) {
            return 0;
        }
        double copies = model.kvHeads() == 1 ? gpus : Math.max(1, (double) gpus / model.kvHeads());
        return KV_SHARE * (memory - weights) / (model.kvBytesPerToken(precision) * copies);
    }

    /** Bytes a second of KV to another replica, over the hosts' network. */
    public double networkBytesPerSecond() {
        return gpus * gpu.networkBytesPerSecond();
    }
}
