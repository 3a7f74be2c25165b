package io.tandem.cli;

import io.tandem.simulation.planning.LayoutPlanner.Point;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Formatter;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** One self-contained page: the plot as inline SVG, the frontier as a table. */
final class ParetoPage {
    private static final int WIDTH = 860;
    private static final int HEIGHT = 460;
    private static final int LEFT = 92;
    private static final int BOTTOM = 64;
    private static final int TOP = 20;
    private static final int RIGHT = 20;
    private static final int TICKS = 6;
    private static final String STYLE = """
            :root{--ink:#222;--page:#fff;--line:#ddd;--grid:#eee;--together:#3b6fb6;--split:#c9641c;--best:#1a7f37}
            @media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--page:#15181b;--line:#363c43;--grid:#2a2f35;
              --together:#6ea3ea;--split:#eb9350;--best:#4cc26b}}
            body{font:15px system-ui,sans-serif;margin:2em auto;padding:0 1em;max-width:900px;color:var(--ink);background:var(--page)}
            h1{font-size:20px}.key span{margin-right:1.5em;white-space:nowrap}.scroll{overflow-x:auto}
            .together{color:var(--together)}.split{color:var(--split)}.best{color:var(--best)}
            svg{width:100%;height:auto}svg circle{fill:currentColor}svg line{stroke:var(--grid)}
            svg text{fill:var(--ink);font-size:12px}svg polyline{fill:none;stroke:var(--ink);stroke-width:1.5}
            @media (max-width:600px){svg text{font-size:22px}}
            table{border-collapse:collapse}td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
            td:first-child,th:first-child{text-align:left}
            """;

    private final double maxX;
    private final double maxY;
    private final StringBuilder svg = new StringBuilder();
    private final Formatter out = new Formatter(svg, Locale.ROOT);

    private ParetoPage(double maxX, double maxY) {
        this.maxX = maxX;
        this.maxY = maxY;
    }

    static String of(String title, List<Point> points, List<Point> frontier, Optional<Point> best) {
        double x =
                points.stream().mapToDouble(Point::tokensPerSecondPerUser).max().orElse(1);
        double y =
                points.stream().mapToDouble(Point::tokensPerSecondPerGpu).max().orElse(1);
        ParetoPage page = new ParetoPage(x * 1.05, y * 1.05);
        page.axes();
        points.forEach(p -> page.dot(p, 2, p.split() ? "split" : "together", 0.4));
        page.line(frontier);
        best.ifPresent(p -> page.dot(p, 7, "best", 1));
        return """
                <!doctype html><html lang="en"><meta charset="utf-8">
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <title>%1$s</title><style>%2$s</style>
                <h1>%1$s</h1>
                <p class="key"><span class="together">&#9679; aggregated</span>
                <span class="split">&#9679; split into prefill and decode</span>
                <span>&#8212; frontier</span><span class="best">&#9679; recommended for the target</span></p>
                <svg viewBox="0 0 %3$d %4$d" role="img" aria-label="tokens a second and GPU over tokens a second and user">
                %5$s</svg><div class="scroll">%6$s</div>
                <p>Predicted in a steady state without queues; simulate a trace for what arrivals do to it.</p></html>
                """.formatted(escape(title), STYLE, WIDTH, HEIGHT, page.svg, table(frontier, best));
    }

    private double x(double value) {
        return LEFT + value / maxX * (WIDTH - LEFT - RIGHT);
    }

    private double y(double value) {
        return HEIGHT - BOTTOM - value / maxY * (HEIGHT - BOTTOM - TOP);
    }

    private void axes() {
        for (double v : ticks(maxX)) {
            out.format("<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>", x(v), x(v), y(0), y(maxY));
            out.format("<text x='%.1f' y='%.1f' text-anchor='middle'>%s</text>", x(v), y(0) + 24, plain(v));
        }
        for (double v : ticks(maxY)) {
            out.format("<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>", x(0), x(maxX), y(v), y(v));
            out.format("<text x='%.1f' y='%.1f' text-anchor='end'>%s</text>", x(0) - 8, y(v) + 4, plain(v));
        }
        out.format("<text x='%.1f' y='%.1f' text-anchor='middle'>tokens/s per user</text>", x(maxX / 2), y(0) + 52);
        out.format(
                "<text transform='translate(%.1f %.1f) rotate(-90)' text-anchor='middle'>tokens/s per GPU</text>",
                16.0, y(maxY / 2));
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

    private void dot(Point p, int radius, String kind, double opacity) {
        out.format(
                "<circle class='%s' cx='%.1f' cy='%.1f' r='%d' opacity='%.1f'><title>%s, batch %d</title></circle>",
                kind,
                x(p.tokensPerSecondPerUser()),
                y(p.tokensPerSecondPerGpu()),
                radius,
                opacity,
                escape(p.layout()),
                p.batch());
    }

    private void line(List<Point> frontier) {
        svg.append("<polyline points=\"");
        frontier.forEach(p -> out.format("%.1f,%.1f ", x(p.tokensPerSecondPerUser()), y(p.tokensPerSecondPerGpu())));
        svg.append("\"/>");
    }

    private static String table(List<Point> frontier, Optional<Point> best) {
        StringBuilder rows = new StringBuilder(
                "<table><tr><th>layout<th>GPUs<th>batch<th>TTFT ms<th>ITL ms<th>tok/s/user<th>tok/s/GPU");
        for (Point p : frontier) {
            rows.append(String.format(
                    Locale.ROOT,
                    "<tr%s><td>%s<td>%d<td>%d<td>%.0f<td>%.1f<td>%.1f<td>%.1f",
                    best.equals(Optional.of(p)) ? " class='best'" : "",
                    escape(p.layout()),
                    p.gpus(),
                    p.batch(),
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
