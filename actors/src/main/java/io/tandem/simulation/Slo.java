package io.tandem.simulation;

import java.util.Locale;

/**
 * What a request must meet to count as good.
 *
 * @param ttftMillis time to first token, at most
 * @param itlMillis mean time between the tokens of a request, at most
 */
public record Slo(double ttftMillis, double itlMillis) {
    /** The targets of Dynamo's published replays. */
    public static final Slo DEFAULT = new Slo(2000, 25);

    public Slo {
        if (!(ttftMillis > 0) || !(itlMillis > 0)) {
            throw new IllegalArgumentException(
                    "slo: ttft and itl must be above 0, not " + ttftMillis + " ms and " + itlMillis + " ms");
        }
    }

    /** Reads {@code ttft=2s,itl=25ms}. */
    public static Slo parse(String text) {
        double ttft = DEFAULT.ttftMillis;
        double itl = DEFAULT.itlMillis;
        for (String field : text.split(",", -1)) {
            int equals = field.indexOf('=');
            String name = equals < 0 ? field : field.substring(0, equals).strip();
            switch (name) {
                case "ttft" -> ttft = millis(name, field.substring(equals + 1));
                case "itl" -> itl = millis(name, field.substring(equals + 1));
                default ->
                    throw new IllegalArgumentException(
                            "slo: '" + field + "' is neither ttft=TIME nor itl=TIME, such as ttft=2s,itl=25ms");
            }
        }
        return new Slo(ttft, itl);
    }

    private static double millis(String name, String text) {
        String time = text.strip().toLowerCase(Locale.ROOT);
        boolean millis = time.endsWith("ms");
        if (!millis && !time.endsWith("s")) {
            throw new IllegalArgumentException("slo: " + name + "=" + text + " needs a unit, ms or s");
        }
        try {
            double value = Double.parseDouble(
                    time.substring(0, time.length() - (millis ? 2 : 1)).strip());
            return millis ? value : value * 1000;
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("slo: " + name + "=" + text + " is no time such as 2s or 25ms", e);
        }
    }

    long ttftNanos() {
        return Math.round(ttftMillis * 1e6);
    }

    long itlNanos() {
        return Math.round(itlMillis * 1e6);
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "ttft=%sms,itl=%sms", plain(ttftMillis), plain(itlMillis));
    }

    private static String plain(double millis) {
        return millis == Math.rint(millis) ? Long.toString((long) millis) : Double.toString(millis);
    }
}
