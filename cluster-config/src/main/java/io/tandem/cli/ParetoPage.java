package io.tandem.cli;

import io.tandem.simulation.planning.LayoutPlanner;
import io.tandem.simulation.planning.LayoutPlanner.Point;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Formatter;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;

/** One self-contained page: the plot as inline SVG, the choice and its rivals, the frontier as a table. */
final class ParetoPage {
    private static final int WIDTH = 860;
    private static final int HEIGHT = 460;
    private static final int LEFT = 92;
    private static final int BOTTOM = 64;
    private static final int TOP = 28;
    private static final int RIGHT = 20;
    private static final int TICKS = 6;
    /** Splits that get a line of their own. */
    private static final int LINES_MAX = 6;

    private static final int NAME_WIDTH = 120;
    private static final int NAME_HEIGHT = 20;

    private static final String STYLE = """
            :root{--ink:#222;--soft:#5c6670;--page:#fff;--line:#ddd;--grid:#eee;--together:#3b6fb6;--split:#c9641c;--best:#1a7f37;--meets:#1a7f3714}
            @media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4ae;--page:#15181b;--line:#363c43;--grid:#2a2f35;
              --together:#6ea3ea;--split:#eb9350;--best:#4cc26b;--meets:#4cc26b1c}}
            body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;padding:0 1em;max-width:900px;color:var(--ink);background:var(--page)}
            h1{font-size:20px;margin-bottom:.2em}h2{font-size:17px;margin:1.6em 0 .4em}p{margin:.3em 0 .8em}.soft{color:var(--soft)}
            .key{display:flex;flex-wrap:wrap;gap:.2em 1.5em}.key span{white-space:nowrap}.key svg{width:2.2em;height:1em;vertical-align:-.1em}
            .scroll{overflow-x:auto}.together{color:var(--together)}.split{color:var(--split)}.best{color:var(--best);font-weight:600}
            .plot{width:100%;height:auto}.dot{fill:currentColor}.grid{stroke:var(--grid)}.target{stroke:var(--best);stroke-dasharray:5 4}
            .meets{fill:var(--meets)}svg text{fill:var(--ink);font-size:12px}svg text.small{fill:var(--soft);font-size:11px}
            .front{fill:none;stroke:currentColor;stroke-width:2}.front.split{stroke-dasharray:7 4}.one{fill:none;stroke:currentColor;stroke-width:1;opacity:.55}
            .star{fill:var(--best);stroke:var(--page);stroke-width:1.5}
            @media (max-width:600px){svg text,svg text.small{font-size:21px}svg text.name{display:none}}
            table{border-collapse:collapse;font-variant-numeric:tabular-nums}
            td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
            td:first-child,th:first-child{text-align:left}th{white-space:normal;vertical-align:bottom;max-width:7em}
            """;

    private static final String KEY = """
            <p class="key"><span class="together"><svg viewBox="0 0 34 16"><path class="front" d="M0 8H34"/><circle class="dot" cx="17" cy="8" r="4"/></svg> aggregated</span>
            <span class="split"><svg viewBox="0 0 34 16"><path class="front split" d="M0 8H34"/><path class="dot" d="M17 3l5 5l-5 5l-5 -5z"/></svg> prefill and decode split; thin: one ratio</span>
            <span class="best"><svg viewBox="0 0 34 16"><path class="star" d="M17 0L26 16L8 16z"/></svg> recommended</span>
            <span><svg viewBox="0 0 34 16"><path class="target" d="M0 8H34"/></svg> target</span></p>
            """;

    private final double maxX;
    private final double maxY;
    private final List<Double> names = new ArrayList<>();
    private final StringBuilder svg = new StringBuilder();
    private final Formatter out = new Formatter(svg, Locale.ROOT);

    private ParetoPage(double maxX, double maxY) {
        this.maxX = maxX;
        this.maxY = maxY;
    }

