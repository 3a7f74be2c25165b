package io.tandem.cli;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonSerializer;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.module.SimpleModule;
import io.tandem.simulation.Comparison;
import io.tandem.simulation.Comparison.Cell;
import io.tandem.simulation.Comparison.Mean;
import io.tandem.simulation.Comparison.Saturation;
import io.tandem.simulation.RunSummary;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A comparison for people, for programs, and as a page of its own. */
final class SimulationReport {
    private static final String TEMPLATE = "simulation-report.html";
    private static final String DATA = "/*DATA*/";
    private static final String FORMAT = "%-14s %-12s %8s %8s %15s %23s %20s %6s %17s %5s%n";

    private final Document document;

    /** What the JSON holds. */
    record Document(
            String trace,
            String engine,
            String slo,
            double ttftTargetMs,
            double itlTargetMs,
            int seeds,
            List<Cell> cells,
            List<Cell> bounds,
            List<Saturation> saturation) {}

    SimulationReport(String trace, Comparison comparison, List<Cell> cells, List<Cell> bounds) {
        document = new Document(
                trace,
                comparison.engine(),
                comparison.slo().toString(),
                comparison.slo().ttftMillis(),
                comparison.slo().itlMillis(),
                comparison.seeds().size(),
                cells,
                bounds,
                comparison.speedups().size() > 1 ? Comparison.saturation(cells) : List.of());
    }

    /** JSON has no NaN: what there is none of is null. */
    private static final class Figure extends JsonSerializer<Double> {
        @Override
        public void serialize(Double value, JsonGenerator out, SerializerProvider provider) throws IOException {
            if (Double.isFinite(value)) {
                out.writeNumber(value);
            } else {
                out.writeNull();
            }
        }
    }

    static synchronized void progress(RunSummary run) {
        System.err.printf(
                Locale.ROOT,
                "%s %s x%s seed %d: %d of %d good%n",
                run.policy(),
                run.layout(),
                plain(run.speedup()),
                run.seed(),
                run.good(),
                run.requests());
    }

    private static String plain(double value) {
        return value == Math.rint(value) ? Long.toString((long) value) : Double.toString(value);
    }

    String table() {
        StringBuilder out = new StringBuilder();
        out.append(String.format(
                Locale.ROOT,
                "%s, engine %s, targets %s, %d seed%s%n%n",
                document.trace,
                document.engine,
                document.slo,
                document.seeds,
                document.seeds == 1 ? "" : "s"));
        out.append(String.format(
                FORMAT,
                "POLICY",
                "LAYOUT",
                "SPEEDUP",
                "REQ/S",
                "GOOD %",
                "TTFT ms p50/p90/p99",
                "ITL ms p50/p90/p99",
                "HIT %",
                "USE % P/D/M",
                "FLIPS"));
        for (Cell c : document.cells) {
            out.append(line(c));
        }
        document.bounds.forEach(b -> out.append(String.format(
                Locale.ROOT,
                "%-14s %-12s %8s %8.2f %15.2f%n",
                b.policy(),
                b.layout(),
                plain(b.speedup()),
                b.arrivalsPerSecond(),
                100 * b.goodShare().value())));
        if (!document.saturation.isEmpty()) {
            out.append(String.format("%nHighest rate with at least 90 %% good:%n"));
            document.saturation.forEach(s -> out.append(line(s)));
        }
        return out.toString();
    }

    private static String line(Saturation s) {
        String rate = s.requestsPerSecond() == 0
                ? "below the lowest tried"
                : String.format(
                        Locale.ROOT,
                        "%s%.2f requests/s (speedup %.2f)",
                        s.beyond() ? "at least " : "",
                        s.requestsPerSecond(),
                        s.speedup());
        return String.format(Locale.ROOT, "%-14s %-12s %s%n", s.policy(), s.layout(), rate);
    }

