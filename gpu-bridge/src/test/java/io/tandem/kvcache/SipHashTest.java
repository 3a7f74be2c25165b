package io.tandem.kvcache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** SipHash-2-4-128 against the vectors of its reference implementation, and the block hash made of it. */
class SipHashTest {
    /** {@code vectors_sip128} of github.com/veorq/SipHash (CC0): key 00..0f, message 00, 01, ... of each length from 0 on. */
    private static final List<String> VECTORS = List.of(
            "a3817f04ba25a8e66df67214c7550293",
            "da87c1d86b99af44347659119b22fc45",
            "8177228da4a45dc7fca38bdef60affe4",
            "9c70b60c5267a94e5f33b6b02985ed51",
            "f88164c12d9c8faf7d0f6e7c7bcd5579",
            "1368875980776f8854527a07690e9627",
            "14eeca338b208613485ea0308fd7a15e",
            "a1f1ebbed8dbc153c0b84aa61ff08239",
            "3b62a9ba6258f5610f83e264f31497b4",
            "264499060ad9baabc47f8b02bb6d71ed",
            "00110dc378146956c95447d3f3d0fbba",
            "0151c568386b6677a2b4dc6f81e5dc18",
            "d626b266905ef35882634df68532c125",
            "9869e247e9c08b10d029934fc4b952f7",
            "31fcefac66d7de9c7ec7485fe4494902",
            "5493e99933b0a8117e08ec0f97cfc3d9",
            "6ee2a4ca67b054bbfd3315bf85230577");

    private static final BlockHashKey REFERENCE_KEY =
            new BlockHashKey(0x0706050403020100L, 0x0f0e0d0c0b0a0908L, "test");

    private static String hex(BlockHash hash) {
        ByteBuffer out = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(hash.high()).putLong(hash.low());
        return HexFormat.of().formatHex(out.array());
    }

    @Test
    void shouldGiveWhatTheReferenceGives() {
        SipBlockHash hash = new SipBlockHash(REFERENCE_KEY, "", 16);
        for (int length = 0; length < VECTORS.size(); length++) {
            byte[] message = new byte[length];
            for (int i = 0; i < length; i++) {
                message[i] = (byte) i;
            }
            hash.digest(message);
            assertEquals(VECTORS.get(length), hex(hash), length + " bytes");
        }
    }

    private static final BlockHashKey KEY = BlockHashKey.of("0123456789abcdef0123456789abcdef");

    private static int[] tokens(Random random, int count, int bound) {
        return random.ints(count, 0, bound).toArray();
    }

    /** The message that a block's name is the hash of: its root, then the tokens packed or not. */
    @Test
    void shouldNameBlocksByAllThatLeadsToThem() {
        Random random = new Random(5);
        for (int blockTokens : new int[] {1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 64}) {
            BlockHash hash = BlockHash.of(KEY, "model", blockTokens);
            SipBlockHash whole = new SipBlockHash(KEY, "model", blockTokens);
            ByteBuffer message = ByteBuffer.allocate(16 + 40 * 8 * blockTokens).order(ByteOrder.LITTLE_ENDIAN);
            message.putLong(whole.high()).putLong(whole.low() ^ 7);
            hash.root(7);
            long[] state = new long[BlockHash.STATE_WORDS];
            for (int block = 0; block < 40; block++) {
                boolean wide = block % 3 == 0;
                int[] t = tokens(random, blockTokens, wide ? Integer.MAX_VALUE : 1 << 21);
                t[0] |= wide ? 1 << 21 : 0;
                int inWord = wide ? 2 : 3;
                for (int i = 0; i < blockTokens; i += inWord) {
                    long word = wide ? Long.MIN_VALUE : 0;
                    for (int k = 0; k < inWord && i + k < blockTokens; k++) {
                        word |= (long) t[i + k] << k * (wide ? 32 : 21);
                    }
                    message.putLong(word);
                }
                if (block % 5 == 4) { // goes on elsewhere
                    hash.save(state);
                    hash = BlockHash.of(KEY, "model", blockTokens);
                    hash.restore(state);
                }
                hash.next(t, 0);
                whole.digest(Arrays.copyOf(message.array(), message.position()));
                assertEquals(whole.high(), hash.high(), blockTokens + " tokens, block " + block);
                assertEquals(whole.low(), hash.low());
            }
        }
    }

    @Test
    void shouldChangeWithEveryTokenWithTheSecretTheModelAndTheSalt() {
        Set<Long> seen = new HashSet<>();
        int[] tokens = new int[16];
        for (BlockHashKey key : List.of(KEY, BlockHashKey.of("0123456789abcdef0123456789abcdeF"))) {
            for (String model : List.of("a", "b")) {
                for (long salt = 0; salt < 2; salt++) {
                    BlockHash hash = BlockHash.of(key, model, 16);
                    hash.root(salt);
                    hash.next(tokens, 0);
                    assertTrue(seen.add(hash.high()));
                }
            }
        }
        BlockHash hash = BlockHash.of(KEY, "model", 16);
        for (int place = 0; place < 16; place++) {
            for (int token : new int[] {1, (1 << 21) - 1, 1 << 21, Integer.MAX_VALUE}) {
                tokens[place] = token;
                hash.root(0);
                hash.next(tokens, 0);
                assertTrue(seen.add(hash.high()), "token " + token + " at " + place);
                tokens[place] = 0;
            }
        }
    }

    @Test
    void shouldRefuseAShortSecretAndNeverShowALongOne() {
        assertEquals(BlockHashKey.PUBLIC, BlockHashKey.of(""));
        assertFalse(BlockHashKey.PUBLIC.isSecret());
        String message = assertThrows(IllegalArgumentException.class, () -> BlockHashKey.of("short"))
                .getMessage();
        assertTrue(message.contains("tandem.node.block-hash-secret") && message.contains("32"), message);
        assertFalse(KEY.toString().contains("0123456789abcdef"), KEY.toString());
        assertFalse(KEY.toString().contains(Long.toString(KEY.first())), KEY.toString());
        assertNotEquals(
                KEY.mark(),
                BlockHashKey.of("another secret of at least 32 characters").mark());
    }
}