    /** @param title of the demand, as on the terminal */
    static String of(String title, ParetoChoice choice) {
        List<Point> points = choice.points();
        ParetoPage page = new ParetoPage(
                1.05 * largest(points, Point::tokensPerSecondPerUser),
                1.08 * largest(points, Point::tokensPerSecondPerGpu));
        page.target(choice.itlMs());
        page.axes();
        points.forEach(page::dot);
        page.splits(choice);
        page.line("front together", choice.frontier(p -> !p.split()));
        page.line("front split", choice.frontier(Point::split));
        choice.best().ifPresent(page::star);
        return """
                <!doctype html><html lang="en"><meta charset="utf-8">
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <title>%1$s</title><style>%2$s</style>
                <h1>%1$s</h1>
                <p>%8$s</p>
                %9$s<svg class="plot" viewBox="0 0 %3$d %4$d" role="img" aria-label="output tokens a second and GPU over output tokens a second and user">
                %5$s</svg>
                <p class="soft">Output tokens. Speed of a user = 1 / ITL. Lines join the layouts with a mean TTFT of at most %10$s ms, points have all. Right of the dashed
                line ITL is at most %11$s ms. Predicted by a roofline with fitted coefficients, for requests of one length that arrive at random times and share no prefix;
                simulate your own trace with the same timing before you buy.</p>
                <h2>Layouts that meet both targets</h2><div class="scroll">%6$s</div>
                <h2>Frontier</h2><div class="scroll">%7$s</div></html>
                """.formatted(
                        escape(title),
                        STYLE,
                        WIDTH,
                        HEIGHT,
                        page.svg,
                        table(choice.rivals(), choice),
                        table(choice.frontier(), choice),
                        escape(choice.sentence()),
                        KEY,
                        plain(choice.ttftMs()),
                        plain(choice.itlMs()));
    }

    private static double largest(List<Point> points, ToDoubleFunction<Point> figure) {
        return points.stream().mapToDouble(figure).max().orElse(1);
    }

    private double x(double value) {
        return LEFT + value / maxX * (WIDTH - LEFT - RIGHT);
    }

    private double y(double value) {
        return HEIGHT - BOTTOM - value / maxY * (HEIGHT - BOTTOM - TOP);
    }

    private void target(double itlMs) {
        double at = 1e3 / itlMs;
        if (at < maxX) {
            out.format(
                    "<rect class='meets' x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>",
                    x(at), y(maxY), x(maxX) - x(at), y(0) - y(maxY));
            out.format("<line class='target' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>", x(at), x(at), y(0), y(maxY));
            out.format(
                    "<text class='small' x='%.1f' y='%.1f' text-anchor='%s'>ITL %s ms</text>",
                    x(at), y(maxY) - 8, at > 0.85 * maxX ? "end" : "start", plain(itlMs));
        }
    }

    private void axes() {
        for (double v : ticks(maxX)) {
            out.format("<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>", x(v), x(v), y(0), y(maxY));
            out.format("<text x='%.1f' y='%.1f' text-anchor='middle'>%s</text>", x(v), y(0) + 24, plain(v));
        }
        for (double v : ticks(maxY)) {
            out.format("<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>", x(0), x(maxX), y(v), y(v));
            out.format("<text x='%.1f' y='%.1f' text-anchor='end'>%s</text>", x(0) - 8, y(v) + 4, plain(v));
        }
        out.format("<text x='%.1f' y='%.1f' text-anchor='middle'>tokens/s per user</text>", x(maxX / 2), y(0) + 52);
        out.format(
                "<text transform='translate(%.1f %.1f) rotate(-90)' text-anchor='middle'>tokens/s per GPU</text>",
                18.0, y(maxY / 2));
    }

    /** Round numbers from 0, at most so many steps. */
    private static List<Double> ticks(double max) {
        double power = Math.pow(10, Math.floor(Math.log10(max / TICKS)));
        double step = Stream.of(1, 2, 5, 10)
                .map(m -> m * power)
                .filter(s -> s * TICKS >= max)
                .findFirst()
                .orElseThrow();
        return Stream.iterate(0, i -> i * step <= max, i -> i + 1)
                .map(i -> i * step)
                .toList();
    }

