package io.tandem.kvcache;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HexFormat;
import java.util.Objects;

/**
 * XXH3-64 (xxHash 0.8 specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) over tokens as
 * little-endian 32-bit words, and the chained sequence hash that KV-aware routers agree on: {@code seq[0] = local[0]},
 * {@code seq[i] = XXH3-64(seq[i-1] || local[i])}. Fast, and not safe against an attacker: it names blocks where a collision
 * costs a worse route at most. What decides whether KV is shared is {@link BlockHash}.
 */
public final class Xxh3 {
    /** The seed that routers use for block hashes. */
    public static final long BLOCK_SEED = 1337;

    private static final long PRIME32_1 = 0x9E3779B1L;
    private static final long PRIME32_2 = 0x85EBCA77L;
    private static final long PRIME32_3 = 0xC2B2AE3DL;
    private static final long PRIME64_1 = 0x9E3779B185EBCA87L;
    private static final long PRIME64_2 = 0xC2B2AE3D27D4EB4FL;
    private static final long PRIME64_3 = 0x165667B19E3779F9L;
    private static final long PRIME64_4 = 0x85EBCA77C2B2AE63L;
    private static final long PRIME64_5 = 0x27D4EB2F165667C5L;
    private static final long PRIME_MX1 = 0x165667919E3779F9L;

    /** The specification's default secret, 192 bytes. */
    private static final byte[] SECRET = HexFormat.of()
            .parseHex("b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
                    + "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8"
                    + "fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb17"
                    + "0ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e");

    /** Two tokens; a prompt is read through a segment because an int array gives only one at a time. */
    private static final ValueLayout.OfLong WORD = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private static final int STRIPE_BYTES = 64;
    private static final int STRIPES_PER_BLOCK = 16;

    private final long seed;

    /** Secret words at multiples of 8 bytes, plus and minus the seed, for inputs of 17 to 128 bytes. */
    private final long[] mixing = new long[16];

    private final long chainLow;
    private final long chainHigh;

    /** For inputs above 240 bytes: the seeded secret's words at byte offsets 0, 8, .., 184. */
    private final long[] stripe = new long[24];

    /** The seeded secret's words from byte 121 (last stripe) and from byte 11 (merge). */
    private final long[] last = new long[8];

    private final long[] merge = new long[8];

    public Xxh3(long seed) {
        this.seed = seed;
        for (int i = 0; i < 16; i++) {
            mixing[i] = word(SECRET, 8 * i) + (i % 2 == 0 ? seed : -seed);
        }
        chainLow = (word(SECRET, 24) ^ word(SECRET, 32)) + seed;
        chainHigh = (word(SECRET, 40) ^ word(SECRET, 48)) - seed;
        byte[] seeded = new byte[192];
        for (int i = 0; i < 24; i++) {
            putWord(seeded, 8 * i, word(SECRET, 8 * i) + (i % 2 == 0 ? seed : -seed));
        }
        for (int i = 0; i < 24; i++) {
            stripe[i] = word(seeded, 8 * i);
        }
        for (int i = 0; i < 8; i++) {
            last[i] = word(seeded, 192 - 64 - 7 + 8 * i);
            merge[i] = word(seeded, 11 + 8 * i);
        }
    }

    /** The hash of {@code tokens[from..from+count)}; {@code count} a multiple of 4, at least 8. */
    public long tokens(int[] tokens, int from, int count) {
        Objects.checkFromIndexSize(from, count, tokens.length);
        checkLength(count);
        return hash(MemorySegment.ofArray(tokens), 4L * from, 4 * count);
    }

    private static void checkLength(int count) {
        if (count < 8 || count % 4 != 0) {
            throw new IllegalArgumentException("a block must have a multiple of 4 tokens and at least 8, not " + count);
        }
    }

    private long hash(MemorySegment tokens, long at, int bytes) {
        if (bytes == 64) {
            return of64(tokens, at);
        }
        if (bytes <= 128) {
            return upTo128(tokens, at, bytes);
        }
        return bytes <= 240 ? upTo240(tokens, at, bytes) : above240(tokens, at, bytes);
    }

    /** The sequence hash of a block from that of the block before it and its own. */
    public long chain(long previous, long local) {
        long low = previous ^ chainLow;
        long high = local ^ chainHigh;
        return avalanche(16 + Long.reverseBytes(low) + high + fold(low, high));
    }

    /** The sequence hashes of consecutive blocks from their own hashes. */
    public void chain(long[] locals, int count, long[] hashes) {
        Objects.checkFromIndexSize(0, count, locals.length);
        Objects.checkFromIndexSize(0, count, hashes.length);
        long hash = 0;
        for (int i = 0; i < count; i++) {
            hash = i == 0 ? locals[0] : chain(hash, locals[i]);
            hashes[i] = hash;
        }
    }

    /** The sequence hashes of all whole blocks of a prompt; answers how many there are. */
    public int sequence(int[] tokens, int count, int blockTokens, long[] hashes) {
        return sequence(tokens, 0, count, blockTokens, hashes);
    }

    /** The sequence hashes of all whole blocks of the prompt {@code tokens[from..from+count)}; answers how many there are. */
    public int sequence(int[] tokens, int from, int count, int blockTokens, long[] hashes) {
        Objects.checkFromIndexSize(from, count, tokens.length);
        checkLength(blockTokens);
        int blocks = count / blockTokens;
        Objects.checkFromIndexSize(0, blocks, hashes.length);
        MemorySegment segment = MemorySegment.ofArray(tokens);
        int bytes = 4 * blockTokens;
        long at = 4L * from;
        long hash = 0;
        for (int b = 0; b < blocks; b++, at += bytes) {
            long local = hash(segment, at, bytes);
            hash = b == 0 ? local : chain(hash, local);
            hashes[b] = hash;
        }
        return blocks;
    }

