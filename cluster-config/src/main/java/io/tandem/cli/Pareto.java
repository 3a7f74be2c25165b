package io.tandem.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.typesafe.config.ConfigFactory;
import io.tandem.model.Models;
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
import java.util.Optional;
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

    @Option(
            names = "--model",
            required = true,
            description = "a known model (Llama-3.1-8B), or a model's file or folder")
    String model;

    @Option(names = "--gpu", required = true, description = "a known GPU, such as h100, h200, b200, a100, l40s")
    String gpu;

    @Option(names = "--isl", required = true, description = "prompt tokens of a request")
    int promptTokens;

    @Option(names = "--osl", required = true, description = "output tokens of a request")
    int outputTokens;

    @Option(names = "--precision", defaultValue = "bf16", description = "bf16, fp8, fp4 or int4 (default: bf16)")
    String precision;

    @Option(names = "--gpus", defaultValue = "8", description = "GPUs a layout may use at most (default: 8)")
    int gpus;

    @Option(names = "--ttft-ms", defaultValue = "1000", description = "target of the recommendation (default: 1000)")
    double ttftMs;

    @Option(names = "--itl-ms", defaultValue = "25", description = "target of the recommendation (default: 25)")
    double itlMs;

    @Option(names = "--json", description = "write all points here")
    Path json;

    @Option(names = "--html", description = "write a page with the plot here")
    Path html;

    @Override
    public Integer call() throws Exception {
        OutputFile.check("--json", json);
        OutputFile.check("--html", html);
        var demand = new LayoutPlanner.Demand(
                shape(), GpuSpec.of(gpu), Precision.of(precision), promptTokens, outputTokens, gpus);
        List<Point> points = new LayoutPlanner(StepTimes.from(ConfigFactory.load()), demand).points();
        if (points.isEmpty()) {
            throw new IllegalArgumentException(String.format(
                    Locale.ROOT,
                    "%s in %s (%.0f GB of weights) and one sequence do not fit on %d GPUs of %.0f GB: raise --gpus or lower --precision",
                    demand.model().name(),
                    demand.precision(),
                    demand.model().weightBytes(demand.precision()) / 1e9,
                    gpus,
                    demand.gpu().memoryBytes() / 1e9));
        }
        List<Point> frontier = LayoutPlanner.frontier(points);
        Optional<Point> best = LayoutPlanner.best(points, ttftMs, itlMs);
        print(demand, frontier, best);
        if (json != null) {
            writeJson(demand, points, frontier, best);
        }
        if (html != null) {
            Files.writeString(html, ParetoPage.of(title(demand), points, frontier, best));
            System.out.println("Page: " + html);
        }
        return 0;
    }

    private ModelShape shape() throws IOException {
        Path path = Path.of(model);
        if (Files.exists(path)) {
            try (var checkpoint = Models.openWeights(path)) {
                return ModelShape.of(path.getFileName().toString(), checkpoint.config());
            }
        }
        return ModelShape.of(model);
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

    private void print(LayoutPlanner.Demand demand, List<Point> frontier, Optional<Point> best) {
        System.out.println(title(demand) + " (predicted; docs/benchmarks/timing-model.md has the model's errors)");
        System.out.println();
        System.out.printf(
                "%-18s %5s %6s %9s %8s %12s %10s%n",
                "layout", "GPUs", "batch", "TTFT ms", "ITL ms", "tok/s/user", "tok/s/GPU");
        int every = (frontier.size() + MAX_ROWS - 1) / MAX_ROWS;
        for (int i = 0; i < frontier.size(); i += every) {
            System.out.println(row(frontier.get(i)));
        }
        if (every > 1) {
            System.out.printf("(one in %d of the frontier's %d; --html and --json have all)%n", every, frontier.size());
        }
        System.out.println();
        System.out.printf(Locale.ROOT, "Cheapest with TTFT <= %.0f ms and ITL <= %.1f ms:", ttftMs, itlMs);
        System.out.println(best.map(p -> "\n" + row(p)).orElse(" none; see the frontier for what is possible"));
    }

    private static String row(Point p) {
        return String.format(
                Locale.ROOT,
                "%-18s %5d %6d %9.1f %8.2f %12.1f %10.1f",
                p.layout(),
                p.gpus(),
                p.batch(),
                p.ttftMs(),
                p.itlMs(),
                p.tokensPerSecondPerUser(),
                p.tokensPerSecondPerGpu());
    }

    private void writeJson(LayoutPlanner.Demand demand, List<Point> points, List<Point> frontier, Optional<Point> best)
            throws IOException {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("title", title(demand));
        all.put("frontier", frontier.stream().map(Pareto::fields).toList());
        all.put("best", best.map(Pareto::fields).orElse(null));
        all.put("points", points.stream().map(Pareto::fields).toList());
        Files.writeString(
                json, new ObjectMapper().writerWithDefaultPrettyPrinter().writeValueAsString(all));
    }

    private static Map<String, Object> fields(Point p) {
        Map<String, Object> f = new LinkedHashMap<>();
        f.put("layout", p.layout());
        f.put("gpus", p.gpus());
        f.put("batch", p.batch());
        f.put("ttft_ms", p.ttftMs());
        f.put("itl_ms", p.itlMs());
        f.put("kv_transfer_ms", p.transferMs());
        f.put("tokens_per_second_per_user", p.tokensPerSecondPerUser());
        f.put("tokens_per_second_per_gpu", p.tokensPerSecondPerGpu());
        return f;
    }
}
