package io.tandem.chat;

import io.tandem.chat.JinjaLexer.Kind;
import io.tandem.chat.JinjaLexer.Token;
import io.tandem.chat.JinjaNode.Expr;
import io.tandem.chat.JinjaNode.Stmt;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Reads a template into its tree. What the interpreter does not know is refused here, with its line. */
final class JinjaParser {
    private static final int MAX_DEPTH = 200;

    /** Operators, members and calls of one template; a chain of them is walked by recursion. */
    private static final int MAX_CHAIN = 2_000;

    private final List<Token> tokens;
    private int at;
    private int depth;
    private int chain;

    private JinjaParser(List<Token> tokens) {
        this.tokens = tokens;
    }

    static List<Stmt> parse(String template) {
        JinjaParser parser = new JinjaParser(JinjaLexer.lex(template));
        List<Stmt> body = parser.body(Set.of());
        if (parser.peek().kind() != Kind.END) {
            throw parser.error("an end without its beginning");
        }
        return body;
    }

    // ---- statements

    private List<Stmt> body(Set<String> ends) {
        List<Stmt> body = new ArrayList<>();
        deeper();
        while (peek().kind() != Kind.END) {
            Token token = next();
            switch (token.kind()) {
                case TEXT -> body.add(new JinjaNode.Text(token.text()));
                case OUTPUT_BEGIN -> {
                    body.add(new JinjaNode.Output(tuple(), token.line()));
                    expect(Kind.OUTPUT_END, "}}");
                }
                case TAG_BEGIN -> {
                    if (ends.contains(peek().text())) {
                        at--;
                        depth--;
                        return body;
                    }
                    body.add(statement());
                }
                default -> throw error("'" + token.text() + "' is out of place");
            }
        }
        depth--;
        return body;
    }

    private Stmt statement() {
        Token name = next();
        switch (name.text()) {
            case "if":
                return ifStatement();
            case "for":
                return forStatement(name.line());
            case "set":
                return setStatement(name.line());
            case "macro":
                return macro();
            case "break":
                endTag();
                return new JinjaNode.Break();
            case "continue":
                endTag();
                return new JinjaNode.Continue();
            case "generation":
                endTag();
                List<Stmt> body = body(Set.of("endgeneration"));
                closing("endgeneration");
                return new JinjaNode.Block(body);
            default:
                throw error(name, "the statement '" + name.text() + "' is not supported");
        }
    }

    private Stmt ifStatement() {
        List<Expr> tests = new ArrayList<>();
        List<List<Stmt>> bodies = new ArrayList<>();
        Set<String> ends = Set.of("elif", "else", "endif");
        tests.add(expr());
        endTag();
        bodies.add(body(ends));
        while (true) {
            expect(Kind.TAG_BEGIN, "endif");
            String end = next().text();
            if (end.equals("elif")) {
                tests.add(expr());
                endTag();
                bodies.add(body(ends));
            } else if (end.equals("else")) {
                endTag();
                List<Stmt> orElse = body(Set.of("endif"));
                closing("endif");
                return new JinjaNode.If(tests, bodies, orElse);
            } else {
                endTag();
                return new JinjaNode.If(tests, bodies, List.of());
            }
        }
    }

    private Stmt forStatement(int line) {
        List<String> targets = new ArrayList<>();
        boolean parenthesis = accept("(");
        do {
            targets.add(name());
        } while (accept(","));
        if (parenthesis) {
            expectOp(")");
        }
        if (!acceptName("in")) {
            throw error("'for' wants 'in'");
        }
        Expr over = or();
        if (peek().text().equals(",")) {
            List<Expr> items = new ArrayList<>(List.of(over));
            while (accept(",")) {
                items.add(or());
            }
            over = new JinjaNode.ListOf(items);
        }
        Expr filter = acceptName("if") ? expr() : null;
        if (acceptName("recursive")) {
            throw error("'recursive' loops are not supported");
        }
        endTag();
        List<Stmt> body = body(Set.of("else", "endfor"));
        expect(Kind.TAG_BEGIN, "endfor");
        List<Stmt> orElse = List.of();
        if (next().text().equals("else")) {
            endTag();
            orElse = body(Set.of("endfor"));
            expect(Kind.TAG_BEGIN, "endfor");
            next();
        }
        endTag();
        return new JinjaNode.For(targets, over, filter, body, orElse, line);
    }

    private Stmt setStatement(int line) {
        List<Expr> targets = new ArrayList<>();
        do {
            Token name = next();
            Expr target = new JinjaNode.Name(name.text(), name.line());
            targets.add(accept(".") ? new JinjaNode.Attr(target, name(), line) : target);
        } while (accept(","));
        if (accept("=")) {
            Expr value = tuple();
            endTag();
            return new JinjaNode.SetVar(targets, value, line);
        }
        endTag();
        if (targets.size() != 1 || !(targets.getFirst() instanceof JinjaNode.Name name)) {
            throw error("'set' without '=' takes one name");
        }
        List<Stmt> body = body(Set.of("endset"));
        closing("endset");
        return new JinjaNode.SetBlock(name.name(), body);
    }

