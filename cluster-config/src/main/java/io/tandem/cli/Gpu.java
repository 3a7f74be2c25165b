package io.tandem.cli;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import io.tandem.compute.cuda.CudaDevices;
import io.tandem.compute.cuda.GpuBenchmark;
import io.tandem.compute.cuda.GpuCheck;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** What people with an NVIDIA GPU want to know of it. Without one both commands say "skipped" and why, and exit with 69. */
final class Gpu {
    private static final int UNAVAILABLE = 69;

    private Gpu() {}

    private static boolean isMissing(int device) {
        String refusal = CudaDevices.deviceRefusal(device);
        if (!refusal.isEmpty()) {
            System.out.println("skipped: " + refusal);
        }
        return !refusal.isEmpty();
    }

    /** Correctness. */
    @Command(
            name = "gpu-check",
            mixinStandardHelpOptions = true,
            description = "Checks an NVIDIA GPU: logits, tokens, sampling, transfers and memory against the reference.")
    static final class Check implements Callable<Integer> {
        @Option(names = "--device", defaultValue = "0", description = "default: ${DEFAULT-VALUE}")
        int device;

        @Option(
                names = "--golden",
                defaultValue = "gpu-bridge/src/test/resources/golden",
                description = "folder with the reference's answers (default: ${DEFAULT-VALUE})")
        Path golden;

        @Option(names = "--model", paramLabel = "PATH", description = "SmolLM2's GGUF file (default: the cached one)")
        Path model;

        @Override
        public Integer call() {
            if (isMissing(device)) {
                return UNAVAILABLE;
            }
            if (!Files.isDirectory(golden)) {
                throw new IllegalArgumentException("--golden " + golden
                        + " is no folder; run this in a checkout of Tandem, or name its golden files");
            }
            Path smollm2 = model == null ? ModelStore.defaultModel() : model;
            List<GpuCheck.Outcome> outcomes =
                    GpuCheck.run(device, golden, Optional.of(smollm2).filter(Files::exists));
            long failed = outcomes.stream()
                    .filter(o -> o.passed().isPresent() && !o.passed().get())
                    .count();
            long skipped = outcomes.stream().filter(o -> o.passed().isEmpty()).count();
            System.out.println(outcomes.size() + " checks, " + failed + " failed, " + skipped + " skipped");
            return failed == 0 ? 0 : 1;
        }
    }

    /** Speed. */
    @Command(
            name = "gpu",
            mixinStandardHelpOptions = true,
            description = "Decode, prefill and host time of the engine on an NVIDIA GPU: an 8B shape, random weights.")
    static final class Benchmark implements Callable<Integer> {
        @Option(names = "--device", defaultValue = "0", description = "default: ${DEFAULT-VALUE}")
        int device;

        @Option(
                names = "--workloads",
                split = ",",
                defaultValue = "ceilings,host,transfer,decode,prefill,poisson",
                description = "default: ${DEFAULT-VALUE}")
        List<String> workloads;

        @Option(names = "--set", paramLabel = "KEY=VALUE", description = "a setting over the defaults; may be repeated")
        List<String> settings = List.of();

        @Option(names = "--json", paramLabel = "FILE", description = "write the rows there too")
        Path json;

        @Override
        public Integer call() throws Exception {
            if (isMissing(device)) {
                return UNAVAILABLE;
            }
            Config overrides = ConfigFactory.parseString(String.join("\n", settings));
            List<GpuBenchmark.Row> rows = GpuBenchmark.run(new GpuBenchmark.Plan(device, workloads, overrides));
            System.out.println(GpuBenchmark.markdown(device, rows));
            if (json != null) {
                GpuBenchmark.write(json, device, rows);
            }
            return 0;
        }
    }
}
