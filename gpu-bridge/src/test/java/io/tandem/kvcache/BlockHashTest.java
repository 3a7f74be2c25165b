package io.tandem.kvcache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Against the definition, written with {@link BigInteger}. */
class BlockHashTest {
    private static final int PACKED_LIMIT = 1 << 19;

    private static ByteBuffer sha256(byte[] input) throws Exception {
        return ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(input))
                .order(ByteOrder.LITTLE_ENDIAN);
    }

    private static byte[] input(long high, long low, int[] tokens, boolean packed) {
        int bytes = packed ? (19 * tokens.length + 7) / 8 : 4 * tokens.length;
        ByteBuffer buffer = ByteBuffer.allocate(16 + bytes).order(ByteOrder.LITTLE_ENDIAN);
        buffer.putLong(high).putLong(low);
        if (!packed) {
            for (int token : tokens) {
                buffer.putInt(token);
            }
            return buffer.array();
        }
        BigInteger bits = BigInteger.ZERO;
        for (int i = 0; i < tokens.length; i++) {
            bits = bits.or(BigInteger.valueOf(tokens[i]).shiftLeft(19 * i));
        }
        for (int i = 0; i < bytes; i++) {
            buffer.put(bits.shiftRight(8 * i).byteValue());
        }
        return buffer.array();
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4, 8, 12, 16, 24, 32, 64, 512})
    void shouldBeTheFirstHalfOfSha256OverParentAndTokens(int blockTokens) throws Exception {
        Random random = new Random(blockTokens);
        BlockHash hash = BlockHash.of("model", blockTokens);
        ByteBuffer root = sha256("model".getBytes(StandardCharsets.UTF_8));
        long high = root.getLong();
        long low = root.getLong() ^ 99;
        hash.root(99);
        for (int block = 0; block < 50; block++) {
            int bound = block % 3 == 0 ? Integer.MAX_VALUE : PACKED_LIMIT;
            int[] tokens = random.ints(blockTokens, 0, bound).toArray();
            tokens[random.nextInt(blockTokens)] = block % 2 == 0 ? PACKED_LIMIT - 1 : 0;
            boolean small = Arrays.stream(tokens).allMatch(t -> t < PACKED_LIMIT);
            ByteBuffer expected = sha256(input(high, low, tokens, small && blockTokens % 8 == 0));
            high = expected.getLong();
            low = expected.getLong();
            hash.next(tokens, 0);
            assertEquals(high, hash.high());
            assertEquals(low, hash.low());
        }
    }

    /** Each token counts, at each place, on both sides of the limit of what is packed. */
    @Test
    void shouldChangeWithEveryToken() {
        BlockHash hash = BlockHash.of("model", 16);
        int[] tokens = new int[16];
        hash.root(0);
        hash.next(tokens, 0);
        long before = hash.high();
        for (int place = 0; place < 16; place++) {
            for (int token : new int[] {1, PACKED_LIMIT - 1, PACKED_LIMIT, Integer.MAX_VALUE}) {
                tokens[place] = token;
                hash.root(0);
                hash.next(tokens, 0);
                assertNotEquals(before, hash.high());
                tokens[place] = 0;
            }
        }
    }
}
