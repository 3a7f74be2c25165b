package io.tandem.compute.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.tandem.compute.ForwardBatch;
import io.tandem.compute.ForwardOutput;
import io.tandem.kvcache.KvMemory;
import io.tandem.weights.TensorType;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A machine with narrower vectors computes the same bits, and a JVM that cannot compile vector code says so. */
class VectorWidthTest {

    /** Prints the width and a hash of every logit of prompts and decodes for each weight format. */
    static final class Probe {
        public static void main(String[] args) {
            System.out.println(
                    "width " + VectorUnit.WIDTH + " hash " + hash() + " refusal '" + VectorUnit.refusal() + "'");
        }
    }

    private static long hash() {
        long hash = 1;
        for (TensorType type : TensorType.values()) {
            try (CpuBackend backend = CpuBackend.vector(new TinyLlama(type), 1, 16, 64, 8, List.of());
                    KvMemory kv = backend.allocateKv(32)) {
                ForwardOutput output = new ForwardOutput(8, backend.model().vocabSize(), true);
                ForwardBatch batch = new ForwardBatch(64, 8);
                Random random = new Random(7);
                int[][] tokens = new int[3][40];
                for (int[] sequence : tokens) {
                    Arrays.setAll(sequence, i -> random.nextInt(160));
                }
                for (int from = 0; from < 40; from += from == 0 ? 13 : 9) {
                    batch.clear();
                    int count = from == 0 ? 13 : 9;
                    for (int s = 0; s < 3; s++) {
                        batch.add(tokens[s], from, count, new int[] {3 * s, 3 * s + 1, 3 * s + 2}, true);
                    }
                    backend.forward(batch, kv, output);
                    for (int s = 0; s < 3; s++) {
                        hash = 31 * hash + Arrays.hashCode(output.logits[s]);
                    }
                }
            }
        }
        return hash;
    }

    private static String probe(String flag) throws IOException, InterruptedException {
        String said = ForkedJava.run(Probe.class, List.of(), flag);
        return said.lines().filter(l -> l.startsWith("width ")).findFirst().orElse("failed: " + said);
    }

    @ParameterizedTest
    @ValueSource(ints = {16, 32, 64})
    void shouldGiveTheSameBitsAtEveryVectorWidth(int bytes) throws Exception {
        assumeTrue(bytes <= 4 * VectorUnit.WIDTH, "this CPU has no vectors of " + bytes + " bytes");
        assertEquals("width " + bytes / 4 + " hash " + hash() + " refusal ''", probe("-XX:MaxVectorSize=" + bytes));
    }

    @Test
    void shouldRefuseVectorsWhereTheyWouldBeInterpreted() throws Exception {
        String said = probe("-XX:TieredStopAtLevel=1");
        assertTrue(said.contains("optimising compiler is off"), said);
    }
}
