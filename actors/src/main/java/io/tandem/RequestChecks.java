package io.tandem;

import io.tandem.GenerationException.Kind;
import io.tandem.chat.ChatTemplateException;
import io.tandem.engine.SequenceSpec;
import io.tandem.model.ModelBundle;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The checks of a request before anything is held for it. */
final class RequestChecks {
    private RequestChecks() {}

    static SequenceSpec check(GenerationRequest request, ModelBundle model, int maxTokens, String cacheSalt) {
        if (!request.model().equals(model.name())) {
            throw new GenerationException(
                    Kind.MODEL_NOT_FOUND,
                    "the model '" + request.model() + "' does not exist; served here: " + model.name(),
                    "model",
                    1);
        }
        int[] prompt = prompt(request.prompt(), model);
        String field = request.prompt() instanceof GenerationRequest.Chat ? "messages" : "prompt";
        if (prompt.length == 0) {
            throw new GenerationException(Kind.INVALID_REQUEST, "the prompt is empty", field, 1);
        }
        inVocabulary(prompt, model, field);
        inVocabulary(request.sampling().biasTokenIds(), model, "logit_bias");
        int wanted = request.maxNewTokens();
        if (wanted < 0) {
            throw new GenerationException(
                    Kind.INVALID_REQUEST,
                    "max_tokens must be 0 (up to the limit) or more, not " + wanted,
                    "max_tokens",
                    1);
        }
        if (prompt.length + Math.max(1, (long) wanted) > maxTokens) {
            throw new GenerationException(
                    Kind.CONTEXT_OVERFLOW,
                    "this model's maximum context length is " + maxTokens + " tokens; the prompt has "
                            + prompt.length + " and " + Math.max(1, wanted)
                            + " were asked for as output: shorten the prompt or lower max_tokens",
                    field,
                    1);
        }
        int maxNew = wanted == 0 ? maxTokens - prompt.length : wanted;
        int[] stops = request.ignoreEos() ? new int[0] : model.config().eosTokenIdArray();
        return new SequenceSpec(prompt, prompt.length, maxNew, request.sampling(), stops, salt(cacheSalt), 0);
    }

    private static void inVocabulary(int[] ids, ModelBundle model, String field) {
        for (int id : ids) {
            if (id < 0 || id >= model.config().vocabSize()) {
                throw new GenerationException(
                        Kind.INVALID_REQUEST,
                        "token id " + id + " is outside the vocabulary of "
                                + model.config().vocabSize(),
                        field,
                        1);
            }
        }
    }

    /** How long a request may take; zero in it means the node's own limit. */
    static Duration timeout(GenerationRequest request, Duration usual) {
        Duration timeout = request.timeout();
        if (timeout.isNegative() || timeout.compareTo(GenerationRequest.TIMEOUT_MAX) > 0) {
            throw new GenerationException(
                    Kind.INVALID_REQUEST,
                    "timeout must be 0 to " + GenerationRequest.TIMEOUT_MAX.toHours() + " h, not " + timeout,
                    "timeout",
                    1);
        }
        return timeout.isZero() ? usual : timeout;
    }

    private static int[] prompt(GenerationRequest.Prompt prompt, ModelBundle model) {
        return switch (prompt) {
            case GenerationRequest.TokenIds p -> p.ids().clone();
            case GenerationRequest.Text p -> model.tokenizer().encode(p.text(), true, true);
            case GenerationRequest.Chat p -> model.tokenizer().encode(rendered(p, model), false, true);
        };
    }

    private static String rendered(GenerationRequest.Chat chat, ModelBundle model) {
        if (model.chatTemplate().isEmpty()) {
            throw new GenerationException(
                    Kind.INVALID_REQUEST,
                    model.name() + " has no chat template: it is a base model; use /v1/completions",
                    "messages",
                    1);
        }
        Map<String, Object> context = new HashMap<>(chat.extra());
        context.put("messages", chat.messages());
        context.putIfAbsent("add_generation_prompt", true);
        int bos = model.config().bosTokenId();
        context.putIfAbsent("bos_token", bos < 0 ? "" : tokenText(model, bos));
        List<Integer> eos = model.config().eosTokenIds();
        context.putIfAbsent("eos_token", eos.isEmpty() ? "" : tokenText(model, eos.getFirst()));
        try {
            return model.chatTemplate().get().render(context);
        } catch (ChatTemplateException e) {
            throw new GenerationException(
                    Kind.INVALID_REQUEST, "the model's chat template refuses: " + e.getMessage(), "messages", 1);
        }
    }

    private static String tokenText(ModelBundle model, int id) {
        return new String(model.tokenizer().tokenBytes(id, true), StandardCharsets.UTF_8);
    }

    /** 64 bits of SHA-256: nobody finds a salt that opens another tenant's cache. 0 is the shared cache. */
    private static long salt(String text) {
        if (text.isEmpty()) {
            return 0;
        }
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return ByteBuffer.wrap(digest).getLong() | 1;
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
