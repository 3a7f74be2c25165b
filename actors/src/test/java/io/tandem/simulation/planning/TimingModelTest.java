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