    private Stmt macro() {
        String name = name();
        List<String> params = new ArrayList<>();
        List<Expr> defaults = new ArrayList<>();
        expectOp("(");
        while (!accept(")")) {
            params.add(name());
            defaults.add(accept("=") ? expr() : null);
            if (!accept(",") && !peek().text().equals(")")) {
                throw error("a macro's parameters want ',' or ')'");
            }
        }
        endTag();
        List<Stmt> body = body(Set.of("endmacro"));
        closing("endmacro");
        return new JinjaNode.Macro(name, params, defaults, body);
    }

    private void closing(String end) {
        expect(Kind.TAG_BEGIN, end);
        next();
        endTag();
    }

    private void endTag() {
        // "{% endmacro name %}" repeats the name.
        if (peek().kind() == Kind.NAME && tokens.get(at - 1).text().startsWith("end")) {
            next();
        }
        expect(Kind.TAG_END, "%}");
    }

    // ---- expressions, loosest binding first

    private Expr tuple() {
        Expr first = expr();
        if (!peek().text().equals(",") || peek().kind() != Kind.OP) {
            return first;
        }
        List<Expr> items = new ArrayList<>(List.of(first));
        while (accept(",")) {
            items.add(expr());
        }
        return new JinjaNode.ListOf(items);
    }

    private void deeper() {
        if (++depth > MAX_DEPTH) {
            throw error("nested too deeply");
        }
    }

    /** One more link of the chain that this expression is. */
    private void link() {
        if (++chain > MAX_CHAIN) {
            throw error("an expression of more than " + MAX_CHAIN + " operators");
        }
    }

    private Expr expr() {
        deeper();
        int outer = chain;
        Expr value = or();
        while (acceptName("if")) {
            Expr test = or();
            Expr orElse = acceptName("else") ? expr() : null;
            link();
            value = new JinjaNode.Conditional(test, value, orElse);
        }
        depth--;
        chain = outer;
        return value;
    }

    private Expr or() {
        Expr left = and();
        while (acceptName("or")) {
            link();
            left = new JinjaNode.Binary("or", left, and(), line());
        }
        return left;
    }

    private Expr and() {
        Expr left = not();
        while (acceptName("and")) {
            link();
            left = new JinjaNode.Binary("and", left, not(), line());
        }
        return left;
    }

    private Expr not() {
        if (acceptName("not")) {
            deeper();
            Expr negated = new JinjaNode.Unary("not", not(), line());
            depth--;
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
            Expr compared = new JinjaNode.Binary(op, left, right, line());
            result = result == null ? compared : new JinjaNode.Binary("and", result, compared, line());
            left = right;
        }
    }

    private String comparisonOp() {
        Token token = peek();
        if (token.kind() == Kind.OP && Set.of("==", "!=", "<", ">", "<=", ">=").contains(token.text())) {
            return next().text();
        }
        if (acceptName("in")) {
            return "in";
        }
        if (token.kind() == Kind.NAME
                && token.text().equals("not")
                && tokens.get(at + 1).text().equals("in")) {
            at += 2;
            return "not in";
        }
        return null;
    }

    private Expr sum() {
        Expr left = concatenation();
        while (isOp("+") || isOp("-")) {
            link();
            left = new JinjaNode.Binary(next().text(), left, concatenation(), line());
        }
        return left;
    }

    private Expr concatenation() {
        Expr left = product();
        while (accept("~")) {
            link();
            left = new JinjaNode.Binary("~", left, product(), line());
        }
        return left;
    }

    private Expr product() {
        Expr left = unary();
        while (isOp("*") || isOp("/") || isOp("//") || isOp("%")) {
            link();
            left = new JinjaNode.Binary(next().text(), left, unary(), line());
        }
        return left;
    }

    private Expr unary() {
        if (isOp("-") || isOp("+")) {
            deeper();
            Expr signed = new JinjaNode.Unary(next().text(), unary(), line());
            depth--;
            return signed;
        }
        Expr value = filters(postfix(primary()));
        if (accept("**")) {
            deeper();
            value = new JinjaNode.Binary("**", value, unary(), line());
            depth--;
        }
        return value;
    }

    private Expr filters(Expr start) {
        Expr value = start;
        while (true) {
            if (accept("|")) {
                link();
                Token name = next();
                if (!JinjaFilters.NAMES.contains(name.text())) {
                    throw error(name, "the filter '" + name.text() + "' is not supported");
                }
                Arguments a = isOp("(") ? arguments() : new Arguments();
                value = postfix(new JinjaNode.Filter(value, name.text(), a.plain, a.names, a.named, name.line()));
            } else if (acceptName("is")) {
                value = test(value);
            } else {
                return value;
            }
        }
    }

