package io.tandem.sampling;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class SamplerTest {
    private static final int[] NO_HISTORY = {0};
    private static final int DRAWS = 20_000;

    private static SamplingParams params(float temperature, int topK, float topP, float minP, long seed) {
        return new SamplingParams(temperature, topK, topP, minP, 1, 0, 0, new int[0], new float[0], seed, -1);
    }

    /** The two first words of the published known answers of Philox4x32-10. */
    @Test
    void shouldDrawWhatPhiloxIsKnownToDraw() {
        assertEquals(0xe169c58d_6627e8d5L, Philox.words(0, 0, 0));
        assertEquals(0x41c83b0e_408f276dL, Philox.words(-1, -1, -1));
        assertEquals(
                0x94fdcceb_d16cfe09L, Philox.words(0x299f31d0_a4093822L, 0x85a308d3_243f6a88L, 0x03707344_13198a2eL));
    }

    @Test
    void shouldTakeTheMostLikelyTokenAndTheLowestIdOnATie() {
        Sampler sampler = new Sampler(4);
        assertEquals(1, sampler.choose(SamplingParams.greedy(), new float[] {0, 5, 5, 1}, NO_HISTORY, 1, 1));
    }

    @Test
    void shouldRefuseLogitsThatAreNoNumbers() {
        Sampler sampler = new Sampler(3);
        float[] broken = {1, Float.NaN, 2};
        assertThrows(
                ArithmeticException.class, () -> sampler.choose(SamplingParams.greedy(), broken, NO_HISTORY, 1, 1));
        float[] nothing = {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY};
        assertThrows(ArithmeticException.class, () -> sampler.choose(params(1, 0, 1, 0, 1), nothing, NO_HISTORY, 1, 1));
    }

    /** Frequencies within five standard deviations of the probabilities, plain and with every cut that cuts nothing. */
    @Test
    void shouldDrawWithTheModelsProbabilities() {
        float[] logits = {0, 1, 2, -1, Float.NEGATIVE_INFINITY};
        for (SamplingParams p : new SamplingParams[] {params(0.7f, 0, 1, 0, 5), params(0.7f, 4, 1, 1e-9f, 5)}) {
            double total = 0;
            double[] probability = new double[5];
            for (int i = 0; i < 5; i++) {
                probability[i] = Math.exp(logits[i] / 0.7);
                total += probability[i];
            }
            int[] seen = frequencies(p, logits);
            for (int i = 0; i < 5; i++) {
                double expected = DRAWS * probability[i] / total;
                double deviation = Math.sqrt(expected * (1 - probability[i] / total));
                assertEquals(expected, seen[i], 5 * deviation + 1e-9, "token " + i);
            }
        }
    }

    private static int[] frequencies(SamplingParams p, float[] logits) {
        Sampler sampler = new Sampler(logits.length);
        int[] seen = new int[logits.length];
        int[] tokens = new int[1 + DRAWS];
        for (int i = 0; i < DRAWS; i++) {
            seen[sampler.choose(p, logits, tokens, 1, 1 + i)]++;
        }
        return seen;
    }

    private static Set<Integer> drawn(SamplingParams p, float[] logits) {
        int[] seen = frequencies(p, logits);
        Set<Integer> ids = new TreeSet<>();
        for (int i = 0; i < seen.length; i++) {
            if (seen[i] > 0) {
                ids.add(i);
            }
        }
        return ids;
    }

    @Test
    void shouldKeepWhatTheCutsLeave() {
        float[] logits = new float[200];
        for (int i = 0; i < 200; i++) {
            logits[i] = (float) Math.log(i < 4 ? new double[] {0.4, 0.3, 0.2, 0.05}[i] : 0.05 / 196);
        }
        assertEquals(Set.of(0, 1), drawn(params(1, 2, 1, 0, 3), logits));
        assertEquals(Set.of(0, 1), drawn(params(1, 0, 0.65f, 0, 3), logits));
        assertEquals(Set.of(0, 1, 2), drawn(params(1, 0, 0.75f, 0, 3), logits));
        assertEquals(Set.of(0, 1, 2, 3), drawn(params(1, 0, 1, 0.1f, 3), logits));
        assertEquals(Set.of(0), drawn(params(1, 3, 0.1f, 0, 3), logits));
        assertTrue(drawn(params(1, 0, 0.99f, 0, 3), logits).size() > 100);
    }

    @Test
    void shouldDrawTheSameForTheSameSeedAndPositionWhateverCameBefore() {
        float[] logits = new float[1000];
        for (int i = 0; i < 1000; i++) {
            logits[i] = (float) Math.sin(i);
        }
        Sampler one = new Sampler(1000);
        Sampler two = new Sampler(1000);
        int[] tokens = new int[100];
        int differences = 0;
        for (int position = 0; position < 64; position++) {
            int a = one.choose(params(1, 0, 1, 0, 11), logits, tokens, 3, 3 + position);
            one.choose(params(1, 0, 1, 0, 12), logits, tokens, 3, 3 + position);
            assertEquals(a, two.choose(params(1, 0, 1, 0, 11), logits, tokens, 3, 3 + position));
            differences += a == two.choose(params(1, 0, 1, 0, 12), logits, tokens, 3, 3 + position) ? 0 : 1;
        }
        assertTrue(differences > 50, "another seed draws the same");
    }

    @Test
    void shouldApplyPenaltiesAndBias() {
        float[] logits = {2.0f, 1.9f, -1.0f, 0.5f};
        int[] history = {0, 2, 1, 1};
        Sampler sampler = new Sampler(4);
        // Repetition counts prompt and output: 2.0/2, 1.9/2, -1.0*2.
        assertEquals(0, choose(sampler, 2, 0, 0, new int[0], new float[0], logits, history));
        // Presence and frequency count the output only: 1.9 - 0.5 - 2*0.5.
        assertEquals(0, choose(sampler, 1, 0.5f, 0.5f, new int[0], new float[0], logits, history));
        assertEquals(3, choose(sampler, 1, 0, 0, new int[] {3}, new float[] {1.6f}, logits, history));
        assertEquals(1, choose(sampler, 1, 0, 0, new int[] {0}, new float[] {-100}, logits, history));
        float[] close = {1.0f, 1.1f, -1.0f, 0.9f};
        assertEquals(0, choose(sampler, 1, 0.2f, 0, new int[0], new float[0], close, history));
        assertEquals(3, choose(sampler, 1.5f, 0, 0, new int[0], new float[0], close, history));
        assertArrayEquals(new float[] {2.0f, 1.9f, -1.0f, 0.5f}, logits, "the model's logits are left alone");
    }

    private static int choose(
            Sampler sampler,
            float repetition,
            float presence,
            float frequency,
            int[] ids,
            float[] biases,
            float[] logits,
            int[] history) {
        SamplingParams p = new SamplingParams(0, 0, 1, 0, repetition, presence, frequency, ids, biases, 0, -1);
        return sampler.choose(p, logits, history, 2, 4);
    }

    @Test
    void shouldReportLogProbabilitiesOfTheModelItself() {
        Sampler sampler = new Sampler(3);
        SamplingParams p = new SamplingParams(0, 0, 1, 0, 1, 0, 0, new int[] {2}, new float[] {100}, 0, 2);
        float[] logits = {(float) Math.log(0.5), (float) Math.log(0.3), (float) Math.log(0.2)};
        assertEquals(2, sampler.choose(p, logits, NO_HISTORY, 1, 1));
        assertEquals(Math.log(0.2), sampler.logprob(), 1e-6);
        assertArrayEquals(new int[] {0, 1}, sampler.topIds());
        assertEquals(Math.log(0.5), sampler.topLogprobs()[0], 1e-6);
    }

    @Test
    void shouldNameTheFieldThatIsWrong() {
        Exception e = assertThrows(IllegalArgumentException.class, () -> params(1, 0, 1.5f, 0, 0));
        assertTrue(e.getMessage().startsWith("top_p must be in (0, 1]"), e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> params(-1, 0, 1, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> params(Float.NaN, 0, 1, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> params(1, -1, 1, 0, 0));
    }
}
