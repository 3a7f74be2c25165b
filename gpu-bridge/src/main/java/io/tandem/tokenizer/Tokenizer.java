package io.tandem.tokenizer;

/** Text to token ids and back. Immutable and safe for any thread. */
public interface Tokenizer {

    int vocabSize();

    /**
     * Encodes text.
     *
     * @param addSpecial put the begin (and end) tokens the model expects around the text
     * @param parseSpecial recognise the text of special tokens; false for anything a user wrote
     */
    int[] encode(String text, boolean addSpecial, boolean parseSpecial);

    /** Decodes ids; bytes that form no UTF-8 become U+FFFD. Special tokens are rendered as their text. */
    String decode(int[] ids);

    /** The bytes one token stands for; empty for control tokens unless {@code special} asks for their text. */
    byte[] tokenBytes(int id, boolean special);

    /** The id of a special token's text, or -1. */
    int specialTokenId(String text);

    /** True for control tokens (begin, end, roles), which are not text. */
    boolean isSpecial(int id);

    /** A decoder for one stream of tokens that never emits half a character. */
    IncrementalDetokenizer newDetokenizer(boolean renderSpecial);
}
