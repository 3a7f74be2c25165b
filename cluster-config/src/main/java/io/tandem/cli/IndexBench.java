package io.tandem.cli;

import com.fasterxml.jackson.databind.JsonNode;
import io.tandem.routing.benchmark.IndexBenchmark;
import io.tandem.routing.benchmark.IndexReport;
import io.tandem.settings.SettingRange;
import io.tandem.simulation.TraceFiles;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The router's index and hashes on a request trace; see docs/benchmarks/prefix-index.md. */
@Command(
        name = "index",
        mixinStandardHelpOptions = true,
        description = "The prefix index and its hashes on a request trace: build, look-ups, both mixed, memory.")
final class IndexBench implements Callable<Integer> {
    private static final int WORKERS_MAX = 1024;

    @Option(
            names = "--trace",
            paramLabel = "FILE",
            required = true,
            description = "Mooncake JSONL; of the conversation trace the answers are checked as well")
    Path trace;

    @Option(names = "--workers", split = ",", defaultValue = "8,128", description = "default: ${DEFAULT-VALUE}")
    List<Integer> workers;

    @Option(names = "--runs", defaultValue = "5", description = "processes for each (default: ${DEFAULT-VALUE})")
    int runs;

    @Option(names = "--json", paramLabel = "FILE", description = "where to write every run as JSON")
    Path json;

    @Override
    public Integer call() throws Exception {
        if (!Files.isReadable(trace)) {
            throw new IllegalArgumentException("--trace: cannot read " + trace + "; name a Mooncake trace (.jsonl)");
        }
        OutputFile.check("--json", json);
        workers.forEach(n -> SettingRange.check("--workers", n, 1, WORKERS_MAX));
        SettingRange.check("--runs", runs, 1, 50);
        // Before a process that measures does, whose stack trace would be all to see.
        TraceFiles.read(trace);
        JsonNode report = IndexBenchmark.run(trace, workers, runs);
        if (json != null) {
            Files.writeString(json, report.toPrettyString());
        }
        System.out.println(IndexReport.markdown(report));
        return 0;
    }
}
