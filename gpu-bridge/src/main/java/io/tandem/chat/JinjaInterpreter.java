package io.tandem.chat;

import io.tandem.chat.JinjaNode.Expr;
import io.tandem.chat.JinjaNode.Stmt;
import io.tandem.chat.JinjaValues.Callable;
import io.tandem.chat.JinjaValues.Namespace;
import io.tandem.chat.JinjaValues.Undefined;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** Runs one rendering. Bounded in output, loop turns and depth, since templates come with models from anywhere. */
final class JinjaInterpreter {
    private static final int MAX_OUTPUT_CHARS = 16 << 20;
    private static final int MAX_TURNS = 2_000_000;
    private static final int MAX_MACRO_DEPTH = 64;

    private enum Flow {
        NEXT,
        BREAK,
        CONTINUE
    }

    /** Variables of a block, and those around it. */
    private static final class Scope {
        final Scope outer;
        final Map<String, Object> values = new HashMap<>();

        Scope(Scope outer) {
            this.outer = outer;
        }

        Object find(String name) {
            for (Scope s = this; s != null; s = s.outer) {
                if (s.values.containsKey(name)) {
                    return s.values.get(name);
                }
            }
            return new Undefined(name);
        }
    }

    private final Scope globals = new Scope(null);
    private final Scope top = new Scope(globals);
    private final Supplier<LocalDateTime> clock;
    private StringBuilder out = new StringBuilder();
    private int turns;
    private int macroDepth;
    private int line;

    JinjaInterpreter(Map<String, Object> context, Supplier<LocalDateTime> clock) {
        this.clock = clock;
        functions(globals.values);
        globals.values.putAll(context);
    }

    String render(List<Stmt> template) {
        try {
            run(template, top);
            return out.toString();
        } catch (ArithmeticException
                | IllegalArgumentException
                | ClassCastException
                | IndexOutOfBoundsException
                | java.util.NoSuchElementException
                | UnsupportedOperationException e) {
            throw new ChatTemplateException("line " + line + ": " + e.getMessage(), line, false);
        } catch (NullPointerException e) {
            throw new ChatTemplateException("line " + line + ": none stands where a value is needed", line, false);
        }
    }

    private void functions(Map<String, Object> into) {
        into.put("raise_exception", (Callable) (args, named) -> {
            throw new ChatTemplateException(JinjaValues.text(args.getFirst()), line, true);
        });
        into.put("namespace", (Callable) (args, named) -> new Namespace(new LinkedHashMap<>(named)));
        into.put("dict", (Callable) (args, named) -> new LinkedHashMap<Object, Object>(named));
        into.put("range", (Callable) (args, named) -> range(args));
        into.put("strftime_now", (Callable) (args, named) -> StrfTime.format((String) args.getFirst(), clock.get()));
    }

    private List<Object> range(List<Object> args) {
        long from = args.size() > 1 ? ((Number) args.get(0)).longValue() : 0;
        long to = ((Number) args.get(args.size() > 1 ? 1 : 0)).longValue();
        long step = args.size() > 2 ? ((Number) args.get(2)).longValue() : 1;
        List<Object> numbers = new ArrayList<>();
        for (long i = from; step > 0 ? i < to : i > to; i += step) {
            turn();
            numbers.add(i);
        }
        return numbers;
    }

    private void turn() {
        if (++turns > MAX_TURNS) {
            throw new IllegalArgumentException("the template takes more than " + MAX_TURNS + " turns");
        }
    }

    // ---- statements

    private Flow run(List<Stmt> body, Scope scope) {
        for (Stmt statement : body) {
            Flow flow = run(statement, scope);
            if (flow != Flow.NEXT) {
                return flow;
            }
        }
        return Flow.NEXT;
    }

    private Flow run(Stmt statement, Scope scope) {
        switch (statement) {
            case JinjaNode.Text t -> print(t.text());
            case JinjaNode.Output o -> {
                line = o.line();
                print(JinjaValues.text(eval(o.value(), scope)));
            }
            case JinjaNode.If i -> {
                return runIf(i, scope);
            }
            case JinjaNode.For f -> runFor(f, scope);
            case JinjaNode.SetVar s -> set(s, scope);
            case JinjaNode.SetBlock s -> scope.values.put(s.target(), captured(s.body(), new Scope(scope)));
            case JinjaNode.Macro m -> scope.values.put(m.name(), (Callable) (args, named) -> call(m, args, named));
            case JinjaNode.Block b -> {
                return run(b.body(), scope);
            }
            case JinjaNode.Break ignored -> {
                return Flow.BREAK;
            }
            case JinjaNode.Continue ignored -> {
                return Flow.CONTINUE;
            }
        }
        return Flow.NEXT;
    }

    private void print(String text) {
        if (out.length() + text.length() > MAX_OUTPUT_CHARS) {
            throw new IllegalArgumentException("the rendering exceeds " + MAX_OUTPUT_CHARS + " characters");
        }
        out.append(text);
    }

