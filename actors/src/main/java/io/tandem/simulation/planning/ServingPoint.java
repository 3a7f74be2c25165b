package io.tandem.simulation.planning;

import java.util.Arrays;

/**
 * One measured serving run: a closed loop of {@code concurrency} requests of equal lengths.
 *
 * @param backend engine that ran
 * @param version of it
 * @param measuredOn day, as text; runs of a day share what the file does not say. Empty = not known
 * @param precision of products
 * @param expertPrecision of expert weights
 * @param split prefill and decode on different GPUs
 * @param promptTokens of each request
 * @param outputTokens of each request
 * @param concurrency requests in flight, over all workers
 * @param prefillWorkers replicas that take prompts (the same as {@code decodeWorkers} when not split)
 * @param prefillGpus of such a replica
 * @param decodeWorkers replicas that decode
 * @param decodeGpus of such a replica
 * @param attentionGroups of a decode replica
 * @param expertGroups of a decode replica (expert parallel)
 * @param ttftMs measured mean
 * @param tpotMs measured mean
 */
public record ServingPoint(
        String backend,
        String version,
        String measuredOn,
        ModelShape model,
        GpuSpec gpu,
        Precision precision,
        Precision expertPrecision,
        boolean split,
        int promptTokens,
        int outputTokens,
        double concurrency,
        double prefillWorkers,
        double prefillGpus,
        double decodeWorkers,
        double decodeGpus,
        double attentionGroups,
        double expertGroups,
        double ttftMs,
        double tpotMs) {

    /** Of a GPU's memory, what engines fill with weights and KV (vLLM's default). */
    private static final double USED_SHARE = 0.9;

    /** What is left for KV at least; a run that did take place had some. */
    private static final double LEAST_KV_SHARE = 0.02;

    /** Sequences of one decode replica. */
    double batch() {
        return Math.max(1, concurrency / decodeWorkers);
    }

    /** Where the experts are most of the weights, their precision decides. */
    private Precision weightPrecision() {
        return model.expertParameters() > 0 ? expertPrecision : precision;
    }

    /** What a decode step moves and computes; when not split, also the prompts that each step carries on average. */
    double[] tpotParts() {
        double context = promptTokens + outputTokens / 2.0;
        double[] decode =
                StepParts.decode(model, gpu, weightPrecision(), decodeGpus, attentionGroups, batch(), context);
        double[] prompt = StepParts.prefill(model, gpu, weightPrecision(), prefillGpus, promptTokens);
        double prompts = split ? 0 : concurrency / outputTokens;
        double[] all = Arrays.copyOf(decode, decode.length + 2);
        all[decode.length] = prompts * prompt[0];
        all[decode.length + 1] = Math.min(1, prompts) * prompt[1];
        return all;
    }

    /** Sequences of a decode replica whose KV fits its memory at once, with half of their output. */
    double capacity() {
        Precision weights = weightPrecision();
        double attentionGpus = Math.max(1, decodeGpus / attentionGroups);
        double dense = (model.parameters() - model.expertParameters()) * weights.bytes() / attentionGpus;
        double held = dense + model.expertParameters() * weights.bytes() / decodeGpus;
        double free = gpu.memoryBytes() * Math.max(LEAST_KV_SHARE, USED_SHARE - held / gpu.memoryBytes());
        double cuts = model.kvHeads() == 1 ? 1 : Math.min(attentionGpus, model.kvHeads());
        double sequence = (promptTokens + outputTokens / 2.0) * model.kvBytesPerToken(weights) / cuts;
        return Math.max(1, free / sequence * attentionGroups);
    }

    /**
     * A prompt's own parts, a wait that grows with the requests before it, one decode step, and the wait for a place of those
     * whose KV does not fit: Little's law over the time a place is taken.
     */
    double[] ttftParts() {
        double running = Math.min(batch(), capacity());
        double[] prompt = StepParts.prefill(model, gpu, weightPrecision(), prefillGpus, promptTokens);
        double[] decode =
                StepParts.decode(model, gpu, weightPrecision(), decodeGpus, attentionGroups, running, promptTokens);
        double queue = Math.min(concurrency, running * decodeWorkers) / prefillWorkers;
        double step = decode[0] + decode[1] + decode[3];
        return new double[] {
            prompt[0],
            prompt[1],
            prompt[2],
            queue * prompt[0],
            prompt[0] * Math.log(1 + queue) / Math.log(2),
            10 * prompt[3],
            10 * prompt[4],
            step + decode[4],
            split ? 0 : Math.max(0, batch() / capacity() - 1) * outputTokens * step
        };
    }

    /** Where the point lies among others, for {@link Kriging}; in doublings. */
    double[] position() {
        return new double[] {
            log2(concurrency),
            log2(promptTokens),
            log2(outputTokens),
            log2(decodeGpus),
            log2(batch() / attentionGroups),
            log2(1 + batch() / capacity())
        };
    }

    /** What the point has in common with others, from the loosest to the tightest. */
    String[] kinds() {
        String all = split ? "split" : "whole";
        String exact = backend + '|' + gpu.name() + '|' + model.name() + '|' + precision + '|' + all;
        String layout = exact + '|' + decodeGpus + '|' + expertGroups + '|' + attentionGroups;
        return new String[] {
            all,
            backend + '|' + all,
            gpu.name() + '|' + all,
            model.name() + '|' + all,
            exact,
            layout,
            layout + '|' + version + '|' + measuredOn
        };
    }

    private static double log2(double x) {
        return Math.log(x) / Math.log(2);
    }
}
