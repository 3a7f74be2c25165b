package io.tandem.cli;

import io.tandem.simulation.planning.LayoutPlanner.Point;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** One self-contained page: the plot as inline SVG, the frontier as a table. */
final class ParetoPage {
    private static final int WIDTH = 860;
    private static final int HEIGHT = 460;
    private static final int LEFT = 70;
    private static final int BOTTOM = 50;
    private static final int TOP = 20;
    private static final int RIGHT = 20;
    private static final int TICKS = 5;

    private final double maxX;
    private final double maxY;
    private final StringBuilder svg = new StringBuilder();

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
        points.forEach(p -> page.dot(p, 2, p.split() ? "#d9762b" : "#3b6fb6", 0.35));
        page.line(frontier);
        best.ifPresent(p -> page.dot(p, 7, "#1a7f37", 1));
        return "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>" + escape(title) + "</title><style>"
                + "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:900px;color:#222}"
                + "table{border-collapse:collapse}td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid #ddd}"
                + "td:first-child,th:first-child{text-align:left}.key span{margin-right:1.5em}</style><h1 style=\"font-size:20px\">"
                + escape(title) + "</h1><p class=\"key\"><span style=\"color:#3b6fb6\">&#9679; aggregated</span>"
                + "<span style=\"color:#d9762b\">&#9679; split into prefill and decode</span>"
                + "<span style=\"color:#222\">&#8212; frontier</span><span style=\"color:#1a7f37\">&#9679; recommended for the target</span></p>"
                + "<svg viewBox=\"0 0 " + WIDTH + " " + HEIGHT
                + "\" role=\"img\" aria-label=\"tokens a second and GPU over tokens a second and user\">"
                + page.svg + "</svg>" + table(frontier)
                + "<p>Predicted in a steady state without queues; simulate a trace for what arrivals do to it.</p></html>\n";
    }

    private double x(double value) {
        return LEFT + value / maxX * (WIDTH - LEFT - RIGHT);
    }

    private double y(double value) {
        return HEIGHT - BOTTOM - value / maxY * (HEIGHT - BOTTOM - TOP);
    }

    private void axes() {
        for (int i = 0; i <= TICKS; i++) {
            double vx = maxX * i / TICKS;
            double vy = maxY * i / TICKS;
            add("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#eee\"/>", x(vx), x(vx), y(0), y(maxY));
            add("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#eee\"/>", x(0), x(maxX), y(vy), y(vy));
            add(
                    "<text x=\"%.1f\" y=\"%.1f\" font-size=\"12\" text-anchor=\"middle\">%.0f</text>",
                    x(vx), y(0) + 18, vx);
            add(
                    "<text x=\"%.1f\" y=\"%.1f\" font-size=\"12\" text-anchor=\"end\">%.0f</text>",
                    x(0) - 8, y(vy) + 4, vy);
        }
        add(
                "<text x=\"%.1f\" y=\"%.1f\" font-size=\"13\" text-anchor=\"middle\">tokens/s per user</text>",
                x(maxX / 2), y(0) + 40);
        add(
                "<text transform=\"translate(%.1f %.1f) rotate(-90)\" font-size=\"13\" text-anchor=\"middle\">tokens/s per GPU</text>",
                16.0, y(maxY / 2));
    }

    private void dot(Point p, int radius, String colour, double opacity) {
        add(
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"" + radius + "\" fill=\"" + colour + "\" opacity=\"" + opacity
                        + "\"><title>" + p.layout() + ", batch " + p.batch() + "</title></circle>",
                x(p.tokensPerSecondPerUser()),
                y(p.tokensPerSecondPerGpu()));
    }

    private void line(List<Point> frontier) {
        svg.append("<polyline fill=\"none\" stroke=\"#222\" stroke-width=\"1.5\" points=\"");
        frontier.forEach(p -> add("%.1f,%.1f ", x(p.tokensPerSecondPerUser()), y(p.tokensPerSecondPerGpu())));
        svg.append("\"/>");
    }

    private static String table(List<Point> frontier) {
        StringBuilder rows = new StringBuilder(
                "<table><tr><th>layout<th>GPUs<th>batch<th>TTFT ms<th>ITL ms<th>tok/s/user<th>tok/s/GPU");
        for (Point p : frontier) {
            rows.append(String.format(
                    Locale.ROOT,
                    "<tr><td>%s<td>%d<td>%d<td>%.0f<td>%.1f<td>%.1f<td>%.1f",
                    p.layout(),
                    p.gpus(),
                    p.batch(),
                    p.ttftMs(),
                    p.itlMs(),
                    p.tokensPerSecondPerUser(),
                    p.tokensPerSecondPerGpu()));
        }
        return rows.append("</table>").toString();
    }

    private void add(String shape, double... values) {
        svg.append(
                String.format(Locale.ROOT, shape, Arrays.stream(values).boxed().toArray()));
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }
}