    private Expr test(Expr value) {
        boolean negated = acceptName("not");
        Token name = next();
        if (!JinjaTests.NAMES.contains(name.text())) {
            throw error(name, "the test '" + name.text() + "' is not supported");
        }
        List<Expr> args = new ArrayList<>();
        if (isOp("(")) {
            args.addAll(arguments().plain);
        } else if (JinjaTests.WITH_ARGUMENT.contains(name.text())) {
            args.add(postfix(primary()));
        }
        return new JinjaNode.Test(value, name.text(), args, negated, name.line());
    }

    private Expr postfix(Expr start) {
        Expr value = start;
        while (true) {
            int line = line();
            if (accept(".")) {
                link();
                Token name = next();
                value = name.kind() == Kind.NUMBER
                        ? new JinjaNode.Item(value, new JinjaNode.Const(Long.parseLong(name.text())), line)
                        : new JinjaNode.Attr(value, name.text(), line);
            } else if (accept("[")) {
                link();
                value = subscript(value, line);
            } else if (isOp("(")) {
                link();
                Arguments a = arguments();
                value = new JinjaNode.Call(value, a.plain, a.names, a.named, line);
            } else {
                return value;
            }
        }
    }

    private Expr subscript(Expr target, int line) {
        Expr from = isOp(":") ? null : expr();
        if (accept("]")) {
            return new JinjaNode.Item(target, from, line);
        }
        expectOp(":");
        Expr to = isOp("]") || isOp(":") ? null : expr();
        Expr step = accept(":") && !isOp("]") ? expr() : null;
        expectOp("]");
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
        expectOp("(");
        while (!accept(")")) {
            if (isOp("*") || isOp("**")) {
                throw error("unpacked arguments are not supported");
            }
            if (peek().kind() == Kind.NAME
                    && tokens.get(at + 1).text().equals("=")
                    && tokens.get(at + 1).kind() == Kind.OP) {
                a.names.add(next().text());
                next();
                a.named.add(expr());
            } else {
                a.plain.add(expr());
            }
            if (!accept(",") && !isOp(")")) {
                throw error("a call wants ',' or ')'");
            }
        }
        return a;
    }

    private Expr primary() {
        Token token = next();
        return switch (token.kind()) {
            case STRING -> {
                StringBuilder text = new StringBuilder(token.text());
                while (peek().kind() == Kind.STRING) {
                    text.append(next().text());
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
            default -> throw error(token, "an expression is missing");
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
                if (accept(")")) {
                    return new JinjaNode.ListOf(List.of());
                }
                Expr inner = tuple();
                expectOp(")");
                return inner;
            case "[":
                List<Expr> items = new ArrayList<>();
                while (!accept("]")) {
                    items.add(expr());
                    if (!accept(",") && !isOp("]")) {
                        throw error("a list wants ',' or ']'");
                    }
                }
                return new JinjaNode.ListOf(items);
            case "{":
                return dict();
            default:
                throw error(token, "'" + token.text() + "' is out of place");
        }
    }

    private Expr dict() {
        List<Expr> keys = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (!accept("}")) {
            keys.add(expr());
            expectOp(":");
            values.add(expr());
            if (!accept(",") && !isOp("}")) {
                throw error("a dict wants ',' or '}'");
            }
        }
        return new JinjaNode.DictOf(keys, values);
    }

    // ---- tokens

    private Token peek() {
        return tokens.get(at);
    }

    private Token next() {
        Token token = tokens.get(at);
        if (token.kind() != Kind.END) {
            at++;
        }
        return token;
    }

    private int line() {
        return peek().line();
    }

    private boolean isOp(String op) {
        return peek().kind() == Kind.OP && peek().text().equals(op);
    }

    private boolean accept(String op) {
        if (isOp(op)) {
            at++;
            return true;
        }
        return false;
    }

    private boolean acceptName(String name) {
        if (peek().kind() == Kind.NAME && peek().text().equals(name)) {
            at++;
            return true;
        }
        return false;
    }

    private String name() {
        Token token = next();
        if (token.kind() != Kind.NAME) {
            throw error(token, "a name is missing");
        }
        return token.text();
    }

    private void expectOp(String op) {
        if (!accept(op)) {
            throw error("'" + op + "' is missing");
        }
    }

    private void expect(Kind kind, String what) {
        if (peek().kind() != kind) {
            throw error("'" + what + "' is missing");
        }
        at++;
    }

    private ChatTemplateException error(String what) {
        return error(peek(), what);
    }

    private static ChatTemplateException error(Token where, String what) {
        return new ChatTemplateException("line " + where.line() + ": " + what, where.line(), false);
    }
}