    private String captured(List<Stmt> body, Scope scope) {
        StringBuilder outer = out;
        out = new StringBuilder();
        try {
            run(body, scope);
            return out.toString();
        } finally {
            out = outer;
        }
    }

    private Flow runIf(JinjaNode.If i, Scope scope) {
        for (int n = 0; n < i.tests().size(); n++) {
            if (JinjaValues.truth(eval(i.tests().get(n), scope))) {
                return run(i.bodies().get(n), scope);
            }
        }
        return run(i.orElse(), scope);
    }

    private void runFor(JinjaNode.For f, Scope scope) {
        line = f.line();
        List<Object> items = JinjaOperators.items(eval(f.over(), scope));
        if (f.filter() != null) {
            items.removeIf(item -> {
                Scope inner = new Scope(scope);
                bind(f.targets(), item, inner);
                return !JinjaValues.truth(eval(f.filter(), inner));
            });
        }
        if (items.isEmpty()) {
            run(f.orElse(), new Scope(scope));
            return;
        }
        for (int i = 0; i < items.size(); i++) {
            turn();
            Scope inner = new Scope(scope);
            bind(f.targets(), items.get(i), inner);
            inner.values.put("loop", loop(items, i));
            if (run(f.body(), inner) == Flow.BREAK) {
                return;
            }
        }
    }

    private static Map<String, Object> loop(List<Object> items, int i) {
        Map<String, Object> loop = new HashMap<>();
        loop.put("index", i + 1L);
        loop.put("index0", (long) i);
        loop.put("revindex", (long) items.size() - i);
        loop.put("revindex0", items.size() - i - 1L);
        loop.put("first", i == 0);
        loop.put("last", i == items.size() - 1);
        loop.put("length", (long) items.size());
        loop.put("previtem", i == 0 ? new Undefined("loop.previtem") : items.get(i - 1));
        loop.put("nextitem", i == items.size() - 1 ? new Undefined("loop.nextitem") : items.get(i + 1));
        loop.put("depth", 1L);
        return loop;
    }

    private static void bind(List<String> targets, Object item, Scope scope) {
        if (targets.size() == 1) {
            scope.values.put(targets.getFirst(), item);
            return;
        }
        List<Object> parts = JinjaOperators.items(item);
        if (parts.size() != targets.size()) {
            throw new IllegalArgumentException(parts.size() + " values for " + targets.size() + " names");
        }
        for (int i = 0; i < targets.size(); i++) {
            scope.values.put(targets.get(i), parts.get(i));
        }
    }

    private void set(JinjaNode.SetVar s, Scope scope) {
        line = s.line();
        Object value = eval(s.value(), scope);
        List<Object> parts = s.targets().size() == 1 ? List.of() : JinjaOperators.items(value);
        for (int i = 0; i < s.targets().size(); i++) {
            Object part = s.targets().size() == 1 ? value : parts.get(i);
            switch (s.targets().get(i)) {
                case JinjaNode.Name n -> scope.values.put(n.name(), part);
                case JinjaNode.Attr a -> {
                    if (!(eval(a.target(), scope) instanceof Namespace namespace)) {
                        throw new IllegalArgumentException("only a namespace's attributes can be set");
                    }
                    namespace.values().put(a.name(), part);
                }
                default -> throw new IllegalArgumentException("'set' takes names");
            }
        }
    }

    private Object call(JinjaNode.Macro m, List<Object> args, Map<String, Object> named) {
        if (++macroDepth > MAX_MACRO_DEPTH) {
            throw new IllegalArgumentException("macros call each other more than " + MAX_MACRO_DEPTH + " deep");
        }
        try {
            // A macro sees the template's own variables, not its caller's.
            Scope scope = new Scope(top);
            for (int i = 0; i < m.params().size(); i++) {
                String param = m.params().get(i);
                Object value = i < args.size()
                        ? args.get(i)
                        : named.containsKey(param)
                                ? named.get(param)
                                : m.defaults().get(i) == null
                                        ? new Undefined(param)
                                        : eval(m.defaults().get(i), scope);
                scope.values.put(param, value);
            }
            return captured(m.body(), scope);
        } finally {
            macroDepth--;
        }
    }

    // ---- expressions

