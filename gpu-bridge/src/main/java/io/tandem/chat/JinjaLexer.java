package io.tandem.chat;

import java.util.ArrayList;
import java.util.List;

/**
 * Cuts a template into text and tags, with the white-space rules that models' templates are written for: a newline after a
 * tag goes, and so do blanks before a tag at the start of a line.
 */
final class JinjaLexer {
    enum Kind {
        TEXT,
        OUTPUT_BEGIN,
        OUTPUT_END,
        TAG_BEGIN,
        TAG_END,
        NAME,
        NUMBER,
        STRING,
        OP,
        END
    }

    record Token(Kind kind, String text, int line) {}

    private static final String[] OPS = {
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}",
        ",", ".", ":", "|"
    };

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private int at;
    private int line = 1;
    private boolean trimNext;
    private boolean dropNewline;

    private JinjaLexer(String source) {
        this.source = source;
    }

    static List<Token> lex(String template) {
        String text = template.replace("\r\n", "\n");
        // As jinja2 does: one newline at the very end is not output.
        JinjaLexer lexer = new JinjaLexer(text.endsWith("\n") ? text.substring(0, text.length() - 1) : text);
        lexer.run();
        return lexer.tokens;
    }

    private void run() {
        while (at < source.length()) {
            int tag = nextTag();
            text(tag);
            if (tag < source.length()) {
                tag();
            }
        }
        tokens.add(new Token(Kind.END, "", line));
    }

    private int nextTag() {
        for (int i = at; i + 1 < source.length(); i++) {
            if (source.charAt(i) == '{' && "{%#".indexOf(source.charAt(i + 1)) >= 0) {
                return i;
            }
        }
        return source.length();
    }

    private void text(int end) {
        String text = source.substring(at, end);
        int newlines = (int) text.chars().filter(c -> c == '\n').count();
        String shown = text;
        if (trimNext) {
            shown = shown.stripLeading();
        } else if (dropNewline && shown.startsWith("\n")) {
            shown = shown.substring(1);
        }
        if (end < source.length()) {
            char mode = end + 2 < source.length() ? source.charAt(end + 2) : ' ';
            if (mode == '-') {
                shown = shown.stripTrailing();
            } else if (mode != '+' && source.charAt(end + 1) != '{') {
                shown = withoutIndent(shown, text, end);
            }
        }
        if (!shown.isEmpty()) {
            tokens.add(new Token(Kind.TEXT, shown, line));
        }
        line += newlines;
        at = end;
        trimNext = false;
        dropNewline = false;
    }

    /** Blanks between the start of the line and a tag go. */
    private String withoutIndent(String shown, String text, int end) {
        int newline = shown.lastIndexOf('\n');
        String indent = shown.substring(newline + 1);
        boolean startsLine = newline >= 0
                || end - text.length() == 0
                || source.charAt(end - text.length() - 1) == '\n'
                || text.indexOf('\n') >= 0;
        return startsLine && indent.isBlank() ? shown.substring(0, newline + 1) : shown;
    }

    private void tag() {
        char kind = source.charAt(at + 1);
        if (kind == '#') {
            comment();
            return;
        }
        boolean output = kind == '{';
        tokens.add(new Token(output ? Kind.OUTPUT_BEGIN : Kind.TAG_BEGIN, "", line));
        at += 2;
        if (at < source.length() && (source.charAt(at) == '-' || source.charAt(at) == '+')) {
            at++;
        }
        inside(output ? "}}" : "%}", output ? Kind.OUTPUT_END : Kind.TAG_END);
        dropNewline = !output && !trimNext && source.charAt(at - 3) != '+';
    }

    private void comment() {
        int end = source.indexOf("#}", at + 2);
        if (end < 0) {
            throw error("a comment does not end");
        }
        line += (int) source.substring(at, end).chars().filter(c -> c == '\n').count();
        trimNext = source.charAt(end - 1) == '-' && end - 1 > at + 1;
        dropNewline = !trimNext;
        at = end + 2;
    }

    private void inside(String close, Kind closeKind) {
        int depth = 0;
        while (true) {
            skipBlanks();
            if (at >= source.length()) {
                throw error("a tag does not end");
            }
            if (depth == 0 && closes(close, closeKind)) {
                return;
            }
            char c = source.charAt(at);
            if (c == '"' || c == '\'') {
                string(c);
            } else if (Character.isDigit(c)) {
                number();
            } else if (Character.isJavaIdentifierStart(c)) {
                int start = at;
                while (at < source.length() && Character.isJavaIdentifierPart(source.charAt(at))) {
                    at++;
                }
                tokens.add(new Token(Kind.NAME, source.substring(start, at), line));
            } else {
                String op = op();
                depth += "([{".contains(op) ? 1 : ")]}".contains(op) ? -1 : 0;
            }
        }
    }

    private boolean closes(String close, Kind kind) {
        boolean trim = source.charAt(at) == '-' && source.startsWith(close, at + 1);
        boolean keep = source.charAt(at) == '+' && source.startsWith(close, at + 1);
        if (!trim && !keep && !source.startsWith(close, at)) {
            return false;
        }
        tokens.add(new Token(kind, "", line));
        at += close.length() + (trim || keep ? 1 : 0);
        trimNext = trim;
        return true;
    }

    private void skipBlanks() {
        while (at < source.length() && Character.isWhitespace(source.charAt(at))) {
            if (source.charAt(at) == '\n') {
                line++;
            }
            at++;
        }
    }

    private void string(char quote) {
        StringBuilder text = new StringBuilder();
        int start = line;
        for (at++; ; at++) {
            if (at >= source.length()) {
                throw error("a string does not end");
            }
            char c = source.charAt(at);
            if (c == quote) {
                at++;
                tokens.add(new Token(Kind.STRING, text.toString(), start));
                return;
            }
            if (c == '\n') {
                line++;
            }
            if (c == '\\' && at + 1 < source.length()) {
                at++;
                escape(text);
            } else {
                text.append(c);
            }
        }
    }

    private void escape(StringBuilder text) {
        char c = source.charAt(at);
        switch (c) {
            case 'n' -> text.append('\n');
            case 't' -> text.append('\t');
            case 'r' -> text.append('\r');
            case 'b' -> text.append('\b');
            case 'f' -> text.append('\f');
            case '\\', '\'', '"' -> text.append(c);
            case 'u' -> hex(text, 4);
            case 'x' -> hex(text, 2);
            default -> text.append('\\').append(c);
        }
    }

    private void hex(StringBuilder text, int digits) {
        try {
            text.append((char) Integer.parseInt(source.substring(at + 1, at + 1 + digits), 16));
            at += digits;
        } catch (NumberFormatException | IndexOutOfBoundsException e) {
            throw error("an escape in a string is not hexadecimal");
        }
    }

    private void number() {
        int start = at;
        while (at < source.length() && (Character.isDigit(source.charAt(at)) || source.charAt(at) == '_')) {
            at++;
        }
        if (at + 1 < source.length() && source.charAt(at) == '.' && Character.isDigit(source.charAt(at + 1))) {
            at++;
            while (at < source.length() && Character.isDigit(source.charAt(at))) {
                at++;
            }
        }
        tokens.add(new Token(Kind.NUMBER, source.substring(start, at).replace("_", ""), line));
    }

    private String op() {
        for (String op : OPS) {
            if (source.startsWith(op, at)) {
                tokens.add(new Token(Kind.OP, op, line));
                at += op.length();
                return op;
            }
        }
        throw error("'" + source.charAt(at) + "' is not understood");
    }

    private ChatTemplateException error(String what) {
        return new ChatTemplateException("line " + line + ": " + what, line, false);
    }
}
