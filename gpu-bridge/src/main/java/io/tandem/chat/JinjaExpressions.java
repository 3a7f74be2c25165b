package io.tandem.chat;

import io.tandem.chat.JinjaLexer.Kind;
import io.tandem.chat.JinjaLexer.Token;
import io.tandem.chat.JinjaNode.Expr;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Reads expressions; methods stand in the order of binding, the loosest first. */
final class JinjaExpressions {
    /** Operators, members and calls of one expression; a chain of them is walked by recursion. */
    private static final int MAX_CHAIN = 2_000;

    private final JinjaTokens t;
    private int chain;

    JinjaExpressions(JinjaTokens tokens) {
        t = tokens;
    }

    Expr tuple() {
        Expr first = expr();
        if (!t.peek().text().equals(",") || t.peek().kind() != Kind.OP) {
            return first;
        }
        List<Expr> items = new ArrayList<>(List.of(first));
        while (t.accept(",")) {
            items.add(expr());
        }
        return new JinjaNode.ListOf(items);
    }

    /** One more link of the chain that this expression is. */
    private void link() {
        if (++chain > MAX_CHAIN) {
            throw t.error("an expression of more than " + MAX_CHAIN + " operators");
        }
    }

    Expr expr() {
        t.deeper();
        int outer = chain;
        Expr value = or();
        while (t.acceptName("if")) {
            Expr test = or();
            Expr orElse = t.acceptName("else") ? expr() : null;
            link();
            value = new JinjaNode.Conditional(test, value, orElse);
        }
        t.shallower();
        chain = outer;
        return value;
    }

    Expr or() {
        Expr left = and();
        while (t.acceptName("or")) {
            link();
            left = new JinjaNode.Binary("or", left, and(), t.line());
        }
        return left;
    }

    private Expr and() {
        Expr left = not();
        while (t.acceptName("and")) {
            link();
            left = new JinjaNode.Binary("and", left, not(), t.line());
        }
        return left;
    }

    private Expr not() {
        if (t.acceptName("not")) {
            t.deeper();
            Expr negated = new JinjaNode.Unary("not", not(), t.line());
            t.shallower();
            return negated;
        }
        return comparison();
    }

    private Expr comparison() {
        Expr left = sum();
        Expr result = null;
        while (true) {
            String op = comparisonOp();
            if (op == null) {
                return result == null ? left : result;
            }
            Expr right = sum();
            link();
            Expr compared = new JinjaNode.Binary(op, left, right, t.line());
            result = result == null ? compared : new JinjaNode.Binary("and", result, compared, t.line());
            left = right;
        }
    }

    private String comparisonOp() {
        Token token = t.peek();
        if (token.kind() == Kind.OP && Set.of("==", "!=", "<", ">", "<=", ">=").contains(token.text())) {
            return t.next().text();
        }
        if (t.acceptName("in")) {
            return "in";
        }
        if (token.kind() == Kind.NAME
                && token.text().equals("not")
                && t.after().text().equals("in")) {
            t.next();
            t.next();
            return "not in";
        }
        return null;
    }

    private Expr sum() {
        Expr left = concatenation();
        while (t.isOp("+") || t.isOp("-")) {
            link();
            left = new JinjaNode.Binary(t.next().text(), left, concatenation(), t.line());
        }
        return left;
    }

    private Expr concatenation() {
        Expr left = product();
        while (t.accept("~")) {
            link();
            left = new JinjaNode.Binary("~", left, product(), t.line());
        }
        return left;
    }

    private Expr product() {
        Expr left = unary();
        while (t.isOp("*") || t.isOp("/") || t.isOp("//") || t.isOp("%")) {
            link();
            left = new JinjaNode.Binary(t.next().text(), left, unary(), t.line());
        }
        return left;
    }

    private Expr unary() {
        if (t.isOp("-") || t.isOp("+")) {
            t.deeper();
            Expr signed = new JinjaNode.Unary(t.next().text(), unary(), t.line());
            t.shallower();
            return signed;
        }
        Expr value = filters(postfix(primary()));
        if (t.accept("**")) {
            t.deeper();
            value = new JinjaNode.Binary("**", value, unary(), t.line());
            t.shallower();
        }
        return value;
    }

    private Expr filters(Expr start) {
        Expr value = start;
        while (true) {
            if (t.accept("|")) {
                link();
                Token name = t.next();
                if (!JinjaFilters.NAMES.contains(name.text())) {
                    throw t.error(name, "the filter '" + name.text() + "' is not supported");
                }
                Arguments a = t.isOp("(") ? arguments() : new Arguments();
                value = postfix(new JinjaNode.Filter(value, name.text(), a.plain, a.names, a.named, name.line()));
            } else if (t.acceptName("is")) {
                value = test(value);
            } else {
                return value;
            }
        }
    }

