package io.tandem.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.typesafe.config.ConfigFactory;
import io.tandem.settings.SettingRange;
import io.tandem.simulation.planning.GpuSpec;
import io.tandem.simulation.planning.LayoutPlanner;
import io.tandem.simulation.planning.LayoutPlanner.Point;
import io.tandem.simulation.planning.ModelShape;
import io.tandem.simulation.planning.Precision;
import io.tandem.simulation.planning.StepTimes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Draws the frontier of cost over speed for one demand and recommends a layout for a target. */
@Command(
        name = "pareto",
        mixinStandardHelpOptions = true,
        description = "Compare aggregated and split layouts: tokens/s and GPU over tokens/s and user.")
final class Pareto implements Callable<Integer> {
    /** Of the frontier on the terminal; files have all of it. */
    private static final int MAX_ROWS = 16;

    private static final int TOKENS_MAX = 1 << 24;

    private static final String HEAD = String.format(
            "%-18s %5s %6s %7s %9s %8s %12s %10s",
            "layout", "GPUs", "batch", "busy %", "TTFT ms", "ITL ms", "tok/s/user", "tok/s/GPU");

    @Option(
            names = "--model",
            required = true,
            description = "a known model (Llama-3.1-8B), or a model's file or folder")
    String model;

    @Option(names = "--gpu", required = true, description = "a known GPU, such as h100, h200, b200, a100, l40s")
    String gpu;

    @Option(names = "--isl", required = true, paramLabel = "TOKENS", description = "prompt tokens of a request")
    int promptTokens;

    @Option(names = "--osl", required = true, paramLabel = "TOKENS", description = "output tokens of a request")
    int outputTokens;

    @Option(
            names = "--precision",
            defaultValue = "bf16",
            description = "bf16, fp8, fp4 or int4 (default: ${DEFAULT-VALUE})")
    String precision;

    @Option(
            names = "--gpus",
            defaultValue = "8",
            description = "GPUs a layout may use at most, 1 to 1024 (default: ${DEFAULT-VALUE})")
    int gpus;

    @Option(
            names = "--ttft-ms",
            defaultValue = "1000",
            paramLabel = "MS",
            description =
                    "mean time to first token, at most; later points are not on the frontier (default: ${DEFAULT-VALUE})")
    double ttftMs;

    @Option(
            names = "--itl-ms",
            defaultValue = "25",
            paramLabel = "MS",
            description = "time between tokens of the recommended layout, at most (default: ${DEFAULT-VALUE})")
    double itlMs;

    @Option(names = "--json", paramLabel = "FILE", description = "all points and frontiers")
    Path json;

    @Option(names = "--html", paramLabel = "FILE", description = "a page with the plot that needs nothing else")
    Path html;

    @Override
    public Integer call() throws Exception {
        OutputFile.check("--json", json);
        OutputFile.check("--html", html);
        SettingRange.check("--isl", promptTokens, 1, TOKENS_MAX);
        SettingRange.check("--osl", outputTokens, 1, TOKENS_MAX);
        SettingRange.check("--gpus", gpus, 1, 1024);
        positive("--ttft-ms", ttftMs);
        positive("--itl-ms", itlMs);
        var demand = new LayoutPlanner.Demand(
                ModelShape.open(model), GpuSpec.of(gpu), Precision.of(precision), promptTokens, outputTokens, gpus);
        List<Point> points = new LayoutPlanner(StepTimes.from(ConfigFactory.load()), demand).points();
        if (points.isEmpty()) {
            throw new IllegalArgumentException(String.format(
                    Locale.ROOT,
                    "%s in %s (%.0f GB of weights) and one sequence of %d tokens do not fit on %d GPUs of %.0f GB (8 a replica at most):"
                            + " raise --gpus, lower --precision or shorten --isl and --osl",
                    demand.model().name(),
                    demand.precision(),
                    demand.model().weightBytes(demand.precision()) / 1e9,
                    promptTokens + outputTokens,
                    gpus,
                    demand.gpu().memoryBytes() / 1e9));
        }
        ParetoChoice choice = new ParetoChoice(points, outputTokens, ttftMs, itlMs);
        print(demand, choice);
        if (json != null) {
            Files.writeString(json, json(demand, choice));
            System.err.println("wrote " + json);
        }
        if (html != null) {
            Files.writeString(html, ParetoPage.of(title(demand), choice));
            System.err.println("wrote " + html);
        }
        return 0;
    }

