package io.tandem.chat;

import io.tandem.chat.JinjaValues.Undefined;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** The filters after {@code |}. */
final class JinjaFilters {
    static final Set<String> NAMES = Set.of(
            "trim",
            "length",
            "count",
            "tojson",
            "join",
            "default",
            "d",
            "upper",
            "lower",
            "replace",
            "first",
            "last",
            "list",
            "items",
            "map",
            "select",
            "reject",
            "selectattr",
            "rejectattr",
            "string",
            "int",
            "float",
            "safe",
            "indent",
            "capitalize",
            "title",
            "unique",
            "reverse",
            "sort",
            "dictsort",
            "abs",
            "round",
            "escape",
            "e",
            "min",
            "max",
            "sum",
            "batch");

    private JinjaFilters() {}

    static Object apply(String name, Object v, List<Object> args, Map<String, Object> named) {
        return switch (name) {
            case "trim" -> JinjaMethods.strip(text(v), args.isEmpty() ? null : text(args.getFirst()), true, true);
            case "length", "count" ->
                v instanceof String s
                        ? (Object) (long) s.codePointCount(0, s.length())
                        : (Object) (long)
                                (v instanceof Map<?, ?> m
                                        ? m.size()
                                        : JinjaOperators.items(v).size());
            case "tojson" -> json(v, args, named);
            case "join" -> join(v, args, named);
            case "default", "d" -> {
                boolean falsy =
                        args.size() > 1 && JinjaValues.truth(args.get(1)) || JinjaValues.truth(named.get("boolean"));
                Object fallback = args.isEmpty() ? named.getOrDefault("default_value", "") : args.getFirst();
                yield v instanceof Undefined || falsy && !JinjaValues.truth(v) ? fallback : v;
            }
            case "upper" -> text(v).toUpperCase(Locale.ROOT);
            case "lower" -> text(v).toLowerCase(Locale.ROOT);
            case "capitalize" -> JinjaMethods.capitalize(text(v));
            case "title" -> JinjaMethods.title(text(v));
            case "replace" -> text(v).replace(text(args.get(0)), text(args.get(1)));
            case "string" -> text(v);
            case "safe" -> v;
            case "escape", "e" ->
                text(v).replace("&", "&amp;")
                        .replace("<", "&lt;")
                        .replace(">", "&gt;")
                        .replace("'", "&#39;")
                        .replace("\"", "&#34;");
            case "indent" -> indent(text(v), args, named);
            case "int" -> integer(v, args);
            case "float" -> v instanceof Number n ? (Object) n.doubleValue() : (Object) Double.valueOf(text(v));
            case "abs" ->
                JinjaValues.integral(v)
                        ? (Object) Math.abs(((Number) v).longValue())
                        : (Object) Math.abs(((Number) v).doubleValue());
            case "round" -> round(v, args);
            default -> collection(name, v, args, named);
        };
    }

    private static Object collection(String name, Object v, List<Object> args, Map<String, Object> named) {
        if (name.equals("items")) {
            return v instanceof Undefined ? List.of() : JinjaMethods.pairs((Map<?, ?>) v);
        }
        if (name.equals("dictsort")) {
            TreeMap<String, Object> sorted = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
            ((Map<?, ?>) v).forEach((k, x) -> sorted.put(text(k), x));
            return JinjaMethods.pairs(sorted);
        }
        List<Object> items = JinjaOperators.items(v);
        return switch (name) {
            case "first" -> items.isEmpty() ? new Undefined("first") : items.getFirst();
            case "last" -> items.isEmpty() ? new Undefined("last") : items.getLast();
            case "list" -> items;
            case "reverse" ->
                v instanceof String s ? new StringBuilder(s).reverse().toString() : items.reversed();
            case "unique" -> new ArrayList<>(new LinkedHashSet<>(items));
            case "sort" -> sorted(items, args, named);
            case "min", "max" -> {
                List<Object> sorted = sorted(items, List.of(), Map.of());
                yield sorted.isEmpty()
                        ? new Undefined(name)
                        : name.equals("min") ? sorted.getFirst() : sorted.getLast();
            }
            case "sum" -> items.stream().reduce(0L, (a, b) -> JinjaOperators.binary("+", a, b));
            case "batch" -> batch(items, ((Number) args.getFirst()).intValue());
            case "map" -> items.stream().map(x -> mapped(x, args, named)).toList();
            case "select", "reject" ->
                items.stream()
                        .filter(x -> tested(x, args, 0) == name.equals("select"))
                        .toList();
            case "selectattr", "rejectattr" ->
                items.stream()
                        .filter(x -> tested(path(x, text(args.getFirst())), args, 1) == name.equals("selectattr"))
                        .toList();
            default -> throw new IllegalArgumentException("the filter '" + name + "' is not supported");
        };
    }

    private static boolean tested(Object value, List<Object> args, int at) {
        return args.size() <= at
                ? JinjaValues.truth(value)
                : JinjaTests.test(symbol(text(args.get(at))), value, args.subList(at + 1, args.size()));
    }

