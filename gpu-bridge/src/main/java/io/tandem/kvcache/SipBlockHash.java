package io.tandem.kvcache;

import java.nio.charset.StandardCharsets;

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

    /** A block's tokens, three a word. */
    private final long[] packing;

    /** After the words so far. */
    private final State state = new State();

    private int words;

    /** Four words; copied into one that no one else sees, the compiler keeps them in registers. */
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
            rounds(2);
            v0 ^= m;
        }

        void rounds(int count) {
            for (int i = 0; i < count; i++) {
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
        }

        long folded() {
            return v0 ^ v1 ^ v2 ^ v3;
        }
    }

    SipBlockHash(BlockHashKey key, String modelFingerprint, int blockTokens) {
        key0 = key.first();
        key1 = key.second();
        this.blockTokens = blockTokens;
        packing = new long[(blockTokens + 2) / 3];
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
        finish((long) message.length << 56 | word(message, 8 * whole, message.length % 8));
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
        if (fits(tokens, from)) {
            pack(tokens, from);
        } else {
            copy(tokens, from);
        }
        finish((long) words << 59); // bytes so far, the highest byte of the last word
    }

    private boolean fits(int[] tokens, int from) {
        int bits = 0;
        for (int i = 0; i < blockTokens; i++) {
            bits |= tokens[from + i];
        }
        return bits >>> TOKEN_BITS == 0;
    }

    /** The loop of all that is hashed: two rounds written out on local variables, an eighth faster than through {@link State}. */
    private void pack(int[] tokens, int from) {
        long[] packed = packing;
        int last = packed.length - 1;
        int i = from;
        for (int w = 0; w < last; w++, i += 3) {
            packed[w] = tokens[i] | (long) tokens[i + 1] << TOKEN_BITS | (long) tokens[i + 2] << 2 * TOKEN_BITS;
        }
        packed[last] = rest(tokens, i, from + blockTokens);
        long a = state.v0;
        long b = state.v1;
        long c = state.v2;
        long d = state.v3;
        for (long m : packed) {
            d ^= m;
            a += b;
            c += d;
            b = Long.rotateLeft(b, 13) ^ a;
            d = Long.rotateLeft(d, 16) ^ c;
            a = Long.rotateLeft(a, 32) + d;
            c += b;
            b = Long.rotateLeft(b, 17) ^ c;
            d = Long.rotateLeft(d, 21) ^ a;
            c = Long.rotateLeft(c, 32);
            a += b;
            c += d;
            b = Long.rotateLeft(b, 13) ^ a;
            d = Long.rotateLeft(d, 16) ^ c;
            a = Long.rotateLeft(a, 32) + d;
            c += b;
            b = Long.rotateLeft(b, 17) ^ c;
            d = Long.rotateLeft(d, 21) ^ a;
            c = Long.rotateLeft(c, 32);
            a ^= m;
        }
        state.v0 = a;
        state.v1 = b;
        state.v2 = c;
        state.v3 = d;
        words += packed.length;
    }

    /** One to three tokens. */
    private static long rest(int[] tokens, int from, int end) {
        long word = tokens[from];
        for (int i = from + 1; i < end; i++) {
            word |= (long) tokens[i] << (i - from) * TOKEN_BITS;
        }
        return word;
    }

    private void copy(int[] tokens, int from) {
        int end = from + blockTokens;
        for (int i = from; i < end; i += 2) {
            absorb(tokens[i] | (i + 1 < end ? (long) tokens[i + 1] << 32 : 0) | WIDE);
        }
    }

    private void absorb(long m) {
        state.absorb(m);
        words++;
    }

    /** The result after a last word; the state stays as it is before it. */
    private void finish(long m) {
        State end = new State();
        end.set(state);
        end.absorb(m);
        end.v2 ^= 0xee;
        end.rounds(4);
        high = end.folded();
        end.v1 ^= 0xdd;
        end.rounds(4);
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
