package io.tandem.kvcache;

import java.nio.charset.StandardCharsets;
import java.util.Objects;

/**
 * {@link BlockHash} by SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the 128-bit
 * output is that of its reference implementation), a pseudo-random function: who does not know the key cannot find two inputs of one
 * output. The name of a block is the hash of all that leads to it: model, salt and every token up to its end; so the state of the
 * hash goes from block to block, and only the name needs the finalization.
 *
 * <p>Three tokens share a word, 21 bits each; a block with a token of more bits goes in as two a word, with the word's highest bit
 * set, so the two forms cannot be confused.
 */
final class SipBlockHash extends BlockHash {
    private static final int TOKEN_BITS = 21;
    private static final long WIDE = 1L << 63;

    private final long key0;
    private final long key1;
    private final int blockTokens;

    /** After the words so far. */
    private final State state = new State();

    private int words;

    /** Four words. In one that no one else sees, the compiler keeps them in registers: a quarter faster than in the field. */
    private static final class State {
        long v0;
        long v1;
        long v2;
        long v3;

        void set(State other) {
            v0 = other.v0;
            v1 = other.v1;
            v2 = other.v2;
            v3 = other.v3;
        }

        void absorb(long m) {
            v3 ^= m;
            round();
            round();
            v0 ^= m;
        }

        void fourRounds() {
            round();
            round();
            round();
            round();
        }

        private void round() {
            v0 += v1;
            v2 += v3;
            v1 = Long.rotateLeft(v1, 13) ^ v0;
            v3 = Long.rotateLeft(v3, 16) ^ v2;
            v0 = Long.rotateLeft(v0, 32) + v3;
            v2 += v1;
            v1 = Long.rotateLeft(v1, 17) ^ v2;
            v3 = Long.rotateLeft(v3, 21) ^ v0;
            v2 = Long.rotateLeft(v2, 32);
        }

        long folded() {
            return v0 ^ v1 ^ v2 ^ v3;
        }
    }

    SipBlockHash(BlockHashKey key, String modelFingerprint, int blockTokens) {
        key0 = key.first();
        key1 = key.second();
        this.blockTokens = blockTokens;
        digest(modelFingerprint.getBytes(StandardCharsets.UTF_8));
        setRoot();
    }

    /** Hashes a message from the beginning. */
    void digest(byte[] message) {
        begin();
        int whole = message.length / 8;
        for (int i = 0; i < whole; i++) {
            absorb(word(message, 8 * i, 8));
        }
        finish(state, (long) message.length << 56 | word(message, 8 * whole, message.length % 8));
    }

    private static long word(byte[] message, int from, int bytes) {
        long word = 0;
        for (int i = 0; i < bytes; i++) {
            word |= (message[from + i] & 0xffL) << 8 * i;
        }
        return word;
    }

    private void begin() {
        state.v0 = 0x736f6d6570736575L ^ key0;
        state.v1 = 0x646f72616e646f6dL ^ key1 ^ 0xee;
        state.v2 = 0x6c7967656e657261L ^ key0;
        state.v3 = 0x7465646279746573L ^ key1;
        words = 0;
    }

    @Override
    void begin(long rootHigh, long rootLow) {
        begin();
        absorb(rootHigh);
        absorb(rootLow);
    }

    @Override
    public void next(int[] tokens, int from) {
        Objects.checkFromIndexSize(from, blockTokens, tokens.length);
        if (!narrow(tokens, from)) {
            wide(tokens, from);
        }
    }

    /** Three tokens a word; answers false and leaves all as it was if a token has too many bits. */
    private boolean narrow(int[] tokens, int from) {
        State next = new State();
        next.set(state);
        int end = from + blockTokens;
        int bits = 0;
        int i = from;
        for (; i < end - 2; i += 3) {
            int first = tokens[i];
            int second = tokens[i + 1];
            int third = tokens[i + 2];
            bits |= first | second | third;
            next.absorb(first | (long) second << TOKEN_BITS | (long) third << 2 * TOKEN_BITS);
        }
        if (i < end) {
            int first = tokens[i];
            int second = i + 1 < end ? tokens[i + 1] : 0;
            bits |= first | second;
            next.absorb(first | (long) second << TOKEN_BITS);
        }
        if (bits >>> TOKEN_BITS != 0) {
            return false;
        }
        words += (blockTokens + 2) / 3;
        state.set(next);
        finish(next, wholeWords());
        return true;
    }

    /** Two tokens a word. */
    private void wide(int[] tokens, int from) {
        int end = from + blockTokens;
        for (int i = from; i < end; i += 2) {
            absorb(tokens[i] | (i + 1 < end ? (long) tokens[i + 1] << 32 : 0) | WIDE);
        }
        finish(state, wholeWords());
    }

    /** The last word of a message of whole words: the highest byte of its length. */
    private long wholeWords() {
        return (long) words << 59;
    }

    private void absorb(long m) {
        state.absorb(m);
        words++;
    }

    /** The result after a last word; {@code from} stays as it is before it. */
    private void finish(State from, long m) {
        State end = new State();
        end.set(from);
        end.absorb(m);
        end.v2 ^= 0xee;
        end.fourRounds();
        high = end.folded();
        end.v1 ^= 0xdd;
        end.fourRounds();
        low = end.folded();
    }

    @Override
    void saveMore(long[] saved, int at) {
        saved[at] = state.v0;
        saved[at + 1] = state.v1;
        saved[at + 2] = state.v2;
        saved[at + 3] = state.v3;
        saved[at + 4] = words;
    }

    @Override
    void restoreMore(long[] saved, int at) {
        state.v0 = saved[at];
        state.v1 = saved[at + 1];
        state.v2 = saved[at + 2];
        state.v3 = saved[at + 3];
        words = (int) saved[at + 4];
    }
}
