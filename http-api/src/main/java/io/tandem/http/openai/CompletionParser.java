package io.tandem.http.openai;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.AdmissionStatus;
import io.tandem.AdmissionStatus.ServiceTier;
import io.tandem.GenerationRequest;
import io.tandem.GenerationRequest.Prompt;
import io.tandem.TandemClient;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Fields;
import io.tandem.model.ModelBundle;
import io.tandem.sampling.SamplingParams;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;

/** Turns the body of a completion request into a {@link CompletionSpec}; every fault is a 400 that names its field. */
final class CompletionParser {

    private static final int DEFAULT_COMPLETION_TOKENS = 16;
    private static final int MAX_SESSION_CHARS = 256;
    private static final int MAX_STOP_CHARS = 1024;
    private static final int MAX_BIASES = 1024;

    private final TandemClient client;
    private final int maxChoices;

    CompletionParser(TandemClient client, int maxChoices) {
        this.client = client;
        this.maxChoices = maxChoices;
    }

    CompletionSpec chat(ObjectNode node) {
        Fields body = new Fields(node, "");
        FieldRules.check(body, true);
        ModelBundle model = model(body);
        if (model.chatTemplate().isEmpty()) {
            throw ApiException.invalid(
                    "model", "The model '" + model.name() + "' has no chat template; use /v1/completions");
        }
        Prompt prompt = new GenerationRequest.Chat(ChatMessages.parse(body), ChatMessages.templateVariables(body));
        int topLogprobs = -1;
        if (body.flag("logprobs", false)) {
            topLogprobs = (int) body.integer("top_logprobs", 0, 0, SamplingParams.MAX_TOP_LOGPROBS);
        } else if (body.integer("top_logprobs", 0, 0, SamplingParams.MAX_TOP_LOGPROBS) > 0) {
            throw ApiException.invalid("top_logprobs", "top_logprobs needs logprobs to be true");
        }
        long maxTokens = body.integer("max_tokens", 0, 1, Integer.MAX_VALUE);
        long maxCompletion = body.integer("max_completion_tokens", maxTokens, 1, Integer.MAX_VALUE);
        if (maxTokens != 0 && maxTokens != maxCompletion) {
            throw ApiException.invalid(
                    "max_tokens", "max_tokens and max_completion_tokens differ; send max_completion_tokens only");
        }
        return spec(body, true, model, List.of(prompt), (int) maxCompletion, topLogprobs);
    }

    CompletionSpec completion(ObjectNode node) {
        Fields body = new Fields(node, "");
        FieldRules.check(body, false);
        ModelBundle model = model(body);
        List<Prompt> prompts = prompts(body, model);
        int topLogprobs = (int) body.integer("logprobs", -1, 0, SamplingParams.MAX_TOP_LOGPROBS);
        int maxTokens = (int) body.integer("max_tokens", DEFAULT_COMPLETION_TOKENS, 1, Integer.MAX_VALUE);
        return spec(body, false, model, prompts, maxTokens, topLogprobs);
    }

    /** The model a body names. */
    ModelBundle model(Fields body) {
        return served(body.requiredText("model"));
    }

    /** The model of a name. */
    ModelBundle served(String name) {
        return client.model(name)
                .orElseThrow(() -> ApiException.modelNotFound(
                        name, client.models().stream().map(ModelBundle::name).collect(Collectors.joining(", "))));
    }

    /** The model a body names, or the only one there is. */
    ModelBundle modelOrOnly(Fields body) {
        List<ModelBundle> models = client.models();
        return !body.has("model") && models.size() == 1 ? models.get(0) : model(body);
    }

