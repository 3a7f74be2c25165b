package io.tandem.sampling;

import java.util.Arrays;

/**
 * Chooses the next token from logits. Order of the steps: repetition, presence and frequency penalties, logit bias,
 * temperature, min-p, top-k, top-p, then one draw keyed by (seed, output position). Log-probabilities are those of the raw
 * logits. Scratch memory is made once for a vocabulary; a call allocates only the top log-probabilities it hands out.
 * Not thread-safe.
 */
public final class Sampler {
    /** First cut of the top-p search: tokens this far (in temperature-scaled logits) below the best. */
    private static final double NEAR = 12;

    private final int vocabSize;
    private final float[] work;
    private final int[] outputCount;
    private final int[] seenStamp;
    private final int[] countStamp;
    private int stamp;
    private final long[] order;
    private float logprob;
    private int[] topIds;
    private float[] topLogprobs;

    public Sampler(int vocabSize) {
        this.vocabSize = vocabSize;
        work = new float[vocabSize];
        outputCount = new int[vocabSize];
        seenStamp = new int[vocabSize];
        countStamp = new int[vocabSize];
        order = new long[vocabSize];
    }

    /** Log-probability of the token of the latest {@link #choose}; NaN when none was asked for. */
    public float logprob() {
        return logprob;
    }

    /** Most likely ids of the latest {@link #choose}, best first; null when none were asked for. */
    public int[] topIds() {
        return topIds;
    }

    /** Log-probabilities of {@link #topIds()}; null when none were asked for. */
    public float[] topLogprobs() {
        return topLogprobs;
    }

    /**
     * Chooses a token.
     *
     * @param logits shape [vocabSize]; left as they are
     * @param tokens prompt and output so far
     * @param promptTokens how many of {@code tokens} are the prompt
     * @param length tokens in use; {@code length - promptTokens} is the output position drawn for
     * @throws ArithmeticException when the logits hold a NaN
     */
    public int choose(SamplingParams params, float[] logits, int[] tokens, int promptTokens, int length) {
        float[] source = logits;
        if (changesLogits(params)) {
            System.arraycopy(logits, 0, work, 0, vocabSize);
            penalise(params, tokens, promptTokens, length);
            for (int i = 0; i < params.biases().length; i++) {
                work[params.biasTokenIds()[i]] += params.biases()[i];
            }
            source = work;
        }
        int best = argmax(source);
        int chosen = params.isGreedy() ? best : draw(params, source, source[best], length - promptTokens);
        report(params, logits, chosen);
        return chosen;
    }

    private static boolean changesLogits(SamplingParams p) {
        return p.repetitionPenalty() != 1
                || p.presencePenalty() != 0
                || p.frequencyPenalty() != 0
                || p.biases().length > 0;
    }

    /** The largest logit, lowest id on a tie; a NaN anywhere is an error. */
    private int argmax(float[] logits) {
        int best = 0;
        float max = Float.NEGATIVE_INFINITY;
        boolean nan = false;
        for (int i = 0; i < vocabSize; i++) {
            float v = logits[i];
            nan |= Float.isNaN(v);
            if (v > max) {
                max = v;
                best = i;
            }
        }
        if (nan || max == Float.NEGATIVE_INFINITY) {
            throw new ArithmeticException("the model's logits hold " + (nan ? "a NaN" : "no finite value"));
        }
        return best;
    }

    private void penalise(SamplingParams p, int[] tokens, int promptTokens, int length) {
        if (++stamp == Integer.MAX_VALUE) {
            Arrays.fill(seenStamp, 0);
            Arrays.fill(countStamp, 0);
            stamp = 1;
        }
        for (int i = 0; i < length; i++) {
            int t = tokens[i];
            if (seenStamp[t] != stamp) {
                seenStamp[t] = stamp;
                work[t] = work[t] > 0 ? work[t] / p.repetitionPenalty() : work[t] * p.repetitionPenalty();
            }
            if (i >= promptTokens) {
                outputCount[t] = countStamp[t] == stamp ? outputCount[t] + 1 : 1;
                countStamp[t] = stamp;
            }
        }
        // Subtracted once a token with its final count, so that the sum's order never depends on the history's.
        for (int i = promptTokens; i < length; i++) {
            int t = tokens[i];
            if (countStamp[t] == stamp) {
                work[t] -= p.presencePenalty() + p.frequencyPenalty() * outputCount[t];
                countStamp[t] = 0;
            }
        }
    }

    private int draw(SamplingParams p, float[] logits, float max, int position) {
        double u = Philox.uniform(p.seed(), position);
        boolean truncated = p.topK() > 0 && p.topK() < vocabSize || p.topP() < 1 || p.minP() > 0;
        return truncated ? drawTruncated(p, logits, max, u) : drawAll(p, logits, max, u);
    }

