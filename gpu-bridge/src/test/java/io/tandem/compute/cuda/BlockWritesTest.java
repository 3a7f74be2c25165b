package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.tandem.compute.ForwardBatch;
import org.junit.jupiter.api.Test;

class BlockWritesTest {
    private static final int[] TABLE = {5, 2, 7, 1};
    private final BlockWrites writes = new BlockWrites(8, 16);
    private final ForwardBatch batch = new ForwardBatch(64, 4);

    private void begin(int from, int count) {
        batch.clear();
        batch.add(new int[64], from, count, TABLE, true);
        writes.begin(batch);
    }

    @Test
    void shouldNameTheBlocksThatAPassWritesToUntilItIsOver() {
        begin(30, 4);
        assertFalse(writes.pending(new int[] {5, 1, 0}));
        assertTrue(writes.pending(new int[] {0, 2}));
        assertTrue(writes.pending(new int[] {7}));
        writes.end();
        assertFalse(writes.pending(TABLE));
    }

    @Test
    void shouldKeepPassesApart() {
        begin(0, 16);
        begin(16, 1);
        writes.end();
        assertFalse(writes.pending(new int[] {5}));
        assertTrue(writes.pending(new int[] {2}));
        begin(15, 1);
        writes.end();
        assertFalse(writes.pending(new int[] {2}));
        assertTrue(writes.pending(new int[] {5}), "written to again");
    }
}