    private static void positive(String option, double value) {
        if (!(value > 0 && value <= 1e9)) {
            throw new IllegalArgumentException(option + " must be above 0 and at most 1e9, not " + value);
        }
    }

    private String title(LayoutPlanner.Demand d) {
        return String.format(
                Locale.ROOT,
                "%s %s on %s, %d in / %d out, up to %d GPUs",
                d.model().name(),
                d.precision().name().toLowerCase(Locale.ROOT),
                d.gpu().name(),
                promptTokens,
                outputTokens,
                gpus);
    }

    private void print(LayoutPlanner.Demand demand, ParetoChoice choice) {
        System.out.println(title(demand) + " (predicted; docs/benchmarks/timing-model.md has the errors)");
        System.out.println();
        List<Point> frontier = choice.frontier();
        System.out.printf(Locale.ROOT, "Frontier, of layouts with a mean TTFT of at most %.0f ms:%n", ttftMs);
        System.out.println(HEAD);
        int every = (frontier.size() + MAX_ROWS - 1) / MAX_ROWS;
        for (int i = 0; i < frontier.size(); i += every) {
            System.out.println(row(frontier.get(i)));
        }
        if (every > 1) {
            System.out.printf("(one in %d of the frontier's %d; --html and --json have all)%n", every, frontier.size());
        }
        System.out.println();
        System.out.println(choice.sentence());
        if (choice.best().isPresent()) {
            System.out.println("The best of each layout within these targets:");
            System.out.println(HEAD);
            choice.rivals().forEach(p -> System.out.println(row(p)));
        }
    }

    private static String row(Point p) {
        return String.format(
                Locale.ROOT,
                "%-18s %5d %6d %7.0f %9.1f %8.2f %12.1f %10.1f",
                p.layout(),
                p.gpus(),
                p.batch(),
                100 * p.prefillBusy(),
                p.ttftMs(),
                p.itlMs(),
                p.tokensPerSecondPerUser(),
                p.tokensPerSecondPerGpu());
    }

    private String json(LayoutPlanner.Demand demand, ParetoChoice choice) throws IOException {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("title", title(demand));
        all.put("model", demand.model().name());
        all.put("gpu", demand.gpu().name());
        all.put("precision", precision.toLowerCase(Locale.ROOT));
        all.put("prompt_tokens", promptTokens);
        all.put("output_tokens", outputTokens);
        all.put("gpus_max", gpus);
        all.put("ttft_target_ms", ttftMs);
        all.put("itl_target_ms", itlMs);
        all.put("best", choice.best().map(this::fields).orElse(null));
        all.put("best_of_each_layout", fields(choice.rivals()));
        all.put("frontier", fields(choice.frontier()));
        Map<String, Object> layouts = new LinkedHashMap<>();
        layouts.put("aggregated", fields(choice.frontier(p -> !p.split())));
        layouts.put("split", fields(choice.frontier(Point::split)));
        for (String layout : LayoutPlanner.byLayout(choice.points()).keySet()) {
            layouts.put(layout, fields(choice.frontier(p -> p.layout().equals(layout))));
        }
        all.put("frontier_of", layouts);
        all.put("points", fields(choice.points()));
        return new ObjectMapper().writerWithDefaultPrettyPrinter().writeValueAsString(all);
    }

    private List<Map<String, Object>> fields(List<Point> points) {
        return points.stream().map(this::fields).toList();
    }

    private Map<String, Object> fields(Point p) {
        Map<String, Object> f = new LinkedHashMap<>();
        f.put("layout", p.layout());
        f.put("gpus", p.gpus());
        f.put("sequences_per_decode_replica", p.batch());
        f.put("prefill_busy_share", p.prefillBusy());
        f.put("ttft_ms", p.ttftMs());
        f.put("itl_ms", p.itlMs());
        f.put("kv_transfer_ms", p.transferMs());
        f.put("requests_per_second", p.tokensPerSecondPerGpu() * p.gpus() / outputTokens);
        f.put("output_tokens_per_second_per_user", p.tokensPerSecondPerUser());
        f.put("output_tokens_per_second_per_gpu", p.tokensPerSecondPerGpu());
        return f;
    }
}
