package io.tandem.simulation.planning;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.tandem.simulation.planning.TimingModel.Metric;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TimingModelTest {
    private static final String HEADER = "silicon_data_source,backend,backend_version,model_path,system,precision,mode,"
            + "isl,osl,gemm_quant_mode,moe_quant_mode,batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,"
            + "prefill_num_workers,prefill_tp_size,prefill_pp_size,prefill_moe_tp_size,prefill_moe_ep_size,"
            + "decode_num_workers,decode_tp_size,decode_pp_size,decode_attention_dp_size,decode_moe_tp_size,"
            + "decode_moe_ep_size,silicon_ttft_ms,silicon_tpot_ms";

    @TempDir
    Path folder;

    private Path csv(String... rows) throws IOException {
        return Files.writeString(folder.resolve("samples.csv"), HEADER + "\n" + String.join("\n", rows) + "\n");
    }

    @Test
    void shouldReadLayoutsAndCountWhatItCannotUse() throws IOException {
        SiliconSamples samples = SiliconSamples.read(
                csv(
                        "x; silicon_concurrency=16,vllm,1,meta-llama/Llama-3.1-70B,h100_sxm,fp8,agg,1024,512,fp8,fp8,8,4,1,1,,,,,,,,,,,,,,300.5,12.5",
                        "x; silicon_concurrency=8,trtllm,1,deepseek-ai/DeepSeek-R1,gb200,fp4,disagg,1024,512,nvfp4,nvfp4,,,,,,,2,4,1,4,1,3,8,1,1,8,1,900,8",
                        "x; silicon_concurrency=8,trtllm,1,deepseek-ai/DeepSeek-R1,gb200,fp4,disagg,1024,512,nvfp4,nvfp4,,,,,,,,4,1,4,1,,8,1,1,8,1,900,8",
                        "x; silicon_concurrency=8,vllm,1,nobody/Nothing-1B,h100_sxm,fp8,agg,1024,512,fp8,fp8,8,4,1,1,,,,,,,,,,,,,,300.5,12.5"));
        assertEquals(2, samples.points().size());
        assertEquals(1, samples.withoutLayout());
        assertEquals(1, samples.unknown());
        ServingPoint whole = samples.points().getFirst();
        assertEquals(16, whole.concurrency());
        assertEquals(4, whole.decodeGpus());
        assertEquals(12.5, whole.tpotMs());
        ServingPoint split = samples.points().get(1);
        assertTrue(split.split());
        assertEquals(2, split.prefillWorkers());
        assertEquals(8.0 / 3, split.batch());
    }

    private ServingPoint agg(String layout, int batch) throws IOException {
        return SiliconSamples.read(csv(
                        "x; silicon_concurrency=64; measured=2026-03-28T07:59Z,trtllm,1,deepseek-ai/DeepSeek-R1,b200_sxm,fp4,agg,"
                                + "1024,512,nvfp4,nvfp4," + batch + "," + layout + ",,,,,,,,,,,,300,12"))
                .points()
                .getFirst();
    }

    @Test
    void shouldReadReplicasWhoseGpusAreMultipliedTwice() throws IOException {
        ServingPoint experts = agg("64,1,1,8,8", 64);
        assertEquals(8, experts.decodeGpus());
        assertEquals(1, experts.attentionGroups());
        assertEquals(8, experts.expertGroups());
        ServingPoint attention = agg("4,1,4,1,16", 16);
        assertEquals(4, attention.decodeGpus());
        assertEquals(4, attention.attentionGroups());
        assertEquals(4, attention.expertGroups());
        assertEquals(8, agg("8,1,1,1,8", 64).decodeGpus());
        assertEquals("2026-03-28", attention.measuredOn());
    }

    @Test
    void shouldTakeABatchThatIsAShareForThatOfAnAttentionGroup() throws IOException {
        ServingPoint shared = agg("8,1,,1,8", 8);
        assertEquals(8, shared.attentionGroups());
        assertEquals(1, shared.decodeWorkers());
        assertEquals(64, shared.batch());
    }

    @Test
    void shouldTakeARunOnceAndNoSumOfReplicas() throws IOException {
        String run =
                "x; silicon_concurrency=64,trtllm,1,deepseek-ai/%s,gb200,fp4,agg,1024,512,nvfp4,nvfp4,64,%s,,,,,,,,,,,,%s,12";
        SiliconSamples samples = SiliconSamples.read(csv(
                run.formatted("DeepSeek-R1", "8,1,1,8,1", "300.001"),
                run.formatted("DeepSeek-V3", "8,1,1,8,1", "300"),
                run.formatted("DeepSeek-V3", "8,1,1,8,1", "301"),
                run.formatted("DeepSeek-R1", "36,1,1,36,1", "200")));
        assertEquals(2, samples.points().size());
        assertEquals(1, samples.repeated());
        assertEquals(1, samples.withoutLayout());
    }

    @Test
    void shouldSolveWithTheFactorOfAMatrix() {
        double[][] a = {{4}, {2, 5}, {0.5, -1, 3}};
        double[][] factor = Cholesky.of(a, new double[] {1, 0, 0.5});
        double[] b = {1, 2, 3};
        double[] x = Cholesky.solve(factor, b);
        double[][] full = {{5, 2, 0.5}, {2, 5, -1}, {0.5, -1, 3.5}};
        double norm = 0;
        for (int i = 0; i < 3; i++) {
            assertEquals(b[i], NonNegativeFit.dot(full[i], x), 1e-12);
            norm += b[i] * x[i];
        }
        assertEquals(norm, Cholesky.squaredNorm(factor, b), 1e-12);
        for (int i = 0; i < 3; i++) {
            double[] unit = new double[3];
            unit[i] = 1;
            assertEquals(Cholesky.solve(factor, unit)[i], Cholesky.inverseDiagonal(factor)[i], 1e-12);
        }
        assertThrows(ArithmeticException.class, () -> Cholesky.of(new double[][] {{1}, {2, 1}}, new double[2]));
    }

    @Test
    void shouldNotFollowARunThatContradictsItsNeighbours() throws IOException {
        List<ServingPoint> points = new ArrayList<>();
        for (int c = 8; c <= 64; c += 4) {
            points.add(SiliconSamples.read(csv(
                            ("x; silicon_concurrency=%d,vllm,1,meta-llama/Llama-3.1-70B,h100_sxm,fp8,agg,1024,512,fp8,fp8,"
                                            + "%d,4,1,1,,,,,,,,,,,,,,%s,12")
                                    .formatted(c, c, 300 + c)))
                    .points()
                    .getFirst());
        }
        double[] residuals = new double[points.size()];
        residuals[7] = 3;
        Kriging.Kernel kernel = new Kriging.Kernel(new double[] {1, 1, 1, 1, 1, 1}, new double[7], new double[7], 0.01);
        kernel.fading()[4] = 0.5;
        Kriging corrected = new Kriging(kernel, points, residuals);
        assertEquals(0, corrected.predict(points.get(6)), 0.1);
        assertEquals(0, corrected.predict(points.get(7)), 0.25);
    }

    @Test
    void shouldWaitForMemoryWhereKvDoesNotFit() throws IOException {
        String row =
                "x; silicon_concurrency=%d,vllm,1,Qwen/Qwen3-32B,h100_sxm,bf16,agg,4096,512,,,%d,2,1,1,,,,,,,,,,,,,,1000,12";
        ServingPoint few =
                SiliconSamples.read(csv(row.formatted(16, 16))).points().getFirst();
        ServingPoint many =
                SiliconSamples.read(csv(row.formatted(256, 256))).points().getFirst();
        // 2 GPUs: 144 GB used, 65.6 GB of weights; a sequence of 4,352 tokens has 1.14 GB of KV.
        assertEquals(68.7, few.capacity(), 0.5);
        assertEquals(0, few.ttftParts()[8]);
        assertTrue(many.ttftParts()[8] > 10_000, "waits " + many.ttftParts()[8] + " ms");
    }

    @Test
    void shouldNameLineAndColumnOfWhatIsNoNumber() throws IOException {
        Path file = csv(
                "x; silicon_concurrency=16,vllm,1,meta-llama/Llama-3.1-70B,h100_sxm,fp8,agg,many,512,fp8,fp8,8,4,1,1,,,,,,,,,,,,,,1,1");
        String said = assertThrows(IllegalArgumentException.class, () -> SiliconSamples.read(file))
                .getMessage();
        assertTrue(said.contains(":2") && said.contains("isl") && said.contains("many"), said);
    }

    @Test
    void shouldFindCoefficientsAndNeverANegativeOne() {
        Random random = new Random(3);
        double[] truth = {2, 0.5, 0, 1.25};
        List<double[]> parts = new ArrayList<>();
        double[] measured = new double[200];
        for (int i = 0; i < measured.length; i++) {
            double[] row = {random.nextDouble(), 5 * random.nextDouble(), random.nextDouble(), 1};
            parts.add(row);
            measured[i] = NonNegativeFit.dot(truth, row);
        }
        assertArrayEquals(truth, NonNegativeFit.fit(parts, measured), 0.02);
    }

    @Test
    void shouldPredictMeasuredRunsItHasNotSeenBetterThanTheRooflineAlone() throws IOException {
        Path file = Path.of(System.getProperty("tandem.repo.root")).resolve("../shared/silicon/samples.csv");
        assumeTrue(Files.exists(file), "not here: shared/silicon/samples.csv");
        List<ServingPoint> all = SiliconSamples.read(file).points();
        List<ServingPoint> known = new ArrayList<>();
        List<ServingPoint> held = new ArrayList<>();
        for (int i = 0; i < all.size(); i++) {
            // A third is enough to learn from, and keeps the test short.
            if (i % 3 == 0) {
                known.add(all.get(i));
            } else if (i % 30 == 1) {
                held.add(all.get(i));
            }
        }
        TimingModel model = TimingModel.fit(Metric.TPOT, known);
        double corrected = held.stream()
                .mapToDouble(p -> Math.abs(model.predict(p) / p.tpotMs() - 1))
                .average()
                .orElseThrow();
        double roofline = held.stream()
                .mapToDouble(p -> Math.abs(model.roofline(p) / p.tpotMs() - 1))
                .average()
                .orElseThrow();
        assertTrue(corrected < 0.15, "mean relative error " + corrected);
        assertTrue(corrected < roofline / 1.5, corrected + " is not far below the roofline's " + roofline);
    }
}
