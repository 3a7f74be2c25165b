package io.tandem.chat;

import io.tandem.chat.JinjaValues.Callable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The methods of Python's texts, dicts and lists that templates call. None of them changes what a caller passed in. */
final class JinjaMethods {
    private JinjaMethods() {}

    /** The method of that name, or null. */
    static Callable of(Object target, String name) {
        return switch (target) {
            case String s -> ofText(s, name);
            case Map<?, ?> m -> ofDict(m, name);
            case List<?> l -> ofList(l, name);
            case null -> null;
            default -> null;
        };
    }

    private static Callable ofText(String s, String name) {
        return switch (name) {
            case "strip" -> (a, n) -> strip(s, arg(a), true, true);
            case "lstrip" -> (a, n) -> strip(s, arg(a), true, false);
            case "rstrip" -> (a, n) -> strip(s, arg(a), false, true);
            case "split" -> (a, n) -> split(s, a);
            case "rsplit" -> (a, n) -> rsplit(s, a);
            case "splitlines" ->
                (a, n) -> s.isEmpty()
                        ? List.of()
                        : new ArrayList<Object>(s.lines().toList());
            case "startswith" -> (a, n) -> any(a, s::startsWith);
            case "endswith" -> (a, n) -> any(a, s::endsWith);
            case "upper" -> (a, n) -> s.toUpperCase(Locale.ROOT);
            case "lower" -> (a, n) -> s.toLowerCase(Locale.ROOT);
            case "capitalize" -> (a, n) -> capitalize(s);
            case "title" -> (a, n) -> title(s);
            case "replace" -> (a, n) -> replace(s, a);
            case "find" -> (a, n) -> (long) s.indexOf((String) a.getFirst());
            case "rfind" -> (a, n) -> (long) s.lastIndexOf((String) a.getFirst());
            case "count" ->
                (a, n) -> (long) (s.split(java.util.regex.Pattern.quote((String) a.getFirst()), -1).length - 1);
            case "join" -> (a, n) -> JinjaFilters.apply("join", a.getFirst(), List.of(s), Map.of());
            case "isdigit" -> (a, n) -> !s.isEmpty() && s.chars().allMatch(Character::isDigit);
            case "isalpha" -> (a, n) -> !s.isEmpty() && s.chars().allMatch(Character::isLetter);
            case "isalnum" -> (a, n) -> !s.isEmpty() && s.chars().allMatch(Character::isLetterOrDigit);
            case "isspace" -> (a, n) -> !s.isEmpty() && s.isBlank();
            case "removeprefix" ->
                (a, n) -> s.startsWith((String) a.getFirst()) ? s.substring(((String) a.getFirst()).length()) : s;
            case "removesuffix" ->
                (a, n) -> s.endsWith((String) a.getFirst())
                        ? s.substring(0, s.length() - ((String) a.getFirst()).length())
                        : s;
            case "zfill" -> (a, n) -> "0".repeat(Math.max(0, ((Number) a.getFirst()).intValue() - s.length())) + s;
            case "format" -> (a, n) -> format(s, a, n);
            default -> null;
        };
    }

    private static Callable ofDict(Map<?, ?> m, String name) {
        return switch (name) {
            case "items" -> (a, n) -> pairs(m);
            case "keys" -> (a, n) -> new ArrayList<Object>(m.keySet());
            case "values" -> (a, n) -> new ArrayList<Object>(m.values());
            case "get" ->
                (a, n) ->
                        m.containsKey(a.getFirst()) ? m.get(a.getFirst()) : a.size() > 1 ? a.get(1) : n.get("default");
            case "copy" -> (a, n) -> new LinkedHashMap<Object, Object>(m);
            case "update" ->
                m instanceof LinkedHashMap<?, ?> own
                        ? (a, n) -> {
                            update(own, a, n);
                            return null;
                        }
                        : null;
            default -> null;
        };
    }

    @SuppressWarnings("unchecked") // Values of a template are objects of any kind.
    private static void update(Map<?, ?> own, List<Object> args, Map<String, Object> named) {
        Map<Object, Object> target = (Map<Object, Object>) own;
        if (!args.isEmpty()) {
            target.putAll((Map<Object, Object>) args.getFirst());
        }
        target.putAll(named);
    }

