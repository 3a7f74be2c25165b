package io.tandem.cli;

import com.typesafe.config.ConfigFactory;
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
import io.tandem.simulation.planning.FittedEngineModel;
import io.tandem.simulation.planning.Replica;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.LongFunction;
import picocli.CommandLine.Option;

/** What is simulated, as the simulator's commands take it. */
final class SimulationOptions {
    private static final String SYNTHETIC = "synthetic:";
    /** Above, {@link TraceSampling} would draw too few: e to the minus copies is 0 then. */
    private static final int COPIES_MAX = 500;

    private static final String FITTED = "fitted:";
    private static final int KV_BLOCKS = 16_384;
    private static final double TRANSFER_GIGABYTES = 64;
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
            description =
                    "dynamo (its replay's own timing); what tandem pareto plans with, a worker being tp GPUs, such as"
                            + " fitted:model=llama-3.1-70b,gpu=h100,precision=fp8,tp=2; or a plain roofline, such as"
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

    @Option(
            names = "--kv-blocks",
            description = "of a worker (default: 16384; with fitted what its memory holds beside the weights)")
    Integer kvBlocks;

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
            description =
                    "what a transfer between workers moves; 0 = it takes no time (default: 0; with fitted the model's)")
    Long kvBytesPerToken;

    @Option(
            names = "--transfer-gbytes",
            description = "GB/s of a transfer (default: 64; with fitted the GPUs' network)")
    Double transferGigabytes;

    @Option(
            names = "--threads",
            defaultValue = "1",
            description = "runs at a time; the results do not depend on it (default: ${DEFAULT-VALUE})")
    int threads;

    Slo slo() {
        return Slo.parse(slo);
    }

    PassTimer timer() throws IOException {
        if (engine.equals("dynamo")) {
            return DynamoEngineModel.DEFAULT;
        }
        if (engine.startsWith(FITTED)) {
            return FittedEngineModel.parse(engine.substring(FITTED.length()), ConfigFactory.load());
        }
        if (engine.startsWith("roofline:")) {
            return RooflineEngineModel.parse(engine.substring("roofline:".length()));
        }
        throw new IllegalArgumentException(
                "--engine is dynamo, fitted:… or roofline:…, such as fitted:model=llama-3.1-8b,gpu=h100, not '" + engine
                        + "'");
    }

    Cluster limits() throws IOException {
        if (blockTokens < 1 || PREFIX_TOKENS % blockTokens != 0) {
            throw new IllegalArgumentException("--block-tokens must divide the " + PREFIX_TOKENS
                    + " tokens of a prefix id, such as 16, 64 or 512, not " + blockTokens);
        }
        positive("--max-sequences", maxSequences);
        positive("--batch-tokens", batchTokens);
        Optional<Replica> replica =
                timer() instanceof FittedEngineModel m ? Optional.of(m.replica()) : Optional.empty();
        int blocks = kvBlocks != null
                ? kvBlocks
                : replica.map(r -> (int) Math.min(KV_BLOCKS_MAX, r.kvTokens() / blockTokens))
                        .orElse(KV_BLOCKS);
        long bytes = kvBytesPerToken != null
                ? kvBytesPerToken
                : replica.map(r -> (long) r.model().kvBytesPerToken(r.precision()))
                        .orElse(0L);
        double gigabytes = transferGigabytes != null
                ? transferGigabytes
                : replica.map(r -> r.networkBytesPerSecond() / 1e9).orElse(TRANSFER_GIGABYTES);
        SettingRange.check("--kv-blocks", blocks, 1, KV_BLOCKS_MAX);
        if (bytes < 0 || !(gigabytes > 0)) {
            throw new IllegalArgumentException("--kv-bytes-per-token must be at least 0, --transfer-gbytes above 0");
        }
        return new Cluster(1, blocks, blockTokens, maxSequences, batchTokens, bytes, gigabytes * 1e9);
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
