package io.tandem.http.openai;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.http.wire.ApiException;
import io.tandem.http.wire.Fields;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Chat messages as plain values for the model's template. */
final class ChatMessages {

    private static final int MAX_MESSAGES = 10_000;
    private static final Set<String> ROLES = Set.of("system", "developer", "user", "assistant", "tool");
    private static final Set<String> RESERVED_VARIABLES =
            Set.of("messages", "add_generation_prompt", "bos_token", "eos_token", "tools");
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private ChatMessages() {}

    static List<Map<String, Object>> parse(Fields body) {
        JsonNode messages = body.raw("messages");
        if (messages == null) {
            throw ApiException.invalid("messages", "messages is required");
        }
        if (!messages.isArray() || messages.isEmpty() || messages.size() > MAX_MESSAGES) {
            throw Fields.wrong("messages", "an array of 1 to " + MAX_MESSAGES + " messages", messages);
        }
        List<Map<String, Object>> parsed = new ArrayList<>(messages.size());
        for (JsonNode message : messages) {
            String path = "messages[" + parsed.size() + "]";
            if (!(message instanceof ObjectNode object)) {
                throw Fields.wrong(path, "an object", message);
            }
            parsed.add(message(new Fields(object, path + "."), path));
        }
        return parsed;
    }

    /** What {@code chat_template_kwargs} adds to the template's variables. */
    static Map<String, Object> templateVariables(Fields body) {
        JsonNode extra = body.raw("chat_template_kwargs");
        if (extra == null) {
            return Map.of();
        }
        if (!(extra instanceof ObjectNode object)) {
            throw Fields.wrong("chat_template_kwargs", "an object", extra);
        }
        Map<String, Object> variables = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> entry : object.properties()) {
            if (RESERVED_VARIABLES.contains(entry.getKey())) {
                throw ApiException.invalid(
                        "chat_template_kwargs",
                        "chat_template_kwargs may not set '" + entry.getKey() + "'; leave it out");
            }
            if (!entry.getValue().isNull()) {
                variables.put(entry.getKey(), plain(entry.getValue()));
            }
        }
        return variables;
    }

    private static Map<String, Object> message(Fields message, String path) {
        String role = message.requiredText("role");
        if (!ROLES.contains(role)) {
            throw Fields.wrong(
                    message.path("role"), "'system', 'developer', 'user', 'assistant' or 'tool'", message.raw("role"));
        }
        Map<String, Object> plain = new LinkedHashMap<>();
        // OpenAI's newer name of the same role; templates know the older one only.
        plain.put("role", role.equals("developer") ? "system" : role);
        boolean calls = role.equals("assistant") && message.has("tool_calls");
        if (!message.has("content") && !calls) {
            throw ApiException.invalid(message.path("content"), message.path("content") + " is required");
        }
        plain.put("content", message.has("content") ? content(message.raw("content"), path + ".content") : "");
        for (Map.Entry<String, JsonNode> field : message.node().properties()) {
            String name = field.getKey();
            switch (name) {
                case "role", "content" -> {}
                case "name", "tool_call_id" -> {
                    if (message.has(name)) {
                        plain.put(name, message.text(name, ""));
                    }
                }
                case "tool_calls" -> {
                    if (message.has(name)) {
                        plain.put(name, toolCalls(field.getValue(), message.path(name)));
                    }
                }
                default -> other(field.getValue(), message.path(name));
            }
        }
        return plain;
    }

    /** Clients send back what they got; an empty field of an answer does no harm. */
    private static void other(JsonNode value, String path) {
        boolean empty = value.isNull() || (value.isContainerNode() && value.isEmpty());
        if (!empty) {
            throw ApiException.invalid(path, "unknown_field", "'" + path + "' is not supported; leave it out");
        }
    }

    private static String content(JsonNode content, String path) {
        if (content.isTextual()) {
            return Fields.text(content, path);
        }
        if (!content.isArray() || content.isEmpty()) {
            throw Fields.wrong(path, "a string or an array of text parts", content);
        }
        StringBuilder text = new StringBuilder();
        int i = 0;
        for (JsonNode part : content) {
            String partPath = path + "[" + i + "]";
            if (!(part instanceof ObjectNode object)) {
                throw Fields.wrong(partPath, "an object {\"type\": \"text\", \"text\": ...}", part);
            }
            Fields fields = new Fields(object, partPath + ".");
            if (!fields.requiredText("type").equals("text")) {
                throw ApiException.invalid(
                        partPath + ".type",
                        "unsupported_field",
                        partPath + ".type must be 'text': this server takes no images, audio or files");
            }
            text.append(i++ > 0 ? "\n" : "").append(fields.requiredText("text"));
        }
        return text.toString();
    }

    private static List<Object> toolCalls(JsonNode calls, String path) {
        if (!calls.isArray()) {
            throw Fields.wrong(path, "an array of tool calls", calls);
        }
        List<Object> parsed = new ArrayList<>(calls.size());
        for (JsonNode call : calls) {
            String callPath = path + "[" + parsed.size() + "]";
            if (!(call instanceof ObjectNode object) || !(object.get("function") instanceof ObjectNode function)) {
                throw Fields.wrong(callPath, "an object with a function", call);
            }
            Fields fields = new Fields(function, callPath + ".function.");
            Map<String, Object> plainFunction = new LinkedHashMap<>();
            plainFunction.put("name", fields.requiredText("name"));
            plainFunction.put("arguments", arguments(fields));
            Map<String, Object> plainCall = new LinkedHashMap<>();
            plainCall.put("id", new Fields(object, callPath + ".").text("id", ""));
            plainCall.put("type", "function");
            plainCall.put("function", plainFunction);
            parsed.add(plainCall);
        }
        return parsed;
    }

    /** Templates expect the object that the string spells. */
    private static Object arguments(Fields function) {
        String text = function.text("arguments", "{}");
        try {
            return plain(MAPPER.readTree(text.isBlank() ? "{}" : text));
        } catch (JsonProcessingException e) {
            throw ApiException.invalid(
                    function.path("arguments"), function.path("arguments") + " must be a string of valid JSON");
        }
    }

    private static Object plain(JsonNode node) {
        return switch (node.getNodeType()) {
            case OBJECT -> {
                Map<String, Object> map = new LinkedHashMap<>();
                node.properties().forEach(e -> map.put(e.getKey(), plain(e.getValue())));
                yield map;
            }
            case ARRAY -> {
                List<Object> list = new ArrayList<>(node.size());
                node.forEach(e -> list.add(plain(e)));
                yield list;
            }
            case STRING -> node.textValue();
            case NUMBER -> node.isIntegralNumber() && node.canConvertToLong() ? node.longValue() : node.doubleValue();
            case BOOLEAN -> node.booleanValue();
            default -> null;
        };
    }
}