    @SuppressWarnings("unchecked") // As above.
    private static Callable ofList(List<?> l, String name) {
        List<Object> list = (List<Object>) l;
        return switch (name) {
            // Only lists the template made itself can change; the caller's are immutable copies.
            case "append" ->
                (a, n) -> {
                    list.add(a.getFirst());
                    return null;
                };
            case "extend" ->
                (a, n) -> {
                    list.addAll(JinjaOperators.items(a.getFirst()));
                    return null;
                };
            case "insert" ->
                (a, n) -> {
                    list.add(((Number) a.getFirst()).intValue(), a.get(1));
                    return null;
                };
            case "pop" -> (a, n) -> a.isEmpty() ? list.removeLast() : list.remove(((Number) a.getFirst()).intValue());
            case "index" -> (a, n) -> (long) list.indexOf(a.getFirst());
            case "count" ->
                (a, n) -> list.stream()
                        .filter(x -> JinjaValues.equal(x, a.getFirst()))
                        .count();
            default -> null;
        };
    }

    static List<Object> pairs(Map<?, ?> m) {
        List<Object> pairs = new ArrayList<>();
        m.forEach((k, v) -> pairs.add(new ArrayList<>(Arrays.asList(k, v))));
        return pairs;
    }

    private static String arg(List<Object> args) {
        return args.isEmpty() ? null : (String) args.getFirst();
    }

    private static boolean any(List<Object> args, java.util.function.Predicate<String> test) {
        return args.getFirst() instanceof List<?> options
                ? options.stream().anyMatch(o -> test.test((String) o))
                : test.test((String) args.getFirst());
    }

    static String strip(String s, String chars, boolean left, boolean right) {
        int from = 0;
        int end = s.length();
        while (left && from < end && strips(s.charAt(from), chars)) {
            from++;
        }
        while (right && end > from && strips(s.charAt(end - 1), chars)) {
            end--;
        }
        return s.substring(from, end);
    }

    private static boolean strips(char c, String chars) {
        return chars == null ? Character.isWhitespace(c) || c == '\u00A0' || c == '\u0085' : chars.indexOf(c) >= 0;
    }

    private static List<Object> split(String s, List<Object> args) {
        List<Object> parts = new ArrayList<>();
        if (args.isEmpty() || args.getFirst() == null) {
            for (String part : s.strip().split("\\s+")) {
                if (!part.isEmpty()) {
                    parts.add(part);
                }
            }
            return parts;
        }
        String by = (String) args.getFirst();
        long limit = args.size() > 1 ? ((Number) args.get(1)).longValue() : Long.MAX_VALUE;
        int from = 0;
        for (int at = s.indexOf(by); at >= 0 && (limit < 0 || parts.size() < limit); at = s.indexOf(by, from)) {
            parts.add(s.substring(from, at));
            from = at + by.length();
        }
        parts.add(s.substring(from));
        return parts;
    }

    private static List<Object> rsplit(String s, List<Object> args) {
        String by = (String) args.getFirst();
        long limit = args.size() > 1 ? ((Number) args.get(1)).longValue() : Long.MAX_VALUE;
        List<Object> parts = new ArrayList<>();
        int end = s.length();
        for (int at = s.lastIndexOf(by); at >= 0 && parts.size() < limit; at = s.lastIndexOf(by, end - 1)) {
            parts.addFirst(s.substring(at + by.length(), end));
            end = at;
            if (at == 0) {
                break;
            }
        }
        parts.addFirst(s.substring(0, end));
        return parts;
    }

    private static String replace(String s, List<Object> args) {
        String what = (String) args.get(0);
        String by = (String) args.get(1);
        if (args.size() < 3) {
            return s.replace(what, by);
        }
        String out = s;
        int from = 0;
        for (long i = ((Number) args.get(2)).longValue(); i > 0; i--) {
            int at = out.indexOf(what, from);
            if (at < 0) {
                break;
            }
            out = out.substring(0, at) + by + out.substring(at + what.length());
            from = at + by.length();
        }
        return out;
    }

    static String capitalize(String s) {
        return s.isEmpty()
                ? s
                : s.substring(0, 1).toUpperCase(Locale.ROOT) + s.substring(1).toLowerCase(Locale.ROOT);
    }

    static String title(String s) {
        StringBuilder out = new StringBuilder();
        boolean start = true;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            out.append(start ? Character.toUpperCase(c) : Character.toLowerCase(c));
            start = !Character.isLetter(c);
        }
        return out.toString();
    }

    private static String format(String s, List<Object> args, Map<String, Object> named) {
        StringBuilder out = new StringBuilder();
        int next = 0;
        for (int i = 0; i < s.length(); i++) {
            int close = s.charAt(i) == '{' ? s.indexOf('}', i) : -1;
            if (close < 0) {
                out.append(s.charAt(i));
                continue;
            }
            String key = s.substring(i + 1, close);
            Object value = key.isEmpty()
                    ? args.get(next++)
                    : key.chars().allMatch(Character::isDigit) ? args.get(Integer.parseInt(key)) : named.get(key);
            out.append(JinjaValues.text(value));
            i = close;
        }
        return out.toString();
    }
}
