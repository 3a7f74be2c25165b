package io.tandem.routing.benchmark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.tandem.simulation.Trace;
import io.tandem.simulation.TraceFiles;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The prefix index and its hashes on a request trace, each run in a process of its own. On the Mooncake conversation trace the
 * totals and the answers are checked against those of other routers' indexes.
 */
public final class IndexBenchmark {
    private static final int BLOCK_TOKENS = 64;
    private static final List<Integer> HASHED_BLOCK_TOKENS = List.of(16, 64, 512);
    private static final ObjectMapper JSON = new ObjectMapper();

    private IndexBenchmark() {}

    /**
     * Runs everything.
     *
     * @param trace Mooncake JSONL
     * @param workers sizes of the fleet
     * @param runs processes for each size, 1 to 50
     * @return an object with the machine and, under {@code index} and {@code hashing}, one object a run
     * @throws IOException when a process cannot be started, or fails
     */
    public static JsonNode run(Path trace, List<Integer> workers, int runs) throws IOException, InterruptedException {
        if (runs < 1 || runs > 50) {
            throw new IllegalArgumentException("runs must be 1 to 50, not " + runs);
        }
        ObjectNode report = JSON.createObjectNode();
        report.put("trace", String.valueOf(trace.getFileName()));
        report.put("jdk", Runtime.version().toString());
        report.put("processors", Runtime.getRuntime().availableProcessors());
        report.put("os", System.getProperty("os.name") + " " + System.getProperty("os.arch"));
        ArrayNode index = report.putArray("index");
        ArrayNode hashing = report.putArray("hashing");
        for (int i = 0; i < runs; i++) {
            for (int n : workers) {
                index.add(process(trace, Integer.toString(n)));
            }
            hashing.addAll((ArrayNode) process(trace, "hashing"));
        }
        return report;
    }

    private static JsonNode process(Path trace, String what) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        for (String flag : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            if (flag.startsWith("--") || flag.startsWith("-X")) {
                command.add(flag);
            }
        }
        command.addAll(List.of(
                "-cp", System.getProperty("java.class.path"), IndexBenchmark.class.getName(), trace.toString(), what));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (BufferedReader out =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            String line = out.readLine();
            if (process.waitFor() != 0 || line == null) {
                throw new IOException("the process that measures " + what + " failed; its messages are above");
            }
            return JSON.readTree(line);
        } finally {
            process.destroyForcibly();
        }
    }

    /** One process: {@code TRACE WORKERS} or {@code TRACE hashing}; prints one line of JSON. */
    public static void main(String[] args) throws Exception {
        Path file = Path.of(args[0]);
        Trace trace = TraceFiles.read(file);
        if (args[1].equals("hashing")) {
            HashMeasurement hashing = new HashMeasurement(trace.inputTokens());
            List<HashMeasurement.Result> results = new ArrayList<>();
            for (int blockTokens : HASHED_BLOCK_TOKENS) {
                results.add(hashing.measure(blockTokens));
            }
            System.out.println(JSON.writeValueAsString(results));
            return;
        }
        int workers = Integer.parseInt(args[1]);
        boolean known = ReferenceFigures.apply(file);
        IndexMeasurement measurement =
                new IndexMeasurement(IndexCorpus.locals(trace, BLOCK_TOKENS), workers, ReferenceFigures.CAP_BLOCKS);
        if (known) {
            ReferenceFigures.check(workers, BLOCK_TOKENS, 0, measurement.unlimitedTotals());
            ReferenceFigures.check(workers, BLOCK_TOKENS, ReferenceFigures.CAP_BLOCKS, measurement.limitedTotals());
        }
        IndexMeasurement.Result result = measurement.measure();
        if (known) {
            ReferenceFigures.check(workers, result);
        }
        ObjectNode line = JSON.createObjectNode();
        line.put("workers", workers);
        line.put("blockTokens", BLOCK_TOKENS);
        line.put("checked", known);
        line.setAll((ObjectNode) JSON.valueToTree(result));
        System.out.println(JSON.writeValueAsString(line));
    }
}
