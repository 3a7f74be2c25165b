package io.tandem.simulation;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * Requests drawn from a seed: phases one after another, each with its own arrival process, length mix, shared prefixes and
 * turns. Gaps between sessions are gamma distributed (coefficient of variation 1 = Poisson), lengths log-normal.
 */
public final class SyntheticTrace {
    private static final int BLOCK_TOKENS = 512;
    private static final int TOKENS_MAX = 1_000_000;
    private static final int REQUESTS_MAX = 10_000_000;

    /**
     * One phase of the traffic.
     *
     * @param seconds its length
     * @param sessionsPerSecond new sessions; requests are {@code turns} times as many
     * @param burstiness coefficient of variation of the gaps; 0 = evenly spaced
     * @param inputMedian new prompt tokens a turn, median
     * @param inputSigma of the logarithm
     * @param outputMedian output tokens, median
     * @param outputSigma of the logarithm
     * @param prefixes distinct shared prefixes (system prompts); 0 = none
     * @param prefixTokens their length
     * @param turns requests a session
     * @param thinkSeconds mean pause between an answer's nominal end and the next turn
     */
    public record Phase(
            double seconds,
            double sessionsPerSecond,
            double burstiness,
            int inputMedian,
            double inputSigma,
            int outputMedian,
            double outputSigma,
            int prefixes,
            int prefixTokens,
            int turns,
            double thinkSeconds) {
        public static final Phase DEFAULT = new Phase(600, 10, 1, 2000, 0.8, 200, 0.8, 0, 0, 1, 10);

        /** This phase with one field set by its name in the command line. */
        Phase with(String key, double v) {
            return switch (key) {
                case "seconds" -> copy(v, sessionsPerSecond, burstiness, inputMedian, outputMedian);
                case "rate" -> copy(seconds, v, burstiness, inputMedian, outputMedian);
                case "burstiness" -> copy(seconds, sessionsPerSecond, v, inputMedian, outputMedian);
                case "input" -> copy(seconds, sessionsPerSecond, burstiness, (int) v, outputMedian);
                case "output" -> copy(seconds, sessionsPerSecond, burstiness, inputMedian, (int) v);
                case "sigma" -> shape(v, v, prefixes, prefixTokens, turns, thinkSeconds);
                case "prefixes" -> shape(inputSigma, outputSigma, (int) v, prefixTokens, turns, thinkSeconds);
                case "prefix-tokens" -> shape(inputSigma, outputSigma, prefixes, (int) v, turns, thinkSeconds);
                case "turns" -> shape(inputSigma, outputSigma, prefixes, prefixTokens, (int) v, thinkSeconds);
                case "think" -> shape(inputSigma, outputSigma, prefixes, prefixTokens, turns, v);
                default ->
                    throw new IllegalArgumentException("synthetic trace: unknown field " + key
                            + "; known are seconds, rate, burstiness, input, output, sigma, prefixes, prefix-tokens,"
                            + " turns, think");
            };
        }

        /** Once all of its fields are set: each within its range, and no more requests than memory holds. */
        private Phase checked() {
            range("seconds", seconds, 0.001, 1e8);
            range("rate", sessionsPerSecond, 1e-6, 1e6);
            range("burstiness", burstiness, 0, 100);
            range("input", inputMedian, 1, TOKENS_MAX / 2.0);
            range("output", outputMedian, 1, TOKENS_MAX / 2.0);
            range("sigma", inputSigma, 0, 10);
            range("prefixes", prefixes, 0, 1e6);
            range("prefix-tokens", prefixTokens, 0, TOKENS_MAX);
            range("turns", turns, 1, 10_000);
            range("think", thinkSeconds, 0, 1e6);
            range("seconds x rate x turns", seconds * sessionsPerSecond * turns, 0, REQUESTS_MAX);
            return this;
        }

        private static void range(String field, double value, double min, double max) {
            if (!(value >= min && value <= max)) {
                throw new IllegalArgumentException(String.format(
                        Locale.ROOT, "synthetic trace: %s must be %s to %s, not %s", field, min, max, value));
            }
        }

        private Phase copy(double s, double rate, double burst, int input, int output) {
            return new Phase(
                    s,
                    rate,
                    burst,
                    input,
                    inputSigma,
                    output,
                    outputSigma,
                    prefixes,
                    prefixTokens,
                    turns,
                    thinkSeconds);
        }

        private Phase shape(double inSigma, double outSigma, int groups, int groupTokens, int sessionTurns, double t) {
            return new Phase(
                    seconds,
                    sessionsPerSecond,
                    burstiness,
                    inputMedian,
                    inSigma,
                    outputMedian,
                    outSigma,
                    groups,
                    groupTokens,
                    sessionTurns,
                    t);
        }
    }