    private CompletionSpec spec(
            Fields body, boolean chat, ModelBundle model, List<Prompt> prompts, int maxNewTokens, int topLogprobs) {
        int n = (int) body.integer("n", 1, 1, maxChoices);
        if (prompts.size() * n > maxChoices) {
            throw ApiException.invalid(
                    n > 1 ? "n" : "prompt",
                    "The request asks for " + prompts.size() * n + " choices; this server makes at most " + maxChoices
                            + " at a time");
        }
        boolean stream = body.flag("stream", false);
        return new CompletionSpec(
                chat,
                model,
                prompts,
                n,
                sampling(body, model, topLogprobs),
                maxNewTokens,
                stops(body),
                body.flag("ignore_eos", false),
                body.text("cache_salt", ""),
                stream,
                includeUsage(body, stream),
                body.flag("return_token_ids", false),
                serviceTier(body),
                body.text("user", ""),
                session("prompt_cache_key", body.text("prompt_cache_key", "")));
    }

    /** A session's name, if it is not too long to be remembered. */
    static String session(String field, String name) {
        if (name.length() > MAX_SESSION_CHARS) {
            throw ApiException.invalid(field, field + " takes at most " + MAX_SESSION_CHARS + " characters");
        }
        return name;
    }

    /** The class that a named tier means; empty when none is named. */
    private String serviceTier(Fields body) {
        String tier = body.text("service_tier", "");
        AdmissionStatus admission = client.admission();
        List<String> classes =
                admission.classes().stream().map(ServiceTier::name).toList();
        if (tier.isEmpty() && !body.has("service_tier") || classes.contains(tier)) {
            return tier;
        }
        if (tier.equals("auto") || tier.equals("default")) {
            return admission.defaultClass();
        }
        throw ApiException.invalid(
                "service_tier",
                "service_tier '" + tier + "' does not exist; send 'auto', 'default' or one of "
                        + String.join(", ", classes));
    }

    private static boolean includeUsage(Fields body, boolean stream) {
        JsonNode options = body.raw("stream_options");
        if (options == null) {
            return false;
        }
        if (!(options instanceof ObjectNode object)) {
            throw Fields.wrong("stream_options", "an object", options);
        }
        if (!stream) {
            throw ApiException.invalid("stream_options", "stream_options needs stream to be true");
        }
        Fields fields = new Fields(object, "stream_options.");
        for (Map.Entry<String, JsonNode> field : object.properties()) {
            boolean known =
                    field.getKey().equals("include_usage") || field.getKey().equals("include_obfuscation");
            if (!known) {
                String path = fields.path(field.getKey());
                throw ApiException.invalid(path, "unknown_field", "unknown field '" + path + "'; leave it out");
            }
        }
        fields.flag("include_obfuscation", false);
        return fields.flag("include_usage", false);
    }

    private static SamplingParams sampling(Fields body, ModelBundle model, int topLogprobs) {
        JsonNode bias = body.raw("logit_bias");
        int[] ids = {};
        float[] biases = {};
        if (bias != null) {
            if (!(bias instanceof ObjectNode object)) {
                throw Fields.wrong("logit_bias", "an object of token ids and biases", bias);
            }
            ids = biasIds(object, model.tokenizer().vocabSize());
            biases = new float[ids.length];
            int i = 0;
            for (Map.Entry<String, JsonNode> entry : object.properties()) {
                biases[i++] = Fields.number(entry.getValue(), "logit_bias." + entry.getKey(), -100, 100);
            }
        }
        float topP = body.number("top_p", 1, 0, 1);
        float repetition = body.number("repetition_penalty", 1, 0, 10);
        if (topP == 0 || repetition == 0) {
            String field = topP == 0 ? "top_p" : "repetition_penalty";
            throw ApiException.invalid(field, field + " must be more than 0");
        }
        return new SamplingParams(
                body.number("temperature", 1, 0, 10),
                topK(body),
                topP,
                body.number("min_p", 0, 0, 1),
                repetition,
                body.number("presence_penalty", 0, -2, 2),
                body.number("frequency_penalty", 0, -2, 2),
                ids,
                biases,
                body.integer("seed", ThreadLocalRandom.current().nextLong(), Long.MIN_VALUE, Long.MAX_VALUE),
                topLogprobs);
    }

    /** Clients say "off" with 0 or -1. */
    private static int topK(Fields body) {
        return (int) Math.max(0, body.integer("top_k", 0, -1, Integer.MAX_VALUE));
    }

