package io.tandem.cli;

import io.tandem.settings.SettingRange;
import io.tandem.simulation.ClusterSimulation.Cluster;
import io.tandem.simulation.DynamoEngineModel;
import io.tandem.simulation.PassTimer;
import io.tandem.simulation.RooflineEngineModel;
import io.tandem.simulation.Slo;
import io.tandem.simulation.SyntheticTrace;
import io.tandem.simulation.Trace;
import io.tandem.simulation.TraceFiles;
import io.tandem.simulation.TraceSampling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongFunction;
import picocli.CommandLine.Option;

/** What is simulated, as the simulator's commands take it. */
final class SimulationOptions {
    private static final String SYNTHETIC = "synthetic:";
    /** Above, {@link TraceSampling} would draw too few: e to the minus copies is 0 then. */
    private static final int COPIES_MAX = 500;

    private static final int KV_BLOCKS_MAX = 1 << 24;
    /** Of all traces, drawn ones too. */
    private static final int PREFIX_TOKENS = 512;

    @Option(
            names = "--trace",
            required = true,
            paramLabel = "FILE|synthetic:SPEC",
            description = {
                "Mooncake JSONL, Azure CSV, or drawn from phases: fields by comma, phases by semicolon, such as"
                        + " 'synthetic:seconds=300,rate=20,input=4000,output=100;rate=5,output=900'. Fields: seconds, rate"
                        + " (sessions a second), burstiness, input, output (medians), sigma, prefixes, prefix-tokens,"
                        + " turns, think"
            })
    String trace;

    @Option(
            names = "--slo",
            defaultValue = "ttft=2s,itl=25ms",
            description = "what a good request meets: time to first token, mean time between tokens (default:"
                    + " ${DEFAULT-VALUE})")
    String slo;

    @Option(
            names = "--engine",
            defaultValue = "dynamo",
            description = "dynamo (its replay's own timing) or a roofline, such as"
                    + " roofline:model=llama-3.1-8b,gpu=h100 (default: ${DEFAULT-VALUE})")
    String engine;

    @Option(
            names = "--seeds",
            defaultValue = "1",
            description = "number of seeds, 1 to 100; they draw ties, synthetic traces and samples (default:"
                    + " ${DEFAULT-VALUE})")
    int seeds;

    @Option(
            names = "--resample",
            description = "each seed draws whole conversations of the trace anew (bootstrap), for honest intervals")
    boolean resample;

    @Option(
            names = "--copies",
            defaultValue = "1",
            description =
                    "for larger clusters: each seed draws so many times the conversations, at random times; implies"
                            + " --resample (default: ${DEFAULT-VALUE})")
    int copies;

    @Option(names = "--requests", description = "the earliest so many requests only (default: all)")
    int requestsMax = Integer.MAX_VALUE;

    @Option(names = "--kv-blocks", defaultValue = "16384", description = "of a GPU (default: ${DEFAULT-VALUE})")
    int kvBlocks;

    @Option(
            names = "--block-tokens",
            defaultValue = "64",
            description = "tokens a block; divides 512 (default: ${DEFAULT-VALUE})")
    int blockTokens;

    @Option(names = "--max-sequences", defaultValue = "256", description = "in a batch (default: ${DEFAULT-VALUE})")
    int maxSequences;

    @Option(names = "--batch-tokens", defaultValue = "8192", description = "in a pass (default: ${DEFAULT-VALUE})")
    int batchTokens;

    @Option(
            names = "--kv-bytes-per-token",
            defaultValue = "0",
            description = "what a transfer between GPUs moves; 0 = it takes no time (default: ${DEFAULT-VALUE})")
    long kvBytesPerToken;

    @Option(
            names = "--transfer-gbytes",
            defaultValue = "64",
            description = "GB/s of a transfer (default: ${DEFAULT-VALUE})")
    double transferGigabytes;

    @Option(
            names = "--threads",
            defaultValue = "1",
            description = "runs at a time; the results do not depend on it (default: ${DEFAULT-VALUE})")
    int threads;

    Slo slo() {
        return Slo.parse(slo);
    }

    PassTimer timer() {
        if (engine.equals("dynamo")) {
            return DynamoEngineModel.DEFAULT;
        }
        if (engine.startsWith("roofline:")) {
            return RooflineEngineModel.parse(engine.substring("roofline:".length()));
        }
        throw new IllegalArgumentException(
                "--engine is dynamo or roofline:…, such as roofline:model=llama-3.1-8b,gpu=h100, not '" + engine + "'");
    }

    Cluster limits() {
        SettingRange.check("--kv-blocks", kvBlocks, 1, KV_BLOCKS_MAX);
        if (blockTokens < 1 || PREFIX_TOKENS % blockTokens != 0) {
            throw new IllegalArgumentException("--block-tokens must divide the " + PREFIX_TOKENS
                    + " tokens of a prefix id, such as 16, 64 or 512, not " + blockTokens);
        }
        positive("--max-sequences", maxSequences);
        positive("--batch-tokens", batchTokens);
        if (kvBytesPerToken < 0 || !(transferGigabytes > 0)) {
            throw new IllegalArgumentException("--kv-bytes-per-token must be at least 0, --transfer-gbytes above 0");
        }
        return new Cluster(
                1, kvBlocks, blockTokens, maxSequences, batchTokens, kvBytesPerToken, transferGigabytes * 1e9);
    }

    private static void positive(String name, int value) {
        if (value < 1) {
            throw new IllegalArgumentException(name + " must be at least 1, not " + value);
        }
    }

    List<Long> seeds() {
        SettingRange.check("--seeds", seeds, 1, 100);
        List<Long> list = new ArrayList<>();
        for (long seed = 1; seed <= seeds; seed++) {
            list.add(seed);
        }
        return list;
    }

    int threads() {
        positive("--threads", threads);
        return threads;
    }

    /** The trace of a seed. */
    LongFunction<Trace> traces() throws IOException {
        return traces(copies, requestsMax);
    }

    LongFunction<Trace> traces(int times, int atMost) throws IOException {
        SettingRange.check("--copies", times, 1, COPIES_MAX);
        positive("--requests", atMost);
        if (trace.startsWith(SYNTHETIC)) {
            var phases = SyntheticTrace.parse(trace.substring(SYNTHETIC.length()));
            if (times > 1) {
                throw new IllegalArgumentException("--copies is for trace files; raise the rate of a synthetic trace");
            }
            return seed -> SyntheticTrace.generate(phases, seed).head(atMost);
        }
        Path file = Path.of(trace);
        if (!Files.isReadable(file)) {
            throw new IllegalArgumentException("--trace: no file " + trace
                    + " to read; give a Mooncake .jsonl, an Azure .csv, or synthetic:rate=20,input=4000");
        }
        Trace whole = TraceFiles.read(file);
        if (times == 1 && !resample) {
            Trace head = whole.head(atMost);
            return seed -> head;
        }
        TraceSampling sampling = new TraceSampling(whole);
        return seed -> sampling.draw(times, atMost, seed);
    }
}