    private record Request(long arrivalNanos, int input, int output, int[] ids) {}

    private final SplittableRandom random;
    private final List<Request> requests = new ArrayList<>();
    private int nextId = 1;

    private SyntheticTrace(long seed) {
        random = new SplittableRandom(seed);
    }

    /**
     * Reads phases such as {@code rate=20,input=4000;rate=5,output=800}: fields by comma, phases by semicolon, each phase
     * beginning from the one before it.
     */
    public static List<Phase> parse(String text) {
        List<Phase> phases = new ArrayList<>();
        Phase phase = Phase.DEFAULT;
        for (String one : text.split(";", -1)) {
            for (String field : one.isBlank() ? new String[0] : one.split(",", -1)) {
                int equals = field.indexOf('=');
                if (equals < 0) {
                    throw new IllegalArgumentException("synthetic trace: '" + field + "' is not field=number");
                }
                phase = phase.with(field.substring(0, equals).strip(), number(field, field.substring(equals + 1)));
            }
            phases.add(phase.checked());
        }
        return phases;
    }

    private static double number(String field, String value) {
        try {
            return Double.parseDouble(value);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(
                    "synthetic trace: '" + field.strip() + "' is not field=number, such as rate=20", e);
        }
    }

    /** Draws the requests of all phases. */
    public static Trace generate(List<Phase> phases, long seed) {
        SyntheticTrace draw = new SyntheticTrace(seed);
        double start = 0;
        for (int p = 0; p < phases.size(); p++) {
            draw.phase(phases.get(p), start, p);
            start += phases.get(p).seconds();
        }
        draw.requests.sort(Comparator.comparingLong(Request::arrivalNanos));
        Trace.Builder trace = new Trace.Builder("synthetic-" + seed, BLOCK_TOKENS);
        for (Request r : draw.requests) {
            trace.add(r.arrivalNanos, r.input, r.output, r.ids);
        }
        return trace.build();
    }

    private void phase(Phase phase, double start, int number) {
        double at = start;
        while (true) {
            at += gamma(phase.burstiness()) / phase.sessionsPerSecond();
            if (at >= start + phase.seconds()) {
                return;
            }
            session(phase, at, number);
        }
    }

    private void session(Phase phase, double start, int number) {
        List<Integer> ids = new ArrayList<>();
        int history = 0;
        if (phase.prefixes() > 0) {
            history = phase.prefixTokens();
            int group = random.nextInt(phase.prefixes());
            for (int b = 0; b < history / BLOCK_TOKENS; b++) {
                ids.add(-(1 + number * 1_000_003 + group * 1009 + b) & Integer.MAX_VALUE);
            }
        }
        double at = start;
        for (int turn = 0; turn < phase.turns(); turn++) {
            int input = Math.min(TOKENS_MAX, history + length(phase.inputMedian(), phase.inputSigma()));
            int output = length(phase.outputMedian(), phase.outputSigma());
            while (ids.size() < Math.ceilDiv(input, BLOCK_TOKENS)) {
                ids.add(nextId++);
            }
            requests.add(new Request(
                    Math.round(at * 1e9),
                    input,
                    output,
                    ids.stream()
                            .limit(Math.ceilDiv(input, BLOCK_TOKENS))
                            .mapToInt(Integer::intValue)
                            .toArray()));
            history = input + output;
            at += output * 0.02 + phase.thinkSeconds() * exponential();
        }
    }

    private int length(int median, double sigma) {
        return (int) Math.clamp(median * Math.exp(sigma * random.nextGaussian()), 1, TOKENS_MAX / 2.0);
    }

    private double exponential() {
        return -Math.log1p(-random.nextDouble());
    }

    /** Mean 1, the given coefficient of variation; Marsaglia and Tsang (2000), boosted for shapes below 1. */
    private double gamma(double variation) {
        if (variation <= 0) {
            return 1;
        }
        double shape = 1 / (variation * variation);
        double boost = shape < 1 ? Math.pow(1 - random.nextDouble(), 1 / shape) : 1;
        double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3;
        double c = 1 / Math.sqrt(9 * d);
        while (true) {
            double x = random.nextGaussian();
            double v = Math.pow(1 + c * x, 3);
            if (v > 0 && Math.log1p(-random.nextDouble()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
                return d * v * boost / shape;
            }
        }
    }
}
