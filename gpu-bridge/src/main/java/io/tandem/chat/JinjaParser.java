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
    private final JinjaTokens t;
    private final JinjaExpressions expressions;

    private JinjaParser(List<Token> tokens) {
        t = new JinjaTokens(tokens);
        expressions = new JinjaExpressions(t);
    }

    static List<Stmt> parse(String template) {
        JinjaParser parser = new JinjaParser(JinjaLexer.lex(template));
        List<Stmt> body = parser.body(Set.of());
        if (parser.t.peek().kind() != Kind.END) {
            throw parser.t.error("an end without its beginning");
        }
        return body;
    }

    private List<Stmt> body(Set<String> ends) {
        List<Stmt> body = new ArrayList<>();
        t.deeper();
        while (t.peek().kind() != Kind.END) {
            Token token = t.next();
            switch (token.kind()) {
                case TEXT -> body.add(new JinjaNode.Text(token.text()));
                case OUTPUT_BEGIN -> {
                    body.add(new JinjaNode.Output(expressions.tuple(), token.line()));
                    t.expect(Kind.OUTPUT_END, "}}");
                }
                case TAG_BEGIN -> {
                    if (ends.contains(t.peek().text())) {
                        t.back();
                        t.shallower();
                        return body;
                    }
                    body.add(statement());
                }
                default -> throw t.error("'" + token.text() + "' is out of place");
            }
        }
        t.shallower();
        return body;
    }

    private Stmt statement() {
        Token name = t.next();
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
                throw t.error(name, "the statement '" + name.text() + "' is not supported");
        }
    }

    private Stmt ifStatement() {
        List<Expr> tests = new ArrayList<>();
        List<List<Stmt>> bodies = new ArrayList<>();
        Set<String> ends = Set.of("elif", "else", "endif");
        tests.add(expressions.expr());
        endTag();
        bodies.add(body(ends));
        while (true) {
            t.expect(Kind.TAG_BEGIN, "endif");
            String end = t.next().text();
            if (end.equals("elif")) {
                tests.add(expressions.expr());
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
        boolean parenthesis = t.accept("(");
        do {
            targets.add(t.name());
        } while (t.accept(","));
        if (parenthesis) {
            t.expectOp(")");
        }
        if (!t.acceptName("in")) {
            throw t.error("'for' wants 'in'");
        }
        Expr over = expressions.or();
        if (t.peek().text().equals(",")) {
            List<Expr> items = new ArrayList<>(List.of(over));
            while (t.accept(",")) {
                items.add(expressions.or());
            }
            over = new JinjaNode.ListOf(items);
        }
        Expr filter = t.acceptName("if") ? expressions.expr() : null;
        if (t.acceptName("recursive")) {
            throw t.error("'recursive' loops are not supported");
        }
        endTag();
        List<Stmt> body = body(Set.of("else", "endfor"));
        t.expect(Kind.TAG_BEGIN, "endfor");
        List<Stmt> orElse = List.of();
        if (t.next().text().equals("else")) {
            endTag();
            orElse = body(Set.of("endfor"));
            t.expect(Kind.TAG_BEGIN, "endfor");
            t.next();
        }
        endTag();
        return new JinjaNode.For(targets, over, filter, body, orElse, line);
    }

    private Stmt setStatement(int line) {
        List<Expr> targets = new ArrayList<>();
        do {
            Token name = t.next();
            Expr target = new JinjaNode.Name(name.text(), name.line());
            targets.add(t.accept(".") ? new JinjaNode.Attr(target, t.name(), line) : target);
        } while (t.accept(","));
        if (t.accept("=")) {
            Expr value = expressions.tuple();
            endTag();
            return new JinjaNode.SetVar(targets, value, line);
        }
        endTag();
        if (targets.size() != 1 || !(targets.getFirst() instanceof JinjaNode.Name name)) {
            throw t.error("'set' without '=' takes one name");
        }
        List<Stmt> body = body(Set.of("endset"));
        closing("endset");
        return new JinjaNode.SetBlock(name.name(), body);
    }

    private Stmt macro() {
        String name = t.name();
        List<String> params = new ArrayList<>();
        List<Expr> defaults = new ArrayList<>();
        t.expectOp("(");
        while (!t.accept(")")) {
            params.add(t.name());
            defaults.add(t.accept("=") ? expressions.expr() : null);
            if (!t.accept(",") && !t.peek().text().equals(")")) {
                throw t.error("a macro's parameters want ',' or ')'");
            }
        }
        endTag();
        List<Stmt> body = body(Set.of("endmacro"));
        closing("endmacro");
        return new JinjaNode.Macro(name, params, defaults, body);
    }

    private void closing(String end) {
        t.expect(Kind.TAG_BEGIN, end);
        t.next();
        endTag();
    }

    private void endTag() {
        // "{% endmacro name %}" repeats the name.
        if (t.peek().kind() == Kind.NAME && t.before().text().startsWith("end")) {
            t.next();
        }
        t.expect(Kind.TAG_END, "%}");
    }
}
