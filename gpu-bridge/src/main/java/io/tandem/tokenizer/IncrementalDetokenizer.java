package io.tandem.tokenizer;

/** Turns a stream of tokens into text piece by piece; not thread-safe. */
public interface IncrementalDetokenizer {

    /** Takes the next token and answers the text that is certain by now; may be empty while a character is incomplete. */
    String append(int tokenId);

    /** The end of the stream: what is left, an incomplete character as U+FFFD. */
    String finish();
}
