package io.tandem.chat;

import io.tandem.chat.JinjaValues.Undefined;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/** Python's operators on plain values. What Python refuses is an {@link IllegalArgumentException} here. */
final class JinjaOperators {
    private static final int MAX_REPEATED_CHARS = 1 << 20;
    private static final int MAX_EXPONENT = 999_999_999;

    private JinjaOperators() {}

    static Object binary(String op, Object a, Object b) {
        return switch (op) {
            case "==" -> JinjaValues.equal(a, b);
            case "!=" -> !JinjaValues.equal(a, b);
            case "<" -> ordered("lt", a, b);
            case ">" -> ordered("gt", a, b);
            case "<=" -> ordered("le", a, b);
            case ">=" -> ordered("ge", a, b);
            case "in" -> in(a, b);
            case "not in" -> !in(a, b);
            case "~" -> JinjaValues.text(a) + JinjaValues.text(b);
            case "+" -> plus(a, b);
            case "*" -> times(a, b);
            default -> arithmetic(op, a, b);
        };
    }

    private static Object plus(Object a, Object b) {
        if (a instanceof String s && b instanceof String t) {
            return s + t;
        }
        if (a instanceof List<?> x && b instanceof List<?> y) {
            List<Object> both = new ArrayList<>(x);
            both.addAll(y);
            return both;
        }
        return arithmetic("+", a, b);
    }

    private static Object times(Object a, Object b) {
        if (a instanceof String s && b instanceof Number n) {
            int count = (int) Math.max(0, n.longValue());
            if ((long) count * s.length() > MAX_REPEATED_CHARS) {
                throw new IllegalArgumentException("a repeated text is too long");
            }
            return s.repeat(count);
        }
        return arithmetic("*", a, b);
    }

    private static Object arithmetic(String op, Object a, Object b) {
        if (!(a instanceof Number || a instanceof Boolean) || !(b instanceof Number || b instanceof Boolean)) {
            throw new IllegalArgumentException("'" + op + "' does not go with " + kind(a) + " and " + kind(b));
        }
        if (JinjaValues.integral(a) && JinjaValues.integral(b) && !op.equals("/")) {
            return integers(op, ((Number) a).longValue(), ((Number) b).longValue());
        }
        double x = number(a);
        double y = number(b);
        return switch (op) {
            case "+" -> x + y;
            case "-" -> x - y;
            case "*" -> x * y;
            case "/" -> x / nonZero(y);
            case "//" -> Math.floor(x / nonZero(y));
            case "%" -> x - Math.floor(x / nonZero(y)) * y;
            case "**" -> Math.pow(x, y);
            default -> throw new IllegalArgumentException("'" + op + "' is not supported");
        };
    }

    private static Object integers(String op, long x, long y) {
        return switch (op) {
            case "+" -> Math.addExact(x, y);
            case "-" -> Math.subtractExact(x, y);
            case "*" -> Math.multiplyExact(x, y);
            case "//" -> Math.floorDiv(x, nonZeroWhole(y));
            case "%" -> Math.floorMod(x, nonZeroWhole(y));
            case "**" -> power(x, y);
            default -> throw new IllegalArgumentException("'" + op + "' is not supported");
        };
    }

    /** Python's whole numbers have no bound; here one beyond 64 bits is an {@link ArithmeticException}. */
    private static Object power(long x, long y) {
        return y < 0
                ? (Object) Math.pow((double) x, (double) y)
                : (Object) BigDecimal.valueOf(x)
                        .pow((int) Math.min(y, MAX_EXPONENT), MathContext.DECIMAL128)
                        .longValueExact();
    }

    private static long nonZeroWhole(long y) {
        nonZero((double) y);
        return y;
    }

    private static double nonZero(double y) {
        if (y == 0) {
            throw new IllegalArgumentException("division by zero");
        }
        return y;
    }

    private static double number(Object v) {
        return v instanceof Boolean b ? (b ? 1 : 0) : ((Number) v).doubleValue();
    }

    static boolean ordered(String op, Object a, Object b) {
        int c;
        if (a instanceof String s && b instanceof String t) {
            c = s.compareTo(t);
        } else if ((a instanceof Number || a instanceof Boolean) && (b instanceof Number || b instanceof Boolean)) {
            c = Double.compare(number(a), number(b));
        } else {
            throw new IllegalArgumentException(kind(a) + " and " + kind(b) + " have no order");
        }
        return switch (op) {
            case "lt" -> c < 0;
            case "gt" -> c > 0;
            case "le" -> c <= 0;
            default -> c >= 0;
        };
    }

    static boolean in(Object item, Object container) {
        return switch (container) {
            case String s -> {
                if (item instanceof String t) {
                    yield s.contains(t);
                }
                throw new IllegalArgumentException("'in' a text wants a text, not " + kind(item));
            }
            case Map<?, ?> m -> m.containsKey(item);
            case Collection<?> c -> c.stream().anyMatch(x -> JinjaValues.equal(x, item));
            case Undefined ignored -> false;
            case null -> throw new IllegalArgumentException(kind(container) + " holds nothing");
            default -> throw new IllegalArgumentException(kind(container) + " holds nothing");
        };
    }

    /** The items a loop sees. */
    static List<Object> items(Object value) {
        return switch (value) {
            case Collection<?> c -> new ArrayList<>(c);
            case Map<?, ?> m -> new ArrayList<>(m.keySet());
            case String s -> {
                List<Object> chars = new ArrayList<>();
                s.codePoints().forEach(c -> chars.add(Character.toString(c)));
                yield chars;
            }
            case Undefined ignored -> new ArrayList<>();
            case null -> throw new IllegalArgumentException(kind(value) + " is not iterable");
            default -> throw new IllegalArgumentException(kind(value) + " is not iterable");
        };
    }

    static String kind(Object v) {
        return switch (v) {
            case null -> "none";
            case Undefined u -> "'" + u.name() + "', which is undefined";
            case String ignored -> "a text";
            case Boolean ignored -> "a boolean";
            case Number ignored -> "a number";
            case Map<?, ?> ignored -> "a dict";
            case Collection<?> ignored -> "a list";
            default -> "such a value";
        };
    }

    static Object slice(Object target, Long from, Long to, Long step) {
        long by = step == null ? 1 : step;
        if (by == 0) {
            throw new IllegalArgumentException("a slice's step is zero");
        }
        List<Object> items = items(target);
        long n = items.size();
        long start = from == null ? (by > 0 ? 0 : n - 1) : bound(from, n, by > 0 ? 0 : -1, by > 0 ? n : n - 1);
        long end = to == null ? (by > 0 ? n : -1) : bound(to, n, by > 0 ? 0 : -1, by > 0 ? n : n - 1);
        List<Object> out = new ArrayList<>();
        for (long i = start; by > 0 ? i < end : i > end; i += by) {
            out.add(items.get((int) i));
        }
        if (target instanceof String) {
            StringBuilder text = new StringBuilder();
            out.forEach(text::append);
            return text.toString();
        }
        return out;
    }

    private static long bound(long index, long n, long low, long high) {
        return Math.clamp(index < 0 ? index + n : index, low, high);
    }
}