    private static String symbol(String test) {
        return switch (test) {
            case "==" -> "eq";
            case "!=" -> "ne";
            case "<" -> "lt";
            case ">" -> "gt";
            case "<=" -> "le";
            case ">=" -> "ge";
            default -> test;
        };
    }

    private static Object mapped(Object value, List<Object> args, Map<String, Object> named) {
        if (named.containsKey("attribute")) {
            Object found = path(value, text(named.get("attribute")));
            return found instanceof Undefined && named.containsKey("default") ? named.get("default") : found;
        }
        String filter = text(args.getFirst());
        if (!NAMES.contains(filter)) {
            throw new IllegalArgumentException("the filter '" + filter + "' is not supported");
        }
        return apply(filter, value, args.subList(1, args.size()), named);
    }

    private static Object path(Object value, String path) {
        Object at = value;
        for (String key : path.split("\\.")) {
            at = at instanceof Map<?, ?> m && m.containsKey(key) ? m.get(key) : new Undefined(key);
        }
        return at;
    }

    private static List<Object> batch(List<Object> items, int size) {
        List<Object> rows = new ArrayList<>();
        for (int i = 0; i < items.size(); i += Math.max(1, size)) {
            rows.add(new ArrayList<>(items.subList(i, Math.min(items.size(), i + Math.max(1, size)))));
        }
        return rows;
    }

    private static List<Object> sorted(List<Object> items, List<Object> args, Map<String, Object> named) {
        List<Object> sorted = new ArrayList<>(items);
        String attribute = named.containsKey("attribute") ? text(named.get("attribute")) : null;
        boolean reverse = named.containsKey("reverse")
                ? JinjaValues.truth(named.get("reverse"))
                : !args.isEmpty() && JinjaValues.truth(args.getFirst());
        sorted.sort((a, b) -> {
            Object x = fold(attribute == null ? a : path(a, attribute));
            Object y = fold(attribute == null ? b : path(b, attribute));
            int c = JinjaOperators.ordered("lt", x, y) ? -1 : JinjaOperators.ordered("gt", x, y) ? 1 : 0;
            return reverse ? -c : c;
        });
        return sorted;
    }

    private static Object fold(Object v) {
        return v instanceof String s ? s.toLowerCase(Locale.ROOT) : v;
    }

    private static String json(Object v, List<Object> args, Map<String, Object> named) {
        Object indent = args.isEmpty() ? named.get("indent") : args.getFirst();
        String by = indent == null ? null : indent instanceof Number n ? " ".repeat(n.intValue()) : text(indent);
        String separator = by == null ? ", " : ",";
        String colon = ": ";
        if (named.get("separators") instanceof List<?> s && s.size() == 2) {
            separator = text(s.get(0));
            colon = text(s.get(1));
        }
        StringBuilder out = new StringBuilder();
        JinjaValues.json(out, JinjaValues.truth(named.get("sort_keys")) ? sortedKeys(v) : v, by, separator, colon, 0);
        return out.toString();
    }

    private static Object sortedKeys(Object v) {
        if (v instanceof Map<?, ?> m) {
            Map<String, Object> sorted = new TreeMap<>();
            m.forEach((k, x) -> sorted.put(text(k), sortedKeys(x)));
            return new LinkedHashMap<>(sorted);
        }
        return v instanceof Collection<?> c
                ? c.stream().map(JinjaFilters::sortedKeys).toList()
                : v;
    }

    private static String join(Object v, List<Object> args, Map<String, Object> named) {
        String by = args.isEmpty() ? text(named.getOrDefault("d", "")) : text(args.getFirst());
        Object attribute = args.size() > 1 ? args.get(1) : named.get("attribute");
        List<String> parts = new ArrayList<>();
        for (Object item : JinjaOperators.items(v)) {
            parts.add(text(attribute == null ? item : path(item, text(attribute))));
        }
        return String.join(by, parts);
    }

    private static String indent(String v, List<Object> args, Map<String, Object> named) {
        Object width = args.isEmpty() ? named.getOrDefault("width", 4L) : args.getFirst();
        String by = width instanceof Number n ? " ".repeat(n.intValue()) : text(width);
        boolean first = args.size() > 1 ? JinjaValues.truth(args.get(1)) : JinjaValues.truth(named.get("first"));
        boolean blank = args.size() > 2 ? JinjaValues.truth(args.get(2)) : JinjaValues.truth(named.get("blank"));
        String[] lines = v.split("\n", -1);
        for (int i = 0; i < lines.length; i++) {
            if ((i > 0 || first) && (blank || !lines[i].isEmpty())) {
                lines[i] = by + lines[i];
            }
        }
        return String.join("\n", lines);
    }

    private static Object integer(Object v, List<Object> args) {
        if (v instanceof Number n) {
            return n.longValue();
        }
        try {
            return (long) Double.parseDouble(text(v).trim());
        } catch (NumberFormatException e) {
            return args.isEmpty() ? 0L : args.getFirst();
        }
    }

    private static Object round(Object v, List<Object> args) {
        double scale = Math.pow(10, args.isEmpty() ? 0 : ((Number) args.getFirst()).doubleValue());
        return Math.rint(((Number) v).doubleValue() * scale) / scale;
    }

    private static String text(Object v) {
        return JinjaValues.text(v);
    }
}
