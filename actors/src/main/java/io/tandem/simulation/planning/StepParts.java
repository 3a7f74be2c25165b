package io.tandem.simulation.planning;

/**
 * What a step has to move and compute, each part at the hardware's own limit, in milliseconds. How near an engine comes to each
 * limit is what {@link StepTimes} learns.
 *
 * <p>Sources: bytes of weights and KV over memory bandwidth (decode), operations over peak (prefill), two reductions a layer
 * among the GPUs of a replica; a batch of tokens touches the experts it happens to choose.
 */
final class StepParts {
    /** One reduction among two GPUs; each doubling adds as much. */
    private static final double REDUCTION_MS = 2e-3;

    private StepParts() {}

    /** Names of what {@link #decode} answers, in its order. */
    static final String[] DECODE = {"weights", "kv", "compute", "layers", "reductions", "exchange", "fixed"};

    /** Names of what {@link #prefill} answers, in its order. */
    static final String[] PREFILL = {"compute", "weights", "exchange", "layers", "fixed"};

    /**
     * One decode step.
     *
     * @param gpus of a replica, which share weights and work
     * @param attentionGroups replicas of the attention within it (data parallel); 1 = none
     * @param batch sequences of a replica
     * @param context tokens each of them has in KV
     */
    static double[] decode(
            ModelShape m, GpuSpec g, Precision p, double gpus, double attentionGroups, double batch, double context) {
        double attentionGpus = Math.max(1, gpus / attentionGroups);
        double dense = (m.parameters() - m.expertParameters()) * p.bytes() / attentionGpus;
        double touched = m.expertParameters() * m.expertsTouched(batch) / m.experts() * p.bytes() / gpus;
        double cuts = m.kvHeads() == 1 ? 1 : Math.min(attentionGpus, m.kvHeads());
        double kv = batch / attentionGroups * context * m.kvBytesPerToken(p) / cuts;
        double operations = 2 * m.activeParameters() * batch / gpus;
        return new double[] {
            ms(dense + touched, g.memoryBytesPerSecond()),
            ms(kv, g.memoryBytesPerSecond()),
            ms(operations, g.flops(p)),
            m.layers() * 1e-2,
            gpus > 1 ? 2 * m.layers() * REDUCTION_MS * log2(2 * attentionGpus) : 0,
            gpus > 1 ? ms(2.0 * m.layers() * batch * m.hidden() * 2, g.linkBytesPerSecond()) : 0,
            1
        };
    }

    /** A prompt alone on the GPUs of a replica, {@code tokens} of it to compute, from nothing in KV. */
    static double[] prefill(ModelShape m, GpuSpec g, Precision p, double gpus, double tokens) {
        return prefill(m, g, p, gpus, tokens, tokens * tokens / 2);
    }

    /**
     * A pass over prompts or chunks of them.
     *
     * @param tokens of prompts in the pass
     * @param pairs of a token and one it attends to
     */
    static double[] prefill(ModelShape m, GpuSpec g, Precision p, double gpus, double tokens, double pairs) {
        double products = 2 * m.activeParameters() * tokens / gpus;
        double attention = 4 * pairs * m.layers() * m.hidden() / gpus;
        return new double[] {
            ms(products, g.flops(p)) + ms(attention, g.bf16Flops()),
            ms(m.parameters() * p.bytes() / gpus, g.memoryBytesPerSecond()),
            gpus > 1 ? ms(2.0 * m.layers() * tokens * m.hidden() * 2, g.linkBytesPerSecond()) : 0,
            m.layers() * 1e-2,
            1
        };
    }

    private static double ms(double amount, double perSecond) {
        return amount / perSecond * 1e3;
    }

    private static double log2(double x) {
        return Math.log(x) / Math.log(2);
    }
}
