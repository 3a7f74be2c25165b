package io.tandem.chat;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** Python's ideas of truth, equality and printing, for plain Java values. */
final class JinjaValues {
    /** A variable that is not there. */
    record Undefined(String name) {}

    /** What a template may call. */
    @FunctionalInterface
    interface Callable {
        Object call(List<Object> args, Map<String, Object> named);
    }

    /** {@code namespace(...)}: attributes that a template may set from inside loops. */
    record Namespace(Map<String, Object> values) {}

    private JinjaValues() {}

    static boolean truth(Object value) {
        return switch (value) {
            case null -> false;
            case Undefined ignored -> false;
            case Boolean b -> b;
            case Number n -> n.doubleValue() != 0;
            case String s -> !s.isEmpty();
            case Collection<?> c -> !c.isEmpty();
            case Map<?, ?> m -> !m.isEmpty();
            default -> true;
        };
    }

    static boolean equal(Object a, Object b) {
        Object left = a instanceof Boolean flag ? (Object) (flag ? 1L : 0L) : a;
        Object right = b instanceof Boolean flag ? (Object) (flag ? 1L : 0L) : b;
        if (left instanceof Number x && right instanceof Number y) {
            return x.doubleValue() == y.doubleValue();
        }
        if (left instanceof Undefined && right instanceof Undefined) {
            return true;
        }
        return Objects.equals(left, right);
    }

    static boolean integral(Object value) {
        return value instanceof Long || value instanceof Integer || value instanceof Short || value instanceof Byte;
    }

    /** What {@code {{ value }}} prints. */
    static String text(Object value) {
        return switch (value) {
            case null -> "None";
            case Undefined ignored -> "";
            case String s -> s;
            default -> represent(value);
        };
    }

    /** As Python's repr. */
    private static String represent(Object value) {
        return switch (value) {
            case null -> "None";
            case Undefined ignored -> "Undefined";
            case Boolean b -> b ? "True" : "False";
            case String s -> quoted(s);
            case Double d -> number(d);
            case Float f -> number(f.doubleValue());
            case Collection<?> c -> {
                List<String> parts = new ArrayList<>();
                c.forEach(item -> parts.add(represent(item)));
                yield "[" + String.join(", ", parts) + "]";
            }
            case Map<?, ?> m -> {
                List<String> parts = new ArrayList<>();
                m.forEach((k, v) -> parts.add(represent(k) + ": " + represent(v)));
                yield "{" + String.join(", ", parts) + "}";
            }
            default -> value.toString();
        };
    }

    private static String quoted(String s) {
        char quote = s.contains("'") && !s.contains("\"") ? '"' : '\'';
        String escaped = s.replace("\\", "\\\\")
                .replace("\n", "\\n")
                .replace("\r", "\\r")
                .replace("\t", "\\t");
        return quote + (quote == '\'' ? escaped.replace("'", "\\'") : escaped) + quote;
    }

    /** As Python prints floats. */
    static String number(double d) {
        if (Double.isNaN(d)) {
            return "nan";
        }
        if (Double.isInfinite(d)) {
            return d > 0 ? "inf" : "-inf";
        }
        double size = Math.abs(d);
        if (size != 0 && (size < 1e-4 || size >= 1e16)) {
            String text = Double.toString(d).toLowerCase(java.util.Locale.ROOT).replace(".0e", "e");
            int e = text.indexOf('e');
            if (e < 0) {
                return text;
            }
            String exponent = text.substring(e + 1);
            String sign = exponent.startsWith("-") ? "-" : "+";
            String digits = exponent.replace("-", "");
            return text.substring(0, e) + "e" + sign + (digits.length() < 2 ? "0" + digits : digits);
        }
        String plain = new BigDecimal(Double.toString(d)).toPlainString();
        return plain.contains(".") ? plain : plain + ".0";
    }

    /** JSON as Python's json.dumps writes it, non-ASCII as it is. */
    static void json(StringBuilder out, Object value, String indent, String separator, String colon, int level) {
        switch (value) {
            case null -> out.append("null");
            case Undefined u -> throw new IllegalArgumentException("'" + u.name() + "' is undefined and no JSON");
            case Boolean b -> out.append(b);
            case String s -> jsonString(out, s);
            case Double d -> out.append(number(d));
            case Float f -> out.append(number(f.doubleValue()));
            case Number n -> out.append(n);
            case Map<?, ?> m -> {
                List<Runnable> items = new ArrayList<>();
                m.forEach((k, v) -> items.add(() -> {
                    jsonString(out, text(k));
                    out.append(colon);
                    json(out, v, indent, separator, colon, level + 1);
                }));
                enclose(out, '{', '}', items, indent, separator, level);
            }
            case Collection<?> c -> {
                List<Runnable> items = new ArrayList<>();
                c.forEach(v -> items.add(() -> json(out, v, indent, separator, colon, level + 1)));
                enclose(out, '[', ']', items, indent, separator, level);
            }
            default -> throw new IllegalArgumentException("a value of this kind is no JSON");
        }
    }

    private static void enclose(
            StringBuilder out, char open, char close, List<Runnable> items, String indent, String sep, int level) {
        out.append(open);
        for (int i = 0; i < items.size(); i++) {
            if (i > 0) {
                out.append(indent == null ? sep : sep.stripTrailing());
            }
            if (indent != null) {
                out.append('\n').append(indent.repeat(level + 1));
            }
            items.get(i).run();
        }
        if (indent != null && !items.isEmpty()) {
            out.append('\n').append(indent.repeat(level));
        }
        out.append(close);
    }

    private static void jsonString(StringBuilder out, String s) {
        out.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                default -> {
                    if (c < 0x20) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }
}
