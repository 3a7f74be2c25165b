package io.tandem.chat;

import io.tandem.chat.JinjaLexer.Kind;
import io.tandem.chat.JinjaLexer.Token;
import java.util.List;

/** A template's tokens, read one after the other; and how deep the reader is in constructs within constructs. */
final class JinjaTokens {
    private static final int MAX_DEPTH = 200;

    private final List<Token> tokens;
    private int at;
    private int depth;

    JinjaTokens(List<Token> tokens) {
        this.tokens = tokens;
    }

    void deeper() {
        if (++depth > MAX_DEPTH) {
            throw error("nested too deeply");
        }
    }

    void shallower() {
        depth--;
    }

    Token before() {
        return tokens.get(at - 1);
    }

    /** The token behind the next one. */
    Token after() {
        return tokens.get(Math.min(at + 1, tokens.size() - 1));
    }

    void back() {
        at--;
    }

    Token peek() {
        return tokens.get(at);
    }

    Token next() {
        Token token = tokens.get(at);
        if (token.kind() != Kind.END) {
            at++;
        }
        return token;
    }

    int line() {
        return peek().line();
    }

    boolean isOp(String op) {
        return peek().kind() == Kind.OP && peek().text().equals(op);
    }

    boolean accept(String op) {
        if (isOp(op)) {
            at++;
            return true;
        }
        return false;
    }

    boolean acceptName(String name) {
        if (peek().kind() == Kind.NAME && peek().text().equals(name)) {
            at++;
            return true;
        }
        return false;
    }

    String name() {
        Token token = next();
        if (token.kind() != Kind.NAME) {
            throw error(token, "a name is missing");
        }
        return token.text();
    }

    void expectOp(String op) {
        if (!accept(op)) {
            throw error("'" + op + "' is missing");
        }
    }

    void expect(Kind kind, String what) {
        if (peek().kind() != kind) {
            throw error("'" + what + "' is missing");
        }
        at++;
    }

    ChatTemplateException error(String what) {
        return error(peek(), what);
    }

    ChatTemplateException error(Token where, String what) {
        return new ChatTemplateException("line " + where.line() + ": " + what, where.line(), false);
    }
}
