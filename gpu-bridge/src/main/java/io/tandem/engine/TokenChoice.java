package io.tandem.engine;

import io.tandem.compute.ComputeBackend;
import io.tandem.compute.ForwardOutput;
import io.tandem.sampling.Sampler;
import io.tandem.sampling.SamplingParams;
import io.tandem.scheduling.Sequence;

/** The tokens of a step: taken from a backend that chooses them itself, else chosen here from its logits. */
final class TokenChoice {
    private final boolean backendChooses;
    private final Sampler sampler;
    private final StepTokens tokens;

    TokenChoice(ComputeBackend backend, int maxSequences) {
        backendChooses = backend.choosesTokens();
        sampler = new Sampler(backendChooses ? 1 : backend.model().vocabSize());
        tokens = new StepTokens(maxSequences);
    }

    /** What was chosen since it was cleared. */
    StepTokens tokens() {
        return tokens;
    }

    /** Chooses the token at an index of the sequence, from the logits of a row; below 0 where they hold a NaN or no finite value. */
    int choose(Sequence s, int at, ForwardOutput output, int row) {
        SamplingParams params = s.spec.sampling();
        int position = at - s.spec.promptTokens();
        if (!backendChooses) {
            int token = sample(params, output.logits[row], s, at);
            if (token < 0) {
                return token;
            }
            tokens.add(s.key, token, position, sampler.logprob(), sampler.topIds(), sampler.topLogprobs());
            return token;
        }
        int token = output.tokens[row];
        if (token < 0) {
            return token;
        }
        if (params.topLogprobs() > 0 && output.logits[row].length > 0) {
            sampler.report(params, output.logits[row], token);
            tokens.add(s.key, token, position, sampler.logprob(), sampler.topIds(), sampler.topLogprobs());
        } else {
            tokens.add(s.key, token, position, output.logprobs[row], null, null);
        }
        return token;
    }

    private int sample(SamplingParams params, float[] logits, Sequence s, int at) {
        try {
            return sampler.choose(params, logits, s.tokens, s.spec.promptTokens(), at);
        } catch (ArithmeticException noNumber) {
            return -1;
        }
    }
}
