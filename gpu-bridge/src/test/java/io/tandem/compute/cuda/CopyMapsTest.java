package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.kvcache.KvLayout;
import org.junit.jupiter.api.Test;

class CopyMapsTest {
    private static final long MEMORY_BYTES = 141L << 30;

    @Test
    void shouldReachAllBlocksThatALargeDeviceHoldsOfARealModel() {
        KvLayout llama8b = new KvLayout(32, 8, 128, 16, KvLayout.Dtype.BF16);
        KvLayout smolLm2 = new KvLayout(30, 3, 64, 16, KvLayout.Dtype.BF16);

        assertTrue(CopyMaps.reaches(llama8b, (int) (MEMORY_BYTES / llama8b.blockBytes())));
        assertTrue(CopyMaps.reaches(smolLm2, (int) (MEMORY_BYTES / smolLm2.blockBytes())));
    }

    @Test
    void shouldSayWhenRowsAreMoreThanAnIntCounts() {
        KvLayout narrow = new KvLayout(2, 2, 16, 16, KvLayout.Dtype.BF16);
        int rowsABlock = 2 * 2 * 2 * 16;

        assertTrue(CopyMaps.reaches(narrow, Integer.MAX_VALUE / rowsABlock));
        assertFalse(CopyMaps.reaches(narrow, Integer.MAX_VALUE / rowsABlock + 1));
    }
}
