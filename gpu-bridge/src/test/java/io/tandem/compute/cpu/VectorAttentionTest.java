package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.tandem.compute.ForwardBatch;
import io.tandem.kvcache.KvLayout;
import io.tandem.kvcache.KvMemory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class VectorAttentionTest {
    private static final int HEADS = 6;
    private static final int KV_HEADS = 2;
    private static final int BLOCK_TOKENS = 16;
    private static final int TOKENS = 70;
    /** Two sequences' blocks, out of order and interleaved. */
    private static final int[][] BLOCKS = {{7, 2, 9, 0, 5}, {1, 8, 3, 6, 4}};

    private final VectorOps vector = new VectorOps(2);
    private final ScalarOps scalar = new ScalarOps();

    @AfterEach
    void release() {
        vector.close();
    }

    /** Attention over both sequences, in chunks of so many tokens each; row s * TOKENS + t of the answer. */
    private static float[] attend(CpuOps ops, int dim, int chunk) {
        KvLayout layout = new KvLayout(2, KV_HEADS, dim, BLOCK_TOKENS, KvLayout.Dtype.F32);
        float[] q = RandomTensors.floats(2 * TOKENS * HEADS * dim, 1);
        float[] k = RandomTensors.floats(2 * TOKENS * KV_HEADS * dim, 2);
        float[] v = RandomTensors.floats(2 * TOKENS * KV_HEADS * dim, 3);
        float[] out = new float[q.length];
        ForwardBatch batch = new ForwardBatch(2 * TOKENS, 2);
        try (KvMemory kv = new CpuKvMemory(layout, 10)) {
            for (int from = 0; from < TOKENS; from += chunk) {
                int count = Math.min(chunk, TOKENS - from);
                batch.clear();
                for (int[] table : BLOCKS) {
                    batch.add(new int[TOKENS], from, count, table, false);
                }
                float[] chunkOut = new float[2 * count * HEADS * dim];
                ops.storeKv(rows(k, from, count, KV_HEADS * dim), rows(v, from, count, KV_HEADS * dim), batch, kv, 1);
                ops.attention(rows(q, from, count, HEADS * dim), HEADS, batch, kv, 1, chunkOut);
                int width = HEADS * dim;
                System.arraycopy(chunkOut, 0, out, from * width, count * width);
                System.arraycopy(chunkOut, count * width, out, (TOKENS + from) * width, count * width);
            }
        }
        return out;
    }

    private static float[] rows(float[] all, int from, int count, int width) {
        float[] out = new float[2 * count * width];
        System.arraycopy(all, from * width, out, 0, count * width);
        System.arraycopy(all, (TOKENS + from) * width, out, count * width, count * width);
        return out;
    }

    @ParameterizedTest
    @ValueSource(ints = {20, 48, 64, 128})
    void shouldAgreeWithTheReferenceOverBlockTables(int dim) {
        assertArrayEquals(attend(scalar, dim, TOKENS), attend(vector, dim, TOKENS), 1e-5f);
    }

    @ParameterizedTest
    @ValueSource(ints = {20, 48, 64, 128})
    void shouldGiveTheSameBitsInEveryChunking(int dim) {
        float[] whole = attend(vector, dim, TOKENS);
        for (int chunk : new int[] {1, 7, 16, 33}) {
            assertArrayEquals(whole, attend(vector, dim, chunk));
        }
    }
}
