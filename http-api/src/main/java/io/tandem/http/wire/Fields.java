package io.tandem.http.wire;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** Typed access to the fields of a JSON object; null counts as absent, a wrong type is a 400 that names the field. */
public final class Fields {

    private static final int MAX_SHOWN_CHARS = 40;

    private final ObjectNode node;
    private final String prefix;

    /** @param prefix what precedes field names in messages: "" or "messages[0]." */
    public Fields(ObjectNode node, String prefix) {
        this.node = node;
        this.prefix = prefix;
    }

    public ObjectNode node() {
        return node;
    }

    public boolean has(String name) {
        JsonNode value = node.get(name);
        return value != null && !value.isNull();
    }

    /** The raw value; null when absent. */
    public JsonNode raw(String name) {
        return has(name) ? node.get(name) : null;
    }

    public String path(String name) {
        return prefix + name;
    }

    public String text(String name, String absent) {
        JsonNode value = raw(name);
        return value == null ? absent : text(value, path(name));
    }

    public String requiredText(String name) {
        if (!has(name)) {
            throw ApiException.invalid(path(name), path(name) + " is required");
        }
        return text(name, "");
    }

    public boolean flag(String name, boolean absent) {
        JsonNode value = raw(name);
        if (value == null) {
            return absent;
        }
        if (!value.isBoolean()) {
            throw wrong(path(name), "true or false", value);
        }
        return value.booleanValue();
    }

    public long integer(String name, long absent, long min, long max) {
        JsonNode value = raw(name);
        return value == null ? absent : integer(value, path(name), min, max);
    }

    public float number(String name, float absent, double min, double max) {
        JsonNode value = raw(name);
        return value == null ? absent : number(value, path(name), min, max);
    }

    /** A string without unpaired surrogates. */
    public static String text(JsonNode value, String path) {
        if (!value.isTextual()) {
            throw wrong(path, "a string", value);
        }
        String text = value.textValue();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (Character.isSurrogate(c)) {
                boolean paired = Character.isHighSurrogate(c)
                        && i + 1 < text.length()
                        && Character.isLowSurrogate(text.charAt(i + 1));
                if (!paired) {
                    throw ApiException.invalid(path, path + " has half of a surrogate pair at character " + i);
                }
                i++;
            }
        }
        return text;
    }

    public static long integer(JsonNode value, String path, long min, long max) {
        if (!value.isIntegralNumber() || !value.canConvertToLong()) {
            throw wrong(path, "an integer " + range(min, max), value);
        }
        long number = value.longValue();
        if (number < min || number > max) {
            throw wrong(path, "an integer " + range(min, max), value);
        }
        return number;
    }

    public static float number(JsonNode value, String path, double min, double max) {
        String expected = "a number from " + trim(min) + " to " + trim(max);
        if (!value.isNumber()) {
            throw wrong(path, expected, value);
        }
        double number = value.doubleValue();
        if (!(number >= min && number <= max)) {
            throw wrong(path, expected, value);
        }
        return (float) number;
    }

    /** "X must be ..., not ...". */
    public static ApiException wrong(String path, String expected, JsonNode value) {
        return ApiException.invalid(path, path + " must be " + expected + ", not " + describe(value));
    }

    private static String describe(JsonNode value) {
        if (value.isObject()) {
            return value.isEmpty() ? "an empty object" : "an object";
        }
        if (value.isArray()) {
            return value.isEmpty() ? "an empty array" : "an array";
        }
        String shown = value.toString();
        boolean cut = shown.length() > MAX_SHOWN_CHARS;
        String what = cut ? shown.substring(0, MAX_SHOWN_CHARS) + "..." : shown;
        return value.isTextual() ? "the string " + what : what;
    }

    private static String range(long min, long max) {
        if (min == Long.MIN_VALUE && max == Long.MAX_VALUE) {
            return "of 64 bits";
        }
        return max == Integer.MAX_VALUE ? "of at least " + min : "from " + min + " to " + max;
    }

    private static String trim(double bound) {
        return bound == Math.rint(bound) ? Long.toString((long) bound) : Double.toString(bound);
    }
}