    private static String plain(double value) {
        return new BigDecimal(value)
                .round(new MathContext(6))
                .stripTrailingZeros()
                .toPlainString();
    }

    /** A disc or, when split, a diamond: not by colour alone. */
    private void dot(Point p) {
        double x = x(p.tokensPerSecondPerUser());
        double y = y(p.tokensPerSecondPerGpu());
        if (p.split()) {
            out.format("<path class='dot split' opacity='.35' d='M%.1f %.1fl3 3l-3 3l-3-3z'>", x, y - 3);
        } else {
            out.format("<circle class='dot together' opacity='.35' cx='%.1f' cy='%.1f' r='2'>", x, y);
        }
        title(p);
        svg.append(p.split() ? "</path>" : "</circle>");
    }

    private void title(Point p) {
        out.format(
                Locale.ROOT,
                "<title>%s, batch %d: TTFT %.0f ms, ITL %.1f ms, %.0f tokens/s per GPU</title>",
                escape(p.layout()),
                p.batch(),
                p.ttftMs(),
                p.itlMs(),
                p.tokensPerSecondPerGpu());
    }

    /** The ratios with most of the split frontier, each over its whole range. */
    private void splits(ParetoChoice choice) {
        var front = LayoutPlanner.byLayout(choice.frontier(Point::split));
        front.entrySet().stream()
                .sorted(Comparator.comparingInt(e -> -e.getValue().size()))
                .limit(LINES_MAX)
                .forEach(e -> {
                    List<Point> line = choice.frontier(p -> p.layout().equals(e.getKey()));
                    line("one split", line);
                    name(e.getKey(), e.getValue().get(e.getValue().size() / 2));
                });
    }

    /** Where no other name is. */
    private void name(String layout, Point at) {
        double x = x(at.tokensPerSecondPerUser()) + 6;
        double y = y(at.tokensPerSecondPerGpu()) - 6;
        if (x < WIDTH - NAME_WIDTH && names.stream().noneMatch(n -> Math.abs(n - y) < NAME_HEIGHT)) {
            names.add(y);
            out.format("<text class='small name' x='%.1f' y='%.1f'>%s</text>", x, y, escape(layout));
        }
    }

    private void line(String kind, List<Point> points) {
        if (points.size() > 1) {
            svg.append("<polyline class=\"").append(kind).append("\" points=\"");
            points.forEach(p -> out.format("%.1f,%.1f ", x(p.tokensPerSecondPerUser()), y(p.tokensPerSecondPerGpu())));
            svg.append("\"/>");
        }
    }

    private void star(Point p) {
        out.format(
                "<path class='star' d='M%.1f %.1fl10 17h-20z'>",
                x(p.tokensPerSecondPerUser()), y(p.tokensPerSecondPerGpu()) - 10);
        title(p);
        svg.append("</path>");
    }

    private static String table(List<Point> points, ParetoChoice choice) {
        if (points.isEmpty()) {
            return "<p>None.</p>";
        }
        StringBuilder rows =
                new StringBuilder("<table><tr><th>layout<th>GPUs<th>sequences a replica<th>busy with prompts, percent"
                        + "<th>TTFT ms<th>ITL ms<th>tokens/s per user<th>tokens/s per GPU");
        for (Point p : points) {
            rows.append(String.format(
                    Locale.ROOT,
                    "<tr%s><td>%s<td>%d<td>%d<td>%.0f<td>%.0f<td>%.1f<td>%.1f<td>%.1f",
                    choice.isBest(p) ? " class='best'" : "",
                    escape(p.layout()),
                    p.gpus(),
                    p.batch(),
                    100 * p.prefillBusy(),
                    p.ttftMs(),
                    p.itlMs(),
                    p.tokensPerSecondPerUser(),
                    p.tokensPerSecondPerGpu()));
        }
        return rows.append("</table>").toString();
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }
}
