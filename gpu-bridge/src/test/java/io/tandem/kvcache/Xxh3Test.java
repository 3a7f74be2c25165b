package io.tandem.kvcache;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Vectors made with the crate xxhash-rust 0.8.21, seed 1337, over the tokens 0, 1, 2, and so on. */
class Xxh3Test {
    private final Xxh3 xxh3 = new Xxh3(Xxh3.BLOCK_SEED);
    private final int[] tokens = IntStream.range(0, 512).toArray();

    @Test
    void localHashesOf16Tokens() {
        assertEquals(Long.parseUnsignedLong("15310707395893867146"), xxh3.tokens(tokens, 0, 16));
        assertEquals(Long.parseUnsignedLong("15292316782987903195"), xxh3.tokens(tokens, 16, 16));
        assertEquals(Long.parseUnsignedLong("5532946206955930018"), xxh3.tokens(tokens, 32, 16));
        assertEquals(Long.parseUnsignedLong("14928757266181269122"), xxh3.tokens(tokens, 48, 16));
    }

    @Test
    void theSequenceHashCommitsToAllBefore() {
        long[] hashes = new long[4];
        assertEquals(4, xxh3.sequence(tokens, 79, 16, hashes));
        assertArrayEquals(
                new long[] {
                    Long.parseUnsignedLong("15310707395893867146"),
                    Long.parseUnsignedLong("13769157705258532664"),
                    Long.parseUnsignedLong("11879827756109914528"),
                    Long.parseUnsignedLong("3888788807566526800")
                },
                hashes);
        assertEquals(0, xxh3.sequence(tokens, 15, 16, hashes));
    }

    @Test
    void localHashOf64Tokens() {
        assertEquals(Long.parseUnsignedLong("3480597578098033343"), xxh3.tokens(tokens, 0, 64));
    }

    /** Every branch by length of the algorithm. */
    @ParameterizedTest
    @CsvSource({
        "8, 12126819726423666500",
        "12, 1590119156331037157",
        "24, 16500575923747202928",
        "28, 12344402690665634054",
        "32, 5756925433886871916",
        "36, 17260844386609901098",
        "48, 17528049439166767664",
        "60, 13886301141173099695",
        "128, 9509643624113304476",
        "256, 13509048708924160886",
        "320, 1553399812884939525",
        "512, 9967019188267418660"
    })
    void hashesOfEveryLength(int count, String hash) {
        assertEquals(Long.parseUnsignedLong(hash), xxh3.tokens(tokens, 0, count));
    }

    @Test
    void refusesOddLengths() {
        assertThrows(IllegalArgumentException.class, () -> xxh3.tokens(tokens, 0, 4));
        assertThrows(IllegalArgumentException.class, () -> xxh3.tokens(tokens, 0, 18));
        assertThrows(IndexOutOfBoundsException.class, () -> xxh3.tokens(tokens, 500, 16));
    }
}