    private static int[] biasIds(ObjectNode object, int vocabSize) {
        if (object.size() > MAX_BIASES) {
            throw ApiException.invalid("logit_bias", "logit_bias takes at most " + MAX_BIASES + " tokens");
        }
        int[] ids = new int[object.size()];
        int i = 0;
        for (Map.Entry<String, JsonNode> entry : object.properties()) {
            String key = entry.getKey();
            int id = key.matches("[0-9]{1,9}") ? Integer.parseInt(key) : -1;
            if (id < 0 || id >= vocabSize) {
                throw ApiException.invalid(
                        "logit_bias",
                        "logit_bias names the token '" + key + "'; a token id from 0 to " + (vocabSize - 1)
                                + " is expected");
            }
            ids[i++] = id;
        }
        return ids;
    }

    private static List<String> stops(Fields body) {
        JsonNode stop = body.raw("stop");
        if (stop == null) {
            return List.of();
        }
        if (!stop.isArray()) {
            if (!stop.isTextual()) {
                throw Fields.wrong("stop", "a string or an array of strings", stop);
            }
            return List.of(stopText(stop, "stop"));
        }
        if (stop.size() > GenerationRequest.MAX_STOP_TEXTS) {
            throw ApiException.invalid(
                    "stop", "stop takes at most " + GenerationRequest.MAX_STOP_TEXTS + " texts, not " + stop.size());
        }
        List<String> texts = new ArrayList<>(stop.size());
        for (JsonNode text : stop) {
            texts.add(stopText(text, "stop[" + texts.size() + "]"));
        }
        return texts;
    }

    private static String stopText(JsonNode node, String path) {
        String text = Fields.text(node, path);
        if (text.isEmpty() || text.length() > MAX_STOP_CHARS) {
            throw ApiException.invalid(path, path + " must have 1 to " + MAX_STOP_CHARS + " characters");
        }
        return text;
    }

    private List<Prompt> prompts(Fields body, ModelBundle model) {
        JsonNode prompt = body.raw("prompt");
        if (prompt == null) {
            throw ApiException.invalid("prompt", "prompt is required");
        }
        if (prompt.isTextual()) {
            return List.of(new GenerationRequest.Text(Fields.text(prompt, "prompt")));
        }
        if (!prompt.isArray() || prompt.isEmpty()) {
            throw Fields.wrong("prompt", "a string, an array of strings, token ids, or arrays of token ids", prompt);
        }
        int vocabSize = model.tokenizer().vocabSize();
        if (prompt.get(0).isNumber()) {
            return List.of(new GenerationRequest.TokenIds(tokenIds(prompt, "prompt", vocabSize)));
        }
        if (prompt.size() > maxChoices) {
            throw ApiException.invalid("prompt", "prompt has " + prompt.size() + " entries; at most " + maxChoices);
        }
        List<Prompt> prompts = new ArrayList<>(prompt.size());
        boolean texts = prompt.get(0).isTextual();
        for (JsonNode entry : prompt) {
            String path = "prompt[" + prompts.size() + "]";
            if (texts) {
                prompts.add(new GenerationRequest.Text(Fields.text(entry, path)));
            } else {
                prompts.add(new GenerationRequest.TokenIds(tokenIds(entry, path, vocabSize)));
            }
        }
        return prompts;
    }

    /** An array of ids that the model has; at least one. */
    static int[] tokenIds(JsonNode array, String path, int vocabSize) {
        if (!array.isArray() || array.isEmpty()) {
            throw Fields.wrong(path, "a non-empty array of token ids", array);
        }
        int[] ids = new int[array.size()];
        for (int i = 0; i < ids.length; i++) {
            JsonNode id = array.get(i);
            if (!id.isInt() || id.intValue() < 0 || id.intValue() >= vocabSize) {
                throw Fields.wrong(path + "[" + i + "]", "a token id from 0 to " + (vocabSize - 1), id);
            }
            ids[i] = id.intValue();
        }
        return ids;
    }
}
