package io.tandem.kvcache;

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

    private static final int STRIPE_TOKENS = 16;
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
    private final long[] acc = new long[8];

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

    /** The hash of {@code tokens[from..from+count)}; {@code count} a multiple of 4, at least 8. Not thread-safe. */
    public long tokens(int[] tokens, int from, int count) {
        Objects.checkFromIndexSize(from, count, tokens.length);
        if (count < 8 || count % 4 != 0) {
            throw new IllegalArgumentException("a block must have a multiple of 4 tokens and at least 8, not " + count);
        }
        if (count <= 32) {
            return upTo128(tokens, from, count);
        }
        return count <= 60 ? upTo240(tokens, from, count) : above240(tokens, from, count);
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
        int blocks = count / blockTokens;
        if (blocks == 0) {
            return 0;
        }
        long hash = tokens(tokens, 0, blockTokens);
        hashes[0] = hash;
        for (int b = 1; b < blocks; b++) {
            hash = chain(hash, tokens(tokens, b * blockTokens, blockTokens));
            hashes[b] = hash;
        }
        return blocks;
    }

    private long upTo128(int[] t, int at, int count) {
        long sum = 4L * count * PRIME64_1;
        int end = at + count;
        if (count > 8) {
            if (count > 16) {
                if (count > 24) {
                    sum += mix(t, at + 12, 12) + mix(t, end - 16, 14);
                }
                sum += mix(t, at + 8, 8) + mix(t, end - 12, 10);
            }
            sum += mix(t, at + 4, 4) + mix(t, end - 8, 6);
        }
        return avalanche(sum + mix(t, at, 0) + mix(t, end - 4, 2));
    }

    private long mix(int[] t, int at, int secretWord) {
        return fold(pair(t, at) ^ mixing[secretWord], pair(t, at + 2) ^ mixing[secretWord + 1]);
    }

    private long upTo240(int[] t, int at, int count) {
        long sum = 4L * count * PRIME64_1;
        for (int i = 0; i < 8; i++) {
            sum += mix(t, at + 4 * i, 2 * i);
        }
        sum = avalanche(sum);
        for (int i = 8; i < count / 4; i++) {
            sum += mixAt(t, at + 4 * i, 16 * (i - 8) + 3);
        }
        return avalanche(sum + mixAt(t, at + count - 4, 136 - 17));
    }

    private long mixAt(int[] t, int at, int secretByte) {
        return fold(
                pair(t, at) ^ (word(SECRET, secretByte) + seed),
                pair(t, at + 2) ^ (word(SECRET, secretByte + 8) - seed));
    }

    private long above240(int[] t, int at, int count) {
        long[] a = acc;
        a[0] = PRIME32_3;
        a[1] = PRIME64_1;
        a[2] = PRIME64_2;
        a[3] = PRIME64_3;
        a[4] = PRIME64_4;
        a[5] = PRIME32_2;
        a[6] = PRIME64_5;
        a[7] = PRIME32_1;
        int stripes = (4 * count - 1) / 64;
        for (int s = 0; s < stripes; s++) {
            accumulate(a, t, at + STRIPE_TOKENS * s, stripe, s % STRIPES_PER_BLOCK);
            if (s % STRIPES_PER_BLOCK == STRIPES_PER_BLOCK - 1) {
                scramble(a);
            }
        }
        accumulate(a, t, at + count - STRIPE_TOKENS, last, 0);
        long sum = 4L * count * PRIME64_1;
        for (int i = 0; i < 8; i += 2) {
            sum += fold(a[i] ^ merge[i], a[i + 1] ^ merge[i + 1]);
        }
        return avalanche(sum);
    }

    private static void accumulate(long[] a, int[] t, int at, long[] secret, int from) {
        for (int i = 0; i < 8; i += 2) {
            long even = pair(t, at + 2 * i);
            long odd = pair(t, at + 2 * i + 2);
            long evenKey = even ^ secret[from + i];
            long oddKey = odd ^ secret[from + i + 1];
            a[i] += odd + (evenKey & 0xFFFF_FFFFL) * (evenKey >>> 32);
            a[i + 1] += even + (oddKey & 0xFFFF_FFFFL) * (oddKey >>> 32);
        }
    }

    private void scramble(long[] a) {
        for (int i = 0; i < 8; i++) {
            a[i] = (a[i] ^ (a[i] >>> 47) ^ stripe[16 + i]) * PRIME32_1;
        }
    }

    private static long fold(long x, long y) {
        return x * y ^ Math.unsignedMultiplyHigh(x, y);
    }

    private static long avalanche(long h) {
        long x = (h ^ (h >>> 37)) * PRIME_MX1;
        return x ^ (x >>> 32);
    }

    private static long pair(int[] t, int at) {
        return (t[at] & 0xFFFF_FFFFL) | ((long) t[at + 1] << 32);
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
