package io.tandem.chat;

import java.util.List;

/** The syntax tree of a template. */
sealed interface JinjaNode {

    /** A statement. */
    sealed interface Stmt extends JinjaNode {}

    record Text(String text) implements Stmt {}

    record Output(Expr value, int line) implements Stmt {}

    record If(List<Expr> tests, List<List<Stmt>> bodies, List<Stmt> orElse) implements Stmt {}

    record For(List<String> targets, Expr over, Expr filter, List<Stmt> body, List<Stmt> orElse, int line)
            implements Stmt {}

    /** Targets are names, or one {@link Attr} on a namespace. */
    record SetVar(List<Expr> targets, Expr value, int line) implements Stmt {}

    record SetBlock(String target, List<Stmt> body) implements Stmt {}

    record Macro(String name, List<String> params, List<Expr> defaults, List<Stmt> body) implements Stmt {}

    record Break() implements Stmt {}

    record Continue() implements Stmt {}

    /** A body that stands for itself ({@code generation}). */
    record Block(List<Stmt> body) implements Stmt {}

    /** An expression. */
    sealed interface Expr extends JinjaNode {}

    record Const(Object value) implements Expr {}

    record Name(String name, int line) implements Expr {}

    record ListOf(List<Expr> items) implements Expr {}

    record DictOf(List<Expr> keys, List<Expr> values) implements Expr {}

    record Attr(Expr target, String name, int line) implements Expr {}

    record Item(Expr target, Expr index, int line) implements Expr {}

    record Slice(Expr target, Expr from, Expr to, Expr step, int line) implements Expr {}

    record Call(Expr target, List<Expr> args, List<String> names, List<Expr> named, int line) implements Expr {}

    record Filter(Expr target, String name, List<Expr> args, List<String> names, List<Expr> named, int line)
            implements Expr {}

    record Test(Expr target, String name, List<Expr> args, boolean negated, int line) implements Expr {}

    record Unary(String op, Expr value, int line) implements Expr {}

    record Binary(String op, Expr left, Expr right, int line) implements Expr {}

    record Conditional(Expr test, Expr then, Expr orElse) implements Expr {}
}
