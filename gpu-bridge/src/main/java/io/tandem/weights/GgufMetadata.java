package io.tandem.weights;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The key-value part of a GGUF file, by typed access; every error names the file and the key. Arrays are read from the file
 * when they are asked for, so ask while it is open.
 */
public final class GgufMetadata {
    private final String source;
    private final Map<String, Object> values;

    GgufMetadata(String source, Map<String, Object> values) {
        this.source = source;
        this.values = Map.copyOf(values);
    }

    public boolean has(String key) {
        return values.containsKey(key);
    }

    public String string(String key) {
        return optional(key, String.class).orElseThrow(() -> missing(key, "text"));
    }

    public Optional<String> optionalString(String key) {
        return optional(key, String.class);
    }

    public int integer(String key) {
        return (int) Math.max(
                Integer.MIN_VALUE,
                Math.min(
                        Integer.MAX_VALUE,
                        optional(key, Number.class)
                                .orElseThrow(() -> missing(key, "a number"))
                                .longValue()));
    }

    /** A number above 0. */
    public int positive(String key) {
        int value = integer(key);
        if (value <= 0) {
            throw new IllegalArgumentException(source + ": metadata '" + key + "' must be positive, not " + value);
        }
        return value;
    }

    public int integer(String key, int fallback) {
        return has(key) ? integer(key) : fallback;
    }

    public double number(String key, double fallback) {
        return optional(key, Number.class).map(Number::doubleValue).orElse(fallback);
    }

    public boolean flag(String key, boolean fallback) {
        return optional(key, Boolean.class).orElse(fallback);
    }

    /** An array of texts. */
    public List<String> strings(String key) {
        return list(key, String.class, "an array of texts");
    }

    /** An array of whole numbers; empty when the key is missing. */
    public int[] integers(String key) {
        if (!has(key)) {
            return new int[0];
        }
        return list(key, Number.class, "an array of numbers").stream()
                .mapToInt(Number::intValue)
                .toArray();
    }

    private <T> List<T> list(String key, Class<T> type, String expected) {
        Object value = values.get(key);
        if (!(value instanceof GgufArray array)) {
            throw missing(key, expected);
        }
        List<T> list = new ArrayList<>(array.length());
        for (Object item : array.decode()) {
            if (!type.isInstance(item)) {
                throw missing(key, expected);
            }
            list.add(type.cast(item));
        }
        return list;
    }

    private <T> Optional<T> optional(String key, Class<T> type) {
        Object value = values.get(key);
        if (value == null) {
            return Optional.empty();
        }
        if (!type.isInstance(value)) {
            throw missing(key, "a value of type " + type.getSimpleName());
        }
        return Optional.of(type.cast(value));
    }

    private IllegalArgumentException missing(String key, String expected) {
        return new IllegalArgumentException(source + ": metadata '" + key + "' should be " + expected
                + (has(key) ? " but is a " + values.get(key).getClass().getSimpleName() : " but is missing"));
    }
}