    private Object eval(Expr expr, Scope scope) {
        return switch (expr) {
            case JinjaNode.Const c -> c.value();
            case JinjaNode.Name n -> {
                line = n.line();
                yield scope.find(n.name());
            }
            case JinjaNode.ListOf l -> evalAll(l.items(), scope);
            case JinjaNode.DictOf d -> {
                Map<Object, Object> map = new LinkedHashMap<>();
                for (int i = 0; i < d.keys().size(); i++) {
                    map.put(eval(d.keys().get(i), scope), eval(d.values().get(i), scope));
                }
                yield map;
            }
            case JinjaNode.Attr a -> attribute(eval(a.target(), scope), a.name(), a.line());
            case JinjaNode.Item i -> item(eval(i.target(), scope), eval(i.index(), scope), i.line());
            case JinjaNode.Slice s -> {
                line = s.line();
                yield JinjaOperators.slice(
                        eval(s.target(), scope), bound(s.from(), scope), bound(s.to(), scope), bound(s.step(), scope));
            }
            case JinjaNode.Call c -> evalCall(c, scope);
            case JinjaNode.Filter f -> {
                Object value = eval(f.target(), scope);
                List<Object> args = evalAll(f.args(), scope);
                Map<String, Object> named = evalNamed(f.names(), f.named(), scope);
                line = f.line();
                yield JinjaFilters.apply(f.name(), value, args, named);
            }
            case JinjaNode.Test t -> {
                Object value = eval(t.target(), scope);
                List<Object> args = evalAll(t.args(), scope);
                line = t.line();
                yield JinjaTests.test(t.name(), value, args) != t.negated();
            }
            case JinjaNode.Unary u -> unary(u, scope);
            case JinjaNode.Binary b -> binary(b, scope);
            case JinjaNode.Conditional c ->
                JinjaValues.truth(eval(c.test(), scope))
                        ? eval(c.then(), scope)
                        : c.orElse() == null ? new Undefined("else") : eval(c.orElse(), scope);
        };
    }

    private Long bound(Expr expr, Scope scope) {
        Object value = expr == null ? null : eval(expr, scope);
        return value == null ? null : (Long) ((Number) value).longValue();
    }

    private List<Object> evalAll(List<Expr> exprs, Scope scope) {
        List<Object> values = new ArrayList<>(exprs.size());
        for (Expr e : exprs) {
            values.add(eval(e, scope));
        }
        return values;
    }

    private Map<String, Object> evalNamed(List<String> names, List<Expr> exprs, Scope scope) {
        Map<String, Object> named = new LinkedHashMap<>();
        for (int i = 0; i < names.size(); i++) {
            named.put(names.get(i), eval(exprs.get(i), scope));
        }
        return named;
    }

    private Object attribute(Object target, String name, int at) {
        line = at;
        if (target instanceof Undefined u) {
            throw new IllegalArgumentException("'" + u.name() + "' is undefined");
        }
        if (target instanceof Namespace n) {
            return n.values().containsKey(name) ? n.values().get(name) : new Undefined(name);
        }
        Callable method = JinjaMethods.of(target, name);
        if (method != null) {
            return method;
        }
        return target instanceof Map<?, ?> m && m.containsKey(name) ? m.get(name) : new Undefined(name);
    }

    private Object item(Object target, Object index, int at) {
        line = at;
        return switch (target) {
            case Undefined u -> throw new IllegalArgumentException("'" + u.name() + "' is undefined");
            case Namespace n -> n.values().getOrDefault(index, new Undefined(JinjaValues.text(index)));
            case Map<?, ?> m -> m.containsKey(index) ? m.get(index) : new Undefined(JinjaValues.text(index));
            case List<?> l -> {
                if (!(index instanceof Number n)) {
                    yield new Undefined(JinjaValues.text(index));
                }
                int i = n.intValue() < 0 ? n.intValue() + l.size() : n.intValue();
                yield i >= 0 && i < l.size() ? l.get(i) : new Undefined("item " + n);
            }
            case String s -> {
                List<Object> chars = JinjaOperators.items(s);
                yield index instanceof Number ? item(chars, index, at) : new Undefined(JinjaValues.text(index));
            }
            case null -> new Undefined(JinjaValues.text(index));
            default -> new Undefined(JinjaValues.text(index));
        };
    }

    private Object evalCall(JinjaNode.Call c, Scope scope) {
        Object target = eval(c.target(), scope);
        List<Object> args = evalAll(c.args(), scope);
        Map<String, Object> named = evalNamed(c.names(), c.named(), scope);
        line = c.line();
        if (target instanceof Callable callable) {
            return callable.call(args, named);
        }
        throw new IllegalArgumentException(
                target instanceof Undefined u
                        ? "'" + u.name() + "' is not a function this interpreter knows"
                        : JinjaOperators.kind(target) + " cannot be called");
    }

    private Object unary(JinjaNode.Unary u, Scope scope) {
        Object value = eval(u.value(), scope);
        return switch (u.op()) {
            case "not" -> !JinjaValues.truth(value);
            case "-" -> JinjaOperators.binary("-", 0L, value);
            default -> value;
        };
    }

    private Object binary(JinjaNode.Binary b, Scope scope) {
        Object left = eval(b.left(), scope);
        if (b.op().equals("and")) {
            return JinjaValues.truth(left) ? eval(b.right(), scope) : left;
        }
        if (b.op().equals("or")) {
            return JinjaValues.truth(left) ? left : eval(b.right(), scope);
        }
        Object right = eval(b.right(), scope);
        line = b.line();
        return JinjaOperators.binary(b.op(), left, right);
    }
}
