package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.tandem.weights.TensorType;
import java.lang.foreign.Arena;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class VectorProductTest {
    private static final int[] OUTPUTS = {1, 15, 16, 33, 70, 130};
    private static final int MAX_ROWS = 33;

    private final Arena arena = Arena.ofShared();
    private final VectorOps vector = new VectorOps(2);
    private final ScalarOps scalar = new ScalarOps();

    @AfterEach
    void release() {
        vector.close();
        arena.close();
    }

    private Matrix matrix(TensorType type, int rows, int cols) {
        Matrix w = new Matrix(RandomTensors.tensor(arena, "w", type, rows, cols, 31L * rows + cols));
        vector.prepare(w);
        return w;
    }

    private static int[] widths(TensorType type) {
        return type.blockElements() == 1 ? new int[] {1, 2, 7, 33, 64, 100} : new int[] {32, 96, 160};
    }

    @ParameterizedTest
    @EnumSource(TensorType.class)
    void shouldAgreeWithTheReferenceForEveryTypeAndShape(TensorType type) {
        for (int cols : widths(type)) {
            for (int outputs : OUTPUTS) {
                Matrix w = matrix(type, outputs, cols);
                for (int rows : new int[] {1, 2, 5, 13}) {
                    float[] x = RandomTensors.floats(rows * cols, cols);
                    float[] expected = RandomTensors.floats(rows * outputs, 1);
                    float[] got = expected.clone();
                    scalar.matmulAdd(w, x, rows, expected);
                    vector.matmulAdd(w, x, rows, got);
                    assertArrayEquals(expected, got, 1e-4f, () -> type + " " + outputs + "x" + cols);
                    scalar.matmul(w, x, rows, expected);
                    vector.matmul(w, x, rows, got);
                    assertArrayEquals(expected, got, 1e-4f, () -> type + " " + outputs + "x" + cols);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(TensorType.class)
    void shouldGiveARowTheSameBitsAloneAndInEveryBatch(TensorType type) {
        int cols = 96;
        int outputs = 70;
        Matrix w = matrix(type, outputs, cols);
        float[] x = RandomTensors.floats(MAX_ROWS * cols, 5);
        float[] residual = RandomTensors.floats(MAX_ROWS * outputs, 6);
        float[] alone = new float[MAX_ROWS * outputs];
        for (int r = 0; r < MAX_ROWS; r++) {
            float[] out = Arrays.copyOfRange(residual, r * outputs, (r + 1) * outputs);
            vector.matmulAdd(w, Arrays.copyOfRange(x, r * cols, (r + 1) * cols), 1, out);
            System.arraycopy(out, 0, alone, r * outputs, outputs);
        }
        for (int rows = 1; rows <= MAX_ROWS; rows++) {
            // The batch's last row is the last of all, so each row meets each tile.
            int from = MAX_ROWS - rows;
            float[] out = Arrays.copyOfRange(residual, from * outputs, MAX_ROWS * outputs);
            vector.matmulAdd(w, Arrays.copyOfRange(x, from * cols, MAX_ROWS * cols), rows, out);
            for (int i = 0; i < out.length; i++) {
                assertEquals(
                        Float.floatToRawIntBits(alone[from * outputs + i]),
                        Float.floatToRawIntBits(out[i]),
                        type + ", batch of " + rows + ", element " + i);
            }
        }
    }

    @Test
    void shouldAddProductsInOrderByFusedMultiplyAdd() {
        int cols = 100;
        int outputs = 40;
        Matrix w = matrix(TensorType.F32, outputs, cols);
        float[] x = RandomTensors.floats(cols, 8);
        float[] out = new float[outputs];
        vector.matmul(w, x, 1, out);
        float[] row = new float[cols];
        for (int o = 0; o < outputs; o++) {
            w.readRow(o, row, 0);
            float sum = 0;
            for (int k = 0; k < cols; k++) {
                sum = Math.fma(row[k], x[k], sum);
            }
            assertEquals(sum, out[o]);
        }
    }

    @Test
    void shouldNotDependOnTheNumberOfThreads() {
        Matrix w = matrix(TensorType.Q4_1, 130, 96);
        float[] x = RandomTensors.floats(9 * 96, 3);
        float[] two = new float[9 * 130];
        vector.matmul(w, x, 9, two);
        try (VectorOps single = new VectorOps(1)) {
            Matrix same = new Matrix(RandomTensors.tensor(arena, "w", TensorType.Q4_1, 130, 96, 31L * 130 + 96));
            single.prepare(same);
            float[] one = new float[9 * 130];
            single.matmul(same, x, 9, one);
            assertArrayEquals(one, two);
        }
    }
}