    /** Inverse of the cumulated distribution in order of ids. */
    private int drawAll(SamplingParams p, float[] logits, float max, double u) {
        double total = 0;
        for (int i = 0; i < vocabSize; i++) {
            total += weight(logits[i], max, p.temperature());
        }
        double target = u * total;
        int last = 0;
        for (int i = 0; i < vocabSize; i++) {
            double w = weight(logits[i], max, p.temperature());
            if (w > 0) {
                last = i;
                target -= w;
                if (target < 0) {
                    return i;
                }
            }
        }
        return last;
    }

    /** The same over the tokens that min-p, top-k and top-p leave, in order of probability, then id. */
    private int drawTruncated(SamplingParams p, float[] logits, float max, double u) {
        double floor = p.minP() > 0 ? max + p.temperature() * Math.log(p.minP()) : Double.NEGATIVE_INFINITY;
        double total = 0;
        for (int i = 0; i < vocabSize; i++) {
            total += logits[i] >= floor ? weight(logits[i], max, p.temperature()) : 0;
        }
        double near = Math.max(floor, max - NEAR * p.temperature());
        int kept = sortAbove(logits, near);
        int k = p.topK() > 0 ? Math.min(p.topK(), vocabSize) : vocabSize;
        double keptMass = mass(logits, kept, max, p.temperature());
        boolean enough = k <= kept || near <= floor || p.topP() < 1 && k >= vocabSize && keptMass >= p.topP() * total;
        if (!enough) {
            kept = sortAbove(logits, floor);
        }
        kept = Math.min(kept, k);
        double reference = k < vocabSize ? mass(logits, kept, max, p.temperature()) : total;
        kept = cutAtTopP(logits, kept, max, p, reference);
        double target = u * mass(logits, kept, max, p.temperature());
        for (int i = 0; i < kept; i++) {
            target -= weight(logits[id(order[i])], max, p.temperature());
            if (target < 0) {
                return id(order[i]);
            }
        }
        return id(order[kept - 1]);
    }

    private int cutAtTopP(float[] logits, int kept, float max, SamplingParams p, double reference) {
        if (p.topP() >= 1) {
            return kept;
        }
        double mass = 0;
        for (int i = 0; i < kept; i++) {
            mass += weight(logits[id(order[i])], max, p.temperature());
            if (mass >= p.topP() * reference) {
                return i + 1;
            }
        }
        return kept;
    }

    /** Fills {@link #order} with the tokens at or above a logit, most likely first, lower id first on a tie. */
    private int sortAbove(float[] logits, double floor) {
        int count = 0;
        for (int i = 0; i < vocabSize; i++) {
            if (logits[i] >= floor && logits[i] > Float.NEGATIVE_INFINITY) {
                order[count++] = ((long) ~sortable(logits[i]) << 32) | i;
            }
        }
        Arrays.sort(order, 0, count);
        return count;
    }

    /** Maps floats to ints of the same order. */
    private static int sortable(float value) {
        int bits = Float.floatToRawIntBits(value + 0f);
        return bits ^ ((bits >> 31) & 0x7fffffff);
    }

    private static int id(long entry) {
        return (int) entry;
    }

    private double mass(float[] logits, int kept, float max, float temperature) {
        double mass = 0;
        for (int i = 0; i < kept; i++) {
            mass += weight(logits[id(order[i])], max, temperature);
        }
        return mass;
    }

    private static double weight(float logit, float max, float temperature) {
        return Math.exp(((double) logit - max) / temperature);
    }

    /** Fills {@link #logprob()}, {@link #topIds()} and {@link #topLogprobs()} for a token that was chosen elsewhere. */
    public void report(SamplingParams params, float[] logits, int chosen) {
        logprob = Float.NaN;
        topIds = null;
        topLogprobs = null;
        if (!params.wantsLogprobs()) {
            return;
        }
        float max = Float.NEGATIVE_INFINITY;
        for (float logit : logits) {
            max = Math.max(max, logit);
        }
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp((double) logit - max);
        }
        double logSum = max + Math.log(sum);
        logprob = (float) (logits[chosen] - logSum);
        int n = Math.min(params.topLogprobs(), logits.length);
        topIds = new int[n];
        topLogprobs = new float[n];
        fillTop(logits, n);
        for (int i = 0; i < n; i++) {
            topLogprobs[i] = (float) (logits[topIds[i]] - logSum);
        }
    }

    /** The n largest by insertion: n is at most {@link SamplingParams#MAX_TOP_LOGPROBS}. */
    private void fillTop(float[] logits, int n) {
        int filled = 0;
        for (int i = 0; i < logits.length && n > 0; i++) {
            if (filled == n && !(logits[i] > logits[topIds[n - 1]])) {
                continue;
            }
            int at = filled < n ? filled++ : n - 1;
            while (at > 0 && logits[topIds[at - 1]] < logits[i]) {
                topIds[at] = topIds[at - 1];
                at--;
            }
            topIds[at] = i;
        }
    }
}
