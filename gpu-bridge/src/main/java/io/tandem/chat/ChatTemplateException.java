package io.tandem.chat;

/** A template that cannot be parsed, or that refuses a conversation. */
public class ChatTemplateException extends RuntimeException {
    private final int line;
    private final boolean raisedByTemplate;

    public ChatTemplateException(String message, int line, boolean raisedByTemplate) {
        super(message);
        this.line = line;
        this.raisedByTemplate = raisedByTemplate;
    }

    /** Line of the template, from 1; 0 when unknown. */
    public int line() {
        return line;
    }

    /** True when the template itself called {@code raise_exception}: the caller's messages are at fault. */
    public boolean raisedByTemplate() {
        return raisedByTemplate;
    }
}