    private static String line(Cell c) {
        Mean good = c.goodShare();
        return String.format(
                Locale.ROOT,
                FORMAT,
                c.policy(),
                c.layout(),
                plain(c.speedup()),
                String.format(Locale.ROOT, "%.2f", c.arrivalsPerSecond()),
                c.runs().size() == 1
                        ? String.format(
                                Locale.ROOT, "%d = %.2f", c.runs().getFirst().good(), 100 * good.value())
                        : good(c, 2),
                percentiles(
                        c,
                        r -> r.ttft().p50(),
                        r -> r.ttft().p90(),
                        r -> r.ttft().p99(),
                        "%.0f"),
                percentiles(
                        c, r -> r.itl().p50(), r -> r.itl().p90(), r -> r.itl().p99(), "%.1f"),
                String.format(Locale.ROOT, "%.1f", 100 * mean(c, RunSummary::hitRate)),
                percent(mean(c, RunSummary::prefillUse)) + "/" + percent(mean(c, RunSummary::decodeUse)) + "/"
                        + percent(mean(c, RunSummary::mixedUse)),
                plain(Math.rint(mean(c, RunSummary::flips))));
    }

    /** Good requests by rate, a row each policy and layout, and where it saturates; for documents. */
    String markdown() {
        List<Double> speedups =
                document.cells.stream().map(Cell::speedup).distinct().sorted().toList();
        StringBuilder out = new StringBuilder("| policy | layout |");
        speedups.forEach(x -> out.append(" good % at x").append(plain(x)).append(" |"));
        out.append(" 90 % good up to, requests/s |\n|---|---|").append("---|".repeat(speedups.size() + 1));
        List<Cell> rows =
                Stream.concat(document.cells.stream(), document.bounds.stream()).toList();
        for (Saturation s : Comparison.saturation(rows)) {
            out.append(String.format("%n| %s | %s |", s.policy(), s.layout()));
            for (double x : speedups) {
                rows.stream()
                        .filter(c -> c.speedup() == x
                                && c.policy().equals(s.policy())
                                && c.layout().equals(s.layout()))
                        .forEach(c -> out.append(' ').append(good(c, 1)).append(" |"));
            }
            out.append(
                    s.requestsPerSecond() == 0
                            ? " below the lowest |"
                            : String.format(
                                    Locale.ROOT, " %s%.1f |", s.beyond() ? "at least " : "", s.requestsPerSecond()));
        }
        return out.append('\n').toString();
    }

    /** In percent; one run has no interval. */
    private static String good(Cell c, int digits) {
        Mean good = c.goodShare();
        String value = String.format(Locale.ROOT, "%." + digits + "f", 100 * good.value());
        return c.runs().size() < 2
                ? value
                : value + String.format(Locale.ROOT, " ± %." + digits + "f", 100 * good.halfWidth());
    }

    private static String percent(double share) {
        return Double.isNaN(share) ? "-" : String.format(Locale.ROOT, "%.0f", 100 * share);
    }

    private static String percentiles(
            Cell c,
            ToDoubleFunction<RunSummary> a,
            ToDoubleFunction<RunSummary> b,
            ToDoubleFunction<RunSummary> d,
            String format) {
        return Stream.of(a, b, d)
                .map(f -> mean(c, f))
                .map(v -> Double.isNaN(v) ? "-" : String.format(Locale.ROOT, format, v))
                .collect(Collectors.joining("/"));
    }

    /** Of the runs that have the figure; a run that answered nothing has no time to a first token. */
    private static double mean(Cell c, ToDoubleFunction<RunSummary> figure) {
        return c.runs().stream()
                .mapToDouble(figure)
                .filter(v -> !Double.isNaN(v))
                .average()
                .orElse(Double.NaN);
    }

    String json() throws JsonProcessingException {
        return new ObjectMapper()
                .setPropertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
                .registerModule(new SimpleModule()
                        .addSerializer(double.class, new Figure())
                        .addSerializer(Double.class, new Figure()))
                .writerWithDefaultPrettyPrinter()
                .writeValueAsString(document);
    }

    /** The page: a fixed template, with the figures inside as data. */
    String html() throws IOException {
        try (InputStream in = SimulationReport.class.getResourceAsStream(TEMPLATE)) {
            if (in == null) {
                throw new IOException("the template " + TEMPLATE + " is missing from the build");
            }
            String template = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            return template.replace(DATA, json().replace("</", "<\\/"));
        }
    }
}