    private Expr test(Expr value) {
        boolean negated = t.acceptName("not");
        Token name = t.next();
        if (!JinjaTests.NAMES.contains(name.text())) {
            throw t.error(name, "the test '" + name.text() + "' is not supported");
        }
        List<Expr> args = new ArrayList<>();
        if (t.isOp("(")) {
            args.addAll(arguments().plain);
        } else if (JinjaTests.WITH_ARGUMENT.contains(name.text())) {
            args.add(postfix(primary()));
        }
        return new JinjaNode.Test(value, name.text(), args, negated, name.line());
    }

    private Expr postfix(Expr start) {
        Expr value = start;
        while (true) {
            int line = t.line();
            if (t.accept(".")) {
                link();
                Token name = t.next();
                value = name.kind() == Kind.NUMBER
                        ? new JinjaNode.Item(value, new JinjaNode.Const(Long.parseLong(name.text())), line)
                        : new JinjaNode.Attr(value, name.text(), line);
            } else if (t.accept("[")) {
                link();
                value = subscript(value, line);
            } else if (t.isOp("(")) {
                link();
                Arguments a = arguments();
                value = new JinjaNode.Call(value, a.plain, a.names, a.named, line);
            } else {
                return value;
            }
        }
    }

    private Expr subscript(Expr target, int line) {
        Expr from = t.isOp(":") ? null : expr();
        if (t.accept("]")) {
            return new JinjaNode.Item(target, from, line);
        }
        t.expectOp(":");
        Expr to = t.isOp("]") || t.isOp(":") ? null : expr();
        Expr step = t.accept(":") && !t.isOp("]") ? expr() : null;
        t.expectOp("]");
        return new JinjaNode.Slice(target, from, to, step, line);
    }

    /** Arguments of a call. */
    private static final class Arguments {
        final List<Expr> plain = new ArrayList<>();
        final List<String> names = new ArrayList<>();
        final List<Expr> named = new ArrayList<>();
    }

    private Arguments arguments() {
        Arguments a = new Arguments();
        t.expectOp("(");
        while (!t.accept(")")) {
            if (t.isOp("*") || t.isOp("**")) {
                throw t.error("unpacked arguments are not supported");
            }
            if (t.peek().kind() == Kind.NAME
                    && t.after().text().equals("=")
                    && t.after().kind() == Kind.OP) {
                a.names.add(t.next().text());
                t.next();
                a.named.add(expr());
            } else {
                a.plain.add(expr());
            }
            if (!t.accept(",") && !t.isOp(")")) {
                throw t.error("a call wants ',' or ')'");
            }
        }
        return a;
    }

    private Expr primary() {
        Token token = t.next();
        return switch (token.kind()) {
            case STRING -> {
                StringBuilder text = new StringBuilder(token.text());
                while (t.peek().kind() == Kind.STRING) {
                    text.append(t.next().text());
                }
                yield new JinjaNode.Const(text.toString());
            }
            case NUMBER ->
                new JinjaNode.Const(
                        token.text().contains(".")
                                ? (Object) Double.valueOf(token.text())
                                : (Object) Long.valueOf(token.text()));
            case NAME -> name(token);
            case OP -> bracket(token);
            default -> throw t.error(token, "an expression is missing");
        };
    }

    private static Expr name(Token token) {
        return switch (token.text()) {
            case "true", "True" -> new JinjaNode.Const(true);
            case "false", "False" -> new JinjaNode.Const(false);
            case "none", "None" -> new JinjaNode.Const(null);
            default -> new JinjaNode.Name(token.text(), token.line());
        };
    }

    private Expr bracket(Token token) {
        switch (token.text()) {
            case "(":
                if (t.accept(")")) {
                    return new JinjaNode.ListOf(List.of());
                }
                Expr inner = tuple();
                t.expectOp(")");
                return inner;
            case "[":
                List<Expr> items = new ArrayList<>();
                while (!t.accept("]")) {
                    items.add(expr());
                    if (!t.accept(",") && !t.isOp("]")) {
                        throw t.error("a list wants ',' or ']'");
                    }
                }
                return new JinjaNode.ListOf(items);
            case "{":
                return dict();
            default:
                throw t.error(token, "'" + token.text() + "' is out of place");
        }
    }

    private Expr dict() {
        List<Expr> keys = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (!t.accept("}")) {
            keys.add(expr());
            t.expectOp(":");
            values.add(expr());
            if (!t.accept(",") && !t.isOp("}")) {
                throw t.error("a dict wants ',' or '}'");
            }
        }
        return new JinjaNode.DictOf(keys, values);
    }
}
