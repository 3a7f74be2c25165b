package io.tandem.http.openai;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.GenerationEvent;
import io.tandem.GenerationEvent.TokenLogprob;
import io.tandem.GenerationRequest;
import io.tandem.sampling.SamplingParams;
import java.util.List;
import org.junit.jupiter.api.Test;

class StreamedAnswerTest {
    private static final int LIMIT = 10_000;

    private static StreamedAnswer answer(boolean withIds) {
        CompletionSpec spec = new CompletionSpec(
                true,
                null,
                List.of(new GenerationRequest.Text("x")),
                1,
                SamplingParams.greedy(),
                0,
                List.of(),
                false,
                "",
                true,
                false,
                withIds,
                "",
                "",
                "");
        return new StreamedAnswer(spec, 4, LIMIT, false);
    }

    private static void tokens(StreamedAnswer answer, String text, int topLogprobs) {
        List<TokenLogprob> logprobs = topLogprobs < 0
                ? List.of()
                : List.of(new TokenLogprob(7, -1, new int[topLogprobs], new float[topLogprobs]));
        for (int i = 0; i < 1_000; i++) {
            answer.tokens(0, new GenerationEvent.Tokens(text, new int[] {7}, logprobs));
        }
    }

    @Test
    void shouldCountAllThatWaitsForASlowClient() {
        StreamedAnswer text = answer(false);
        tokens(text, "word ", -1);
        assertFalse(text.tooSlow());
        StreamedAnswer logprobs = answer(false);
        tokens(logprobs, "", 20);
        assertTrue(logprobs.tooSlow(), "a thousand lists of twenty wait");
        StreamedAnswer ids = answer(true);
        tokens(ids, "word ", -1);
        assertTrue(ids.tooSlow());
    }
}
