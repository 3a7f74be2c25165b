package io.tandem.http.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Fields;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;

/**
 * Which fields a request may have: those that are read, those that change no answer, and those that would change it and
 * are not supported, which pass only with the value that means "off".
 */
final class FieldRules {

    private static final Set<String> SHARED = Set.of(
            "model",
            "n",
            "stream",
            "stream_options",
            "max_tokens",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "seed",
            "stop",
            "ignore_eos",
            "return_token_ids",
            "prompt_cache_key",
            "cache_salt",
            "service_tier",
            "user");
    private static final Set<String> CHAT_ONLY =
            Set.of("messages", "max_completion_tokens", "top_logprobs", "chat_template_kwargs");
    private static final Set<String> COMPLETION_ONLY = Set.of("prompt");
    private static final Set<String> HARMLESS = Set.of(
            "metadata", "store", "parallel_tool_calls", "safety_identifier", "prompt_cache_retention", "request_id");

    /** What a field that is not supported may say, and what to do instead. */
    private record Off(Predicate<JsonNode> accepted, String instead) {}

    private static final String LEAVE_OUT = "leave it out";

    private static final Map<String, Off> UNSUPPORTED = Map.ofEntries(
            Map.entry("tools", new Off(FieldRules::isEmpty, LEAVE_OUT)),
            Map.entry("tool_choice", new Off(v -> v.asText().equals("none"), "set it to 'none' or leave it out")),
            Map.entry("functions", new Off(FieldRules::isEmpty, LEAVE_OUT)),
            Map.entry("function_call", new Off(v -> v.asText().equals("none"), LEAVE_OUT)),
            Map.entry(
                    "response_format",
                    new Off(
                            v -> v.path("type").asText().equals("text") && v.size() == 1,
                            "use {\"type\": \"text\"} or leave it out")),
            Map.entry("best_of", new Off(FieldRules::isOne, "use n and choose yourself, or set it to 1")),
            Map.entry("suffix", new Off(v -> v.isTextual() && v.textValue().isEmpty(), LEAVE_OUT)),
            Map.entry("echo", new Off(FieldRules::isFalse, "set it to false and put the prompt in front yourself")),
            Map.entry("audio", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry(
                    "modalities",
                    new Off(v -> v.size() == 1 && v.path(0).asText().equals("text"), "use [\"text\"] or leave it out")),
            Map.entry("prediction", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry("web_search_options", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry("reasoning_effort", new Off(v -> v.asText().equals("none"), LEAVE_OUT)),
            Map.entry("verbosity", new Off(v -> v.asText().equals("medium"), LEAVE_OUT)),
            Map.entry("min_tokens", new Off(FieldRules::isZero, LEAVE_OUT)),
            Map.entry("stop_token_ids", new Off(FieldRules::isEmpty, "use stop")),
            Map.entry("use_beam_search", new Off(FieldRules::isFalse, LEAVE_OUT)),
            Map.entry("length_penalty", new Off(FieldRules::isOne, LEAVE_OUT)),
            Map.entry("prompt_logprobs", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry("include_stop_str_in_output", new Off(FieldRules::isFalse, LEAVE_OUT)),
            Map.entry("skip_special_tokens", new Off(FieldRules::isTrue, "use return_token_ids to see them")),
            Map.entry("spaces_between_special_tokens", new Off(FieldRules::isTrue, LEAVE_OUT)),
            Map.entry("add_generation_prompt", new Off(FieldRules::isTrue, LEAVE_OUT)),
            Map.entry("continue_final_message", new Off(FieldRules::isFalse, LEAVE_OUT)),
            Map.entry("chat_template", new Off(FieldRules::never, "the model's own template is used; leave it out")),
            Map.entry("guided_json", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry("guided_regex", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry("guided_choice", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry("guided_grammar", new Off(FieldRules::never, LEAVE_OUT)),
            Map.entry("structured_outputs", new Off(FieldRules::never, LEAVE_OUT)));

    private FieldRules() {}

    /** Every field that has a rule. */
    static Set<String> names() {
        Set<String> names = new TreeSet<>(UNSUPPORTED.keySet());
        names.addAll(SHARED);
        names.addAll(CHAT_ONLY);
        names.addAll(COMPLETION_ONLY);
        names.addAll(HARMLESS);
        return names;
    }

    /** @throws ApiException for the first field that may not be there */
    static void check(Fields body, boolean chat) {
        Iterator<Map.Entry<String, JsonNode>> fields = body.node().properties().iterator();
        while (fields.hasNext()) {
            Map.Entry<String, JsonNode> field = fields.next();
            String name = field.getKey();
            Set<String> own = chat ? CHAT_ONLY : COMPLETION_ONLY;
            if (SHARED.contains(name) || own.contains(name) || HARMLESS.contains(name)) {
                continue;
            }
            Off off = UNSUPPORTED.get(name);
            if (off == null) {
                throw ApiException.invalid(
                        name, "unknown_field", "unknown field '" + name + "'; leave it out" + elsewhere(name, chat));
            }
            JsonNode value = field.getValue();
            if (!value.isNull() && !off.accepted.test(value)) {
                throw ApiException.invalid(
                        name, "unsupported_field", "'" + name + "' is not supported with this value: " + off.instead);
            }
        }
    }

    private static String elsewhere(String name, boolean chat) {
        if ((chat ? COMPLETION_ONLY : CHAT_ONLY).contains(name)) {
            return " (it belongs to " + (chat ? "/v1/completions" : "/v1/chat/completions") + ")";
        }
        return "";
    }

    private static boolean never(JsonNode v) {
        return false;
    }

    private static boolean isFalse(JsonNode v) {
        return v.isBoolean() && !v.booleanValue();
    }

    private static boolean isTrue(JsonNode v) {
        return v.isBoolean() && v.booleanValue();
    }

    private static boolean isEmpty(JsonNode v) {
        return v.isContainerNode() && v.isEmpty();
    }

    private static boolean isOne(JsonNode v) {
        return v.isNumber() && v.doubleValue() == 1;
    }

    private static boolean isZero(JsonNode v) {
        return v.isNumber() && v.doubleValue() == 0;
    }
}
