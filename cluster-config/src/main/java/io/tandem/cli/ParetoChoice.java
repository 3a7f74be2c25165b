package io.tandem.cli;

import io.tandem.simulation.planning.LayoutPlanner;
import io.tandem.simulation.planning.LayoutPlanner.Point;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * What is shown of a planner's points for two targets.
 *
 * @param points all of them
 * @param outputTokens of a request
 * @param ttftMs mean time to first token, at most
 * @param itlMs time between tokens, at most
 */
record ParetoChoice(List<Point> points, int outputTokens, double ttftMs, double itlMs) {
    /** The next best layouts that are named beside the best one. */
    private static final int RIVALS = 8;

    /** The cheapest within both targets. */
    Optional<Point> best() {
        return LayoutPlanner.best(points, ttftMs, itlMs);
    }

    boolean isBest(Point p) {
        return best().filter(p::equals).isPresent();
    }

    /** The best of each layout within both targets, the cheapest first; the best aggregated one always. */
    List<Point> rivals() {
        List<Point> all = LayoutPlanner.bestOfEach(points, ttftMs, itlMs);
        Optional<Point> together = all.stream().filter(p -> !p.split()).findFirst();
        return all.stream()
                .filter(p ->
                        all.indexOf(p) < RIVALS || together.filter(p::equals).isPresent())
                .toList();
    }

    /** Of points whose first token is in time; of all where none is. */
    List<Point> frontier() {
        return frontier(p -> true);
    }

    List<Point> frontier(Predicate<Point> of) {
        boolean any = points.stream().anyMatch(p -> p.ttftMs() <= ttftMs);
        return LayoutPlanner.frontier(points.stream()
                .filter(of)
                .filter(p -> !any || p.ttftMs() <= ttftMs)
                .toList());
    }

    double requestsPerSecond(Point p) {
        return p.tokensPerSecondPerGpu() * p.gpus() / outputTokens;
    }

    /** The recommendation for people. */
    String sentence() {
        String targets = String.format(Locale.ROOT, "TTFT <= %.0f ms and ITL <= %.1f ms", ttftMs, itlMs);
        return best().map(p -> String.format(
                        Locale.ROOT,
                        "Cheapest with %s: %s, %.0f output tokens/s per GPU (%.1f requests/s on %d GPUs).",
                        targets,
                        p.layout(),
                        p.tokensPerSecondPerGpu(),
                        requestsPerSecond(p),
                        p.gpus()))
                .orElse("No layout has " + targets + "; the frontier shows what is possible.");
    }
}
