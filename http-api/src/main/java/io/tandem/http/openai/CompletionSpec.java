package io.tandem.http.openai;

import io.tandem.GenerationRequest;
import io.tandem.GenerationRequest.Prompt;
import io.tandem.model.ModelBundle;
import io.tandem.sampling.SamplingParams;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A checked completion request.
 *
 * @param chat whether the answer is a chat completion
 * @param model what is to run
 * @param prompts at least one; a chat has exactly one
 * @param n choices of each prompt
 * @param sampling of the first choice; choice i has its seed plus i
 * @param maxNewTokens of each choice; 0 = up to the context limit
 * @param stop texts that end a choice
 * @param ignoreEos go on past end-of-sequence tokens
 * @param cacheSalt keeps prefix caches apart
 * @param stream answer as server-sent events
 * @param includeUsage a last chunk with the usage
 * @param returnTokenIds token ids in the answer
 * @param serviceTier the class that serves it, where the request names one (be it "auto"); else empty
 * @param user whom the client says it acts for, or empty
 * @param session requests of one session prefer the worker that served it; the body's prompt_cache_key
 */
record CompletionSpec(
        boolean chat,
        ModelBundle model,
        List<Prompt> prompts,
        int n,
        SamplingParams sampling,
        int maxNewTokens,
        List<String> stop,
        boolean ignoreEos,
        String cacheSalt,
        boolean stream,
        boolean includeUsage,
        boolean returnTokenIds,
        String serviceTier,
        String user,
        String session) {

    int choices() {
        return prompts.size() * n;
    }

    /** One generation a choice, prompt by prompt, for a tenant; a session that is given goes before the body's own. */
    List<GenerationRequest> generations(Duration timeout, String tenant, String givenSession) {
        List<GenerationRequest> requests = new ArrayList<>(choices());
        for (Prompt prompt : prompts) {
            for (int i = 0; i < n; i++) {
                GenerationRequest one = new GenerationRequest(
                        model.name(), prompt, maxNewTokens, seeded(i), stop, ignoreEos, cacheSalt, timeout);
                requests.add(one.of(serviceTier, tenant).inSession(givenSession.isEmpty() ? session : givenSession));
            }
        }
        return requests;
    }

    private SamplingParams seeded(int i) {
        SamplingParams s = sampling;
        return new SamplingParams(
                s.temperature(),
                s.topK(),
                s.topP(),
                s.minP(),
                s.repetitionPenalty(),
                s.presencePenalty(),
                s.frequencyPenalty(),
                s.biasTokenIds(),
                s.biases(),
                s.seed() + i,
                s.topLogprobs());
    }
}
