package io.tandem.compute.cuda;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.engine.EngineSettings;
import io.tandem.weights.Checkpoint;
import java.util.List;
import java.util.Properties;

/** Backends on a {@link HostDriver}. */
final class HostDevice {
    private static final String[] KERNELS = {
        "embed_gather",
        "gather_rows",
        "rmsnorm",
        "qkv_rope_write",
        "silu_mul",
        "attention_decode",
        "attention_decode_rope",
        "attention_prefill",
        "gemm_skinny_8",
        "gemm_skinny_16",
        "gemm_skinny_32",
        "gemm_skinny_64",
        "gemm_skinny_128",
        "gemm_tile",
        "sample_max",
        "sample_draw",
        "penalty_reset",
        "block_sum",
        "read_probe"
    };

    private HostDevice() {}

    static KernelCatalog catalog() {
        Properties p = new Properties();
        for (String kernel : KERNELS) {
            p.setProperty(kernel + ".threads", "128");
            p.setProperty(kernel + ".blocksPerSm", "1");
            p.setProperty(kernel + ".tileM", "64");
            p.setProperty(kernel + ".tileN", "64");
        }
        p.setProperty("block_sum.bytes", "32768");
        p.setProperty("sampling.chunks", "4");
        p.setProperty("sampling.workspaceRowBytes", "64");
        p.setProperty("workspace.bytes", "65536");
        return new KernelCatalog("sm_80", new byte[0], p);
    }

    static Config config(String overrides) {
        return ConfigFactory.parseString(overrides)
                .withFallback(ConfigFactory.parseString("tandem.engine { max-sequences = 8, max-batch-tokens = 160"
                        + ", prefill-chunk-tokens = 150, mixed-chunk-tokens = 40, kv-blocks = 96 }\n"
                        + "tandem.compute.cuda { cublas-lt = off, transfer-buffer-bytes = 4M, step-timeout = 60s }"))
                .withFallback(ConfigFactory.load());
    }

    static CudaBackend open(HostDriver driver, Checkpoint checkpoint, Config config) {
        return new CudaBackend(
                driver, catalog(), checkpoint, CudaSettings.from(config), EngineSettings.from(config), 2, List.of());
    }
}
