package io.tandem.simulation.planning;

import java.util.Arrays;

/**
 * One measured serving run: a closed loop of {@code concurrency} requests of equal lengths.
 *
 * @param backend engine that ran
 * @param version of it
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

    /** A prompt's own parts, a wait that grows with the requests before it, and one decode step. */
    double[] ttftParts() {
        double[] prompt = StepParts.prefill(model, gpu, weightPrecision(), prefillGpus, promptTokens);
        double[] decode =
                StepParts.decode(model, gpu, weightPrecision(), decodeGpus, attentionGroups, batch(), promptTokens);
        double queue = concurrency / prefillWorkers;
        return new double[] {
            prompt[0],
            prompt[1],
            prompt[2],
            queue * prompt[0],
            prompt[0] * Math.log(1 + queue) / Math.log(2),
            10 * prompt[3],
            10 * prompt[4],
            decode[0] + decode[1]
        };
    }

    /** Where the point lies among others, for {@link Kriging}; in doublings. */
    double[] position() {
        return new double[] {
            log2(concurrency),
            log2(promptTokens),
            log2(outputTokens),
            log2(decodeGpus),
            log2(batch()),
            log2(attentionGroups)
        };
    }

    /** What the point has in common with others, from the loosest to the tightest. */
    String[] kinds() {
        String all = split ? "split" : "whole";
        String exact = backend + '|' + gpu.name() + '|' + model.name() + '|' + precision + '|' + all;
        return new String[] {
            all,
            backend + '|' + all,
            gpu.name() + '|' + all,
            model.name() + '|' + all,
            exact,
            exact + '|' + decodeGpus + '|' + version + '|' + expertGroups
        };
    }

    private static double log2(double x) {
        return Math.log(x) / Math.log(2);
    }
}