    /** A block of 16 tokens, without a branch. */
    private long of64(MemorySegment t, long at) {
        long[] m = mixing;
        return avalanche((PRIME64_1 << 6) // 64 bytes
                + fold(word(t, at) ^ m[0], word(t, at + 8) ^ m[1])
                + fold(word(t, at + 16) ^ m[4], word(t, at + 24) ^ m[5])
                + fold(word(t, at + 32) ^ m[6], word(t, at + 40) ^ m[7])
                + fold(word(t, at + 48) ^ m[2], word(t, at + 56) ^ m[3]));
    }

    private long upTo128(MemorySegment t, long at, int bytes) {
        long sum = bytes * PRIME64_1;
        long end = at + bytes;
        if (bytes > 32) {
            if (bytes > 64) {
                if (bytes > 96) {
                    sum += mix(t, at + 48, 12) + mix(t, end - 64, 14);
                }
                sum += mix(t, at + 32, 8) + mix(t, end - 48, 10);
            }
            sum += mix(t, at + 16, 4) + mix(t, end - 32, 6);
        }
        return avalanche(sum + mix(t, at, 0) + mix(t, end - 16, 2));
    }

    private long mix(MemorySegment t, long at, int secretWord) {
        return fold(word(t, at) ^ mixing[secretWord], word(t, at + 8) ^ mixing[secretWord + 1]);
    }

    private long upTo240(MemorySegment t, long at, int bytes) {
        long sum = bytes * PRIME64_1;
        for (int i = 0; i < 8; i++) {
            sum += mix(t, at + 16 * i, 2 * i);
        }
        sum = avalanche(sum);
        for (int i = 8; i < bytes / 16; i++) {
            sum += mixAt(t, at + 16 * i, 16 * (i - 8) + 3);
        }
        return avalanche(sum + mixAt(t, at + bytes - 16, 136 - 17));
    }

    private long mixAt(MemorySegment t, long at, int secretByte) {
        return fold(
                word(t, at) ^ (word(SECRET, secretByte) + seed),
                word(t, at + 8) ^ (word(SECRET, secretByte + 8) - seed));
    }

    /** Eight sums, kept in variables so that they stay in registers. */
    private long above240(MemorySegment t, long at, int bytes) {
        long a0 = PRIME32_3;
        long a1 = PRIME64_1;
        long a2 = PRIME64_2;
        long a3 = PRIME64_3;
        long a4 = PRIME64_4;
        long a5 = PRIME32_2;
        long a6 = PRIME64_5;
        long a7 = PRIME32_1;
        int stripes = (bytes - 1) / STRIPE_BYTES;
        for (int s = 0; s <= stripes; s++) {
            boolean end = s == stripes;
            long[] secret = end ? last : stripe;
            int k = end ? 0 : s % STRIPES_PER_BLOCK;
            long w = end ? at + bytes - STRIPE_BYTES : at + (long) STRIPE_BYTES * s;
            a0 += word(t, w + 8) + product(word(t, w) ^ secret[k]);
            a1 += word(t, w) + product(word(t, w + 8) ^ secret[k + 1]);
            a2 += word(t, w + 24) + product(word(t, w + 16) ^ secret[k + 2]);
            a3 += word(t, w + 16) + product(word(t, w + 24) ^ secret[k + 3]);
            a4 += word(t, w + 40) + product(word(t, w + 32) ^ secret[k + 4]);
            a5 += word(t, w + 32) + product(word(t, w + 40) ^ secret[k + 5]);
            a6 += word(t, w + 56) + product(word(t, w + 48) ^ secret[k + 6]);
            a7 += word(t, w + 48) + product(word(t, w + 56) ^ secret[k + 7]);
            if (k == STRIPES_PER_BLOCK - 1) {
                a0 = scramble(a0, stripe[16]);
                a1 = scramble(a1, stripe[17]);
                a2 = scramble(a2, stripe[18]);
                a3 = scramble(a3, stripe[19]);
                a4 = scramble(a4, stripe[20]);
                a5 = scramble(a5, stripe[21]);
                a6 = scramble(a6, stripe[22]);
                a7 = scramble(a7, stripe[23]);
            }
        }
        return avalanche(bytes * PRIME64_1
                + fold(a0 ^ merge[0], a1 ^ merge[1])
                + fold(a2 ^ merge[2], a3 ^ merge[3])
                + fold(a4 ^ merge[4], a5 ^ merge[5])
                + fold(a6 ^ merge[6], a7 ^ merge[7]));
    }

    private static long product(long key) {
        return (key & 0xFFFF_FFFFL) * (key >>> 32);
    }

    private static long scramble(long sum, long secret) {
        return (sum ^ (sum >>> 47) ^ secret) * PRIME32_1;
    }

    private static long fold(long x, long y) {
        return x * y ^ Math.unsignedMultiplyHigh(x, y);
    }

    private static long avalanche(long h) {
        long x = (h ^ (h >>> 37)) * PRIME_MX1;
        return x ^ (x >>> 32);
    }

    private static long word(MemorySegment t, long at) {
        return t.get(WORD, at);
    }

    private static long word(byte[] bytes, int at) {
        long word = 0;
        for (int i = 7; i >= 0; i--) {
            word = (word << 8) | (bytes[at + i] & 0xFF);
        }
        return word;
    }

    private static void putWord(byte[] bytes, int at, long word) {
        for (int i = 0; i < 8; i++) {
            bytes[at + i] = (byte) (word >>> (8 * i));
        }
    }
}
