package io.tandem.cli;

import io.tandem.settings.SettingRange;
import io.tandem.simulation.BuiltInPolicy;
import io.tandem.simulation.Comparison;
import io.tandem.simulation.Comparison.Cell;
import io.tandem.simulation.Layout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Policies and layouts on a trace under virtual time. */
@Command(
        name = "simulate",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Plays a trace under virtual time against the production policies and those of others, and counts the requests that"
                    + " meet their targets.",
            "Example: tandem simulate --trace conversation.jsonl --layout agg:8,pd:4:4 --policy tandem,dynamo"
                    + " --speedup 1,2,4 --html report.html"
        },
        footer = {"", "Policies: see --list-policies. docs/simulator.md says what is modelled and how true it is."})
final class Simulate implements Callable<Integer> {
    @Mixin
    SimulationOptions options;

    @Option(
            names = "--layout",
            split = ",",
            defaultValue = "agg:8",
            description =
                    "agg:WORKERS (all do both), pd:PREFILL:DECODE, dynamic:WORKERS[:PREFILL] (roles change while it runs);"
                            + " several by comma (default: ${DEFAULT-VALUE})")
    List<String> layouts;

    @Option(
            names = "--policy",
            split = ",",
            defaultValue = "tandem",
            description = "one or more by comma, or all (default: ${DEFAULT-VALUE})")
    List<String> policies;

    @Option(
            names = "--speedup",
            split = ",",
            defaultValue = "1",
            description = "arrivals so many times as fast; several by comma (default: ${DEFAULT-VALUE})")
    List<Double> speedups;

    @Option(names = "--json", paramLabel = "FILE", description = "all figures, runs and timelines")
    Path json;

    @Option(names = "--html", paramLabel = "FILE", description = "a page with plots that needs nothing else")
    Path html;

    @Option(names = "--markdown", description = "print the table of documents: good requests by rate")
    boolean markdown;

    @Option(
            names = "--bound",
            description =
                    "also what no policy can surpass: perfect reuse, the most efficient steps, the trace known beforehand")
    boolean bound;

    @Option(names = "--list-policies", help = true, description = "the names that --policy takes, with a line on each")
    boolean list;

    @Override
    public Integer call() throws Exception {
        if (list) {
            for (BuiltInPolicy p : BuiltInPolicy.values()) {
                System.out.printf("%-14s %s%n", p.id(), p.description());
            }
            return 0;
        }
        OutputFile.check("--json", json);
        OutputFile.check("--html", html);
        Comparison comparison = new Comparison(
                policies(),
                layouts.stream().map(Layout::parse).toList(),
                speedups(),
                options.seeds(),
                options.slo(),
                options.engine,
                options.timer(),
                options.limits(),
                options.traces());
        double aloneMs = comparison.decodeAloneMillis();
        if (aloneMs > comparison.slo().itlMillis()) {
            System.err.printf(
                    Locale.ROOT,
                    "with this engine one output alone takes %.1f ms a token: none can be good with an ITL target of %.1f ms%n",
                    aloneMs,
                    comparison.slo().itlMillis());
        }
        String leftOut = comparison.leftOut();
        if (comparison.runs() > 0 && !leftOut.isEmpty() && !policies.equals(List.of("all"))) {
            System.err.println("left out: " + leftOut);
        }
        List<Cell> cells = comparison.run(options.threads(), SimulationReport::progress);
        List<Cell> bounds = bound ? comparison.bounds() : List.of();
        SimulationReport report = new SimulationReport(options.trace, comparison, cells, bounds);
        System.out.print(markdown ? report.markdown() : report.table());
        if (json != null) {
            Files.writeString(json, report.json());
            System.err.println("wrote " + json);
        }
        if (html != null) {
            Files.writeString(html, report.html());
            System.err.println("wrote " + html);
        }
        return 0;
    }

    private List<BuiltInPolicy> policies() {
        if (policies.equals(List.of("all"))) {
            return Arrays.asList(BuiltInPolicy.values());
        }
        return policies.stream()
                .map(p -> BuiltInPolicy.of(p.strip().toLowerCase(Locale.ROOT)))
                .collect(Collectors.toList());
    }

    private List<Double> speedups() {
        for (double s : speedups) {
            SettingRange.checkPositive("--speedup", s, 1_000_000);
        }
        return speedups;
    }
}
