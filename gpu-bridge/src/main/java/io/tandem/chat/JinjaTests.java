package io.tandem.chat;

import io.tandem.chat.JinjaValues.Callable;
import io.tandem.chat.JinjaValues.Undefined;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The tests after {@code is}. */
final class JinjaTests {
    static final Set<String> WITH_ARGUMENT =
            Set.of("equalto", "eq", "ne", "lt", "gt", "le", "ge", "in", "divisibleby", "sameas");
    static final Set<String> NAMES = Set.of(
            "defined",
            "undefined",
            "none",
            "string",
            "number",
            "integer",
            "float",
            "mapping",
            "iterable",
            "sequence",
            "boolean",
            "true",
            "false",
            "callable",
            "odd",
            "even",
            "lower",
            "upper",
            "equalto",
            "eq",
            "ne",
            "lt",
            "gt",
            "le",
            "ge",
            "in",
            "divisibleby",
            "sameas");

    private JinjaTests() {}

    static boolean test(String name, Object v, List<Object> args) {
        return switch (name) {
            case "defined" -> !(v instanceof Undefined);
            case "undefined" -> v instanceof Undefined;
            case "none" -> v == null;
            case "string" -> v instanceof String;
            case "number" -> v instanceof Number || v instanceof Boolean;
            case "integer" -> JinjaValues.integral(v);
            case "float" -> v instanceof Double || v instanceof Float;
            case "mapping" -> v instanceof Map;
            case "iterable", "sequence" -> v instanceof Collection || v instanceof Map || v instanceof String;
            case "boolean" -> v instanceof Boolean;
            case "true" -> Boolean.TRUE.equals(v);
            case "false" -> Boolean.FALSE.equals(v);
            case "callable" -> v instanceof Callable;
            case "odd" -> ((Number) v).longValue() % 2 != 0;
            case "even" -> ((Number) v).longValue() % 2 == 0;
            case "lower" -> v instanceof String s && s.equals(s.toLowerCase(java.util.Locale.ROOT));
            case "upper" -> v instanceof String s && s.equals(s.toUpperCase(java.util.Locale.ROOT));
            case "equalto", "eq" -> JinjaValues.equal(v, args.getFirst());
            case "sameas" -> JinjaValues.equal(v, args.getFirst());
            case "ne" -> !JinjaValues.equal(v, args.getFirst());
            case "divisibleby" -> ((Number) v).longValue() % ((Number) args.getFirst()).longValue() == 0;
            case "in" -> JinjaOperators.in(v, args.getFirst());
            case "lt", "gt", "le", "ge" -> JinjaOperators.ordered(name, v, args.getFirst());
            default -> throw new IllegalArgumentException("the test '" + name + "' is not supported");
        };
    }
}
