package io.tandem;

import io.tandem.sampling.SamplingParams;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * One generation: a prompt in one of three forms and how to continue it. {@code n} choices are {@code n} requests with
 * seeds of their own.
 *
 * @param model name of a served model
 * @param prompt what to continue
 * @param maxNewTokens output tokens at most; 0 = up to the context limit
 * @param sampling how tokens are chosen
 * @param stop texts that end the output and are not part of it; at most 16
 * @param ignoreEos go on past end-of-sequence tokens
 * @param cacheSalt keeps prefix caches of tenants apart; empty = shared
 * @param timeout end to end, {@link #TIMEOUT_MAX} at most; zero = the node's default
 * @param session requests of one session prefer the worker that served it; empty = none
 * @param serviceTier name of a service class; empty, "auto" or "default" = the cluster's default class
 * @param tenant whose share of the cluster it uses; empty = that of all who name none
 */
public record GenerationRequest(
        String model,
        Prompt prompt,
        int maxNewTokens,
        SamplingParams sampling,
        List<String> stop,
        boolean ignoreEos,
        String cacheSalt,
        Duration timeout,
        String session,
        String serviceTier,
        String tenant) {

    public static final int MAX_STOP_TEXTS = 16;
    public static final Duration TIMEOUT_MAX = Duration.ofDays(1);

    public GenerationRequest {
        Objects.requireNonNull(model, "model");
        Objects.requireNonNull(prompt, "prompt");
        Objects.requireNonNull(sampling, "sampling");
        Objects.requireNonNull(cacheSalt, "cacheSalt; empty = none");
        Objects.requireNonNull(timeout, "timeout; zero = the node's own");
        Objects.requireNonNull(session, "session; empty = none");
        Objects.requireNonNull(serviceTier, "serviceTier; empty = the default class");
        Objects.requireNonNull(tenant, "tenant; empty = none");
        stop = List.copyOf(stop);
        if (stop.size() > MAX_STOP_TEXTS) {
            throw new IllegalArgumentException("stop takes at most " + MAX_STOP_TEXTS + " texts, not " + stop.size());
        }
        if (stop.contains("")) {
            throw new IllegalArgumentException("a stop text must not be empty: every output would end at once");
        }
    }

    /** Of no session, in the default class and the common tenant. */
    public GenerationRequest(
            String model,
            Prompt prompt,
            int maxNewTokens,
            SamplingParams sampling,
            List<String> stop,
            boolean ignoreEos,
            String cacheSalt,
            Duration timeout) {
        this(model, prompt, maxNewTokens, sampling, stop, ignoreEos, cacheSalt, timeout, "", "", "");
    }

    /** The same in a session. */
    public GenerationRequest inSession(String name) {
        return new GenerationRequest(
                model, prompt, maxNewTokens, sampling, stop, ignoreEos, cacheSalt, timeout, name, serviceTier, tenant);
    }

    /** The same in a service class and for a tenant. */
    public GenerationRequest of(String tier, String owner) {
        return new GenerationRequest(
                model, prompt, maxNewTokens, sampling, stop, ignoreEos, cacheSalt, timeout, session, tier, owner);
    }

    /** What is to be continued. */
    public sealed interface Prompt {}

    /** Raw text, encoded with the model's begin token where it expects one; special tokens in it are recognised. */
    public record Text(String text) implements Prompt {}

    /** Token ids, taken as they are. */
    public record TokenIds(int[] ids) implements Prompt {}

    /**
     * A conversation, rendered by the model's own chat template.
     *
     * @param messages OpenAI-style messages as plain values ("role", "content", ...)
     * @param extra further template variables ("tools", ...)
     */
    public record Chat(List<Map<String, Object>> messages, Map<String, Object> extra) implements Prompt {
        public Chat {
            messages = List.copyOf(messages);
            extra = Map.copyOf(extra);
        }
    }

    /** A greedy continuation of a one-message conversation. */
    public static GenerationRequest chat(String model, String userMessage, int maxNewTokens) {
        return new GenerationRequest(
                model,
                new Chat(List.of(Map.of("role", "user", "content", userMessage)), Map.of()),
                maxNewTokens,
                SamplingParams.greedy(),
                List.of(),
                false,
                "",
                Duration.ZERO);
    }
}
