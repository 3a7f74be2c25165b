package io.tandem.compute.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.compute.Backends;
import io.tandem.compute.ComputeBackend;
import io.tandem.golden.GoldenFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The same checks as {@code tandem gpu-check}, where a device is; what is said where none is. */
class CudaDeviceTest {
    @Test
    @Tag("gpu")
    void shouldPassEveryCheckOnTheDevice() {
        String refusal = CudaDevices.deviceRefusal(0);
        Assumptions.assumeTrue(refusal.isEmpty(), "skipped: " + refusal);
        List<GpuCheck.Outcome> outcomes = GpuCheck.run(0, GoldenFiles.folder("."), Optional.empty());
        assertTrue(outcomes.size() > 15);
        for (GpuCheck.Outcome outcome : outcomes) {
            assertTrue(outcome.passed().orElse(true), outcome.toString());
        }
    }

    @Test
    void shouldSayWhyThereIsNoGpuAndTakeTheCores() throws IOException {
        Assumptions.assumeFalse(CudaDevices.deviceRefusal(0).isEmpty(), "a CUDA device is here");
        Path model = GoldenFiles.folder("tiny/llama");
        Config auto = ConfigFactory.parseString("tandem.compute.warm-up = 0s").withFallback(ConfigFactory.load());
        try (ComputeBackend backend = Backends.open(model, auto)) {
            assertFalse(backend.info().name().equals("cuda"));
            assertEquals(
                    "cuda: no CUDA device on this host",
                    backend.info().refusals().getFirst());
        }
        for (String setting : List.of("require", "backend")) {
            Config cuda = ConfigFactory.parseString("tandem.compute." + setting + " = cuda")
                    .withFallback(ConfigFactory.load());
            IllegalStateException refused = assertThrows(IllegalStateException.class, () -> Backends.open(model, cuda));
            assertTrue(refused.getMessage().contains("no CUDA device on this host"), refused.getMessage());
        }
    }

    @Test
    void shouldRoundWeightsToTheNearestBfloat16() {
        for (float value : new float[] {1, -1.5f, 3.14159f, 1e-20f, 65_504, 0.1f, 255.5f, -7.7e-3f}) {
            float back = Float.intBitsToFloat(WeightUpload.bfloat16(value) << 16);
            float above = Math.abs(Float.intBitsToFloat(WeightUpload.bfloat16(value) + 1 << 16) - value);
            float below = Math.abs(Float.intBitsToFloat(WeightUpload.bfloat16(value) - 1 << 16) - value);
            assertTrue(Math.abs(back - value) <= Math.min(above, below), value + " became " + back);
        }
        assertEquals(Short.toUnsignedInt((short) 0x7f80), Short.toUnsignedInt(WeightUpload.bfloat16(Float.MAX_VALUE)));
        assertTrue(Float.isNaN(Float.intBitsToFloat(WeightUpload.bfloat16(Float.NaN) << 16)));
    }
}
