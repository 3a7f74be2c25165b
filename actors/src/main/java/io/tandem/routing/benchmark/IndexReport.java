package io.tandem.routing.benchmark;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.StreamSupport;

/** Tables of an {@link IndexBenchmark}: lowest, median and highest of the runs. */
public final class IndexReport {
    private static final double MILLION = 1e6;
    private static final double MICROSECOND = 1e3;

    private static final String INDEX_HEADER = """
            | workers | build M blocks/s | look-ups M blocks/s | p50 us | p99 us | from block hashes M blocks/s | p50 us \
            | two readers M blocks/s | bytes a (worker, block) | runs |
            |---|---|---|---|---|---|---|---|---|---|
            """;

    private static final String MIXED_HEADER = """

            | workers | threads | mixed M block-ops/s | look-up p50 us | p99 us | runs |
            |---|---|---|---|---|---|
            """;

    private static final String HASHING_HEADER = """

            | tokens a block | XXH3 M tokens/s | its chain M blocks/s | both M tokens/s | both, cached M tokens/s \
            | SHA-256 M tokens/s | keyed M tokens/s | runs |
            |---|---|---|---|---|---|---|---|
            """;

    private IndexReport() {}

    public static String markdown(JsonNode report) {
        StringBuilder text = new StringBuilder(INDEX_HEADER);
        for (int workers : distinct(report.path("index"), "workers")) {
            JsonNode[] runs = select(report.path("index"), "workers", workers);
            row(
                    text,
                    Integer.toString(workers),
                    cell(runs, "/build/blocksPerSecond", MILLION),
                    cell(runs, "/lookUp/blocksPerSecond", MILLION),
                    cell(runs, "/lookUp/p50Nanos", MICROSECOND),
                    cell(runs, "/lookUp/p99Nanos", MICROSECOND),
                    cell(runs, "/lookUpFromLocals/blocksPerSecond", MILLION),
                    cell(runs, "/lookUpFromLocals/p50Nanos", MICROSECOND),
                    cell(runs, "/lookUpTwoThreads/blocksPerSecond", MILLION),
                    cell(runs, "/heapBytesPerEntry", 1),
                    Integer.toString(runs.length));
        }
        text.append(MIXED_HEADER);
        for (int workers : distinct(report.path("index"), "workers")) {
            JsonNode[] runs = select(report.path("index"), "workers", workers);
            for (String phase : new String[] {"mixed", "mixedTwoThreads"}) {
                row(
                        text,
                        Integer.toString(workers),
                        phase.equals("mixed") ? "1" : "2",
                        cell(runs, "/" + phase + "/blocksPerSecond", MILLION),
                        cell(runs, "/" + phase + "/p50Nanos", MICROSECOND),
                        cell(runs, "/" + phase + "/p99Nanos", MICROSECOND),
                        Integer.toString(runs.length));
            }
        }
        text.append(HASHING_HEADER);
        for (int blockTokens : distinct(report.path("hashing"), "blockTokens")) {
            JsonNode[] runs = select(report.path("hashing"), "blockTokens", blockTokens);
            row(
                    text,
                    Integer.toString(blockTokens),
                    cell(runs, "/localTokens", MILLION),
                    cell(runs, "/chainBlocks", MILLION),
                    cell(runs, "/bothTokens", MILLION),
                    cell(runs, "/cachedTokens", MILLION),
                    cell(runs, "/blockHashTokens", MILLION),
                    cell(runs, "/keyedHashTokens", MILLION),
                    Integer.toString(runs.length));
        }
        return text.toString();
    }

    private static int[] distinct(JsonNode rows, String field) {
        return StreamSupport.stream(rows.spliterator(), false)
                .mapToInt(row -> row.path(field).asInt())
                .distinct()
                .toArray();
    }

    private static JsonNode[] select(JsonNode rows, String field, int value) {
        return StreamSupport.stream(rows.spliterator(), false)
                .filter(row -> row.path(field).asInt() == value)
                .toArray(JsonNode[]::new);
    }

    private static String cell(JsonNode[] runs, String path, double unit) {
        double[] values = Arrays.stream(runs)
                .mapToDouble(run -> run.at(path).asDouble() / unit)
                .sorted()
                .toArray();
        double lowest = values[0];
        double highest = values[values.length - 1];
        return number(lowest) + " / " + number(values[values.length / 2]) + " / " + number(highest);
    }

    private static String number(double value) {
        int decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2;
        return String.format(Locale.ROOT, "%." + decimals + "f", value);
    }

    private static void row(StringBuilder text, String... cells) {
        text.append("| ").append(String.join(" | ", cells)).append(" |\n");
    }
}
