package io.tandem.tokenizer;

import java.util.function.Supplier;

/** A tokenizer that is read at its first use: a node that only computes never needs one. */
public final class DeferredTokenizer implements Tokenizer {
    private final Supplier<Tokenizer> source;
    private volatile Tokenizer read;

    /** @param source reads it; called once, unless it throws */
    public DeferredTokenizer(Supplier<Tokenizer> source) {
        this.source = source;
    }

    private Tokenizer tokenizer() {
        Tokenizer known = read;
        if (known != null) {
            return known;
        }
        synchronized (source) {
            if (read == null) {
                read = source.get();
            }
            return read;
        }
    }

    @Override
    public int vocabSize() {
        return tokenizer().vocabSize();
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        return tokenizer().encode(text, addSpecial, parseSpecial);
    }

    @Override
    public String decode(int[] ids) {
        return tokenizer().decode(ids);
    }

    @Override
    public byte[] tokenBytes(int id, boolean special) {
        return tokenizer().tokenBytes(id, special);
    }

    @Override
    public int specialTokenId(String text) {
        return tokenizer().specialTokenId(text);
    }

    @Override
    public boolean isSpecial(int id) {
        return tokenizer().isSpecial(id);
    }

    @Override
    public IncrementalDetokenizer newDetokenizer(boolean renderSpecial) {
        return tokenizer().newDetokenizer(renderSpecial);
    }
}
