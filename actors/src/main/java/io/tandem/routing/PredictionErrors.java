package io.tandem.routing;

import io.tandem.engine.EngineRole;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.DoubleAdder;
import java.util.concurrent.atomic.LongAdder;

/**
 * How wrong predictions were: histograms of the relative error |predicted / observed - 1|, by what was predicted, by the role of the
 * worker it was predicted for, and by the side it erred to. Safe for any thread.
 */
public final class PredictionErrors {
    /** Upper bounds of the buckets; a last one takes the rest. */
    public static final List<Double> ERRORS = List.of(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0);

    /** What is predicted. */
    public enum Figure {
        /** Time to first token. */
        TTFT,
        /** Mean time between the tokens of an attempt. */
        ITL
    }

    /**
     * One histogram.
     *
     * @param figure "ttft" or "itl"
     * @param role of the worker, "prefill", "decode" or "mixed"
     * @param side "over" = more was predicted than observed, or "under"
     * @param counts one a bucket
     * @param sum of the errors
     */
    public record Histogram(String figure, String role, String side, List<Long> counts, double sum) {}

    private static final class Cell {
        final LongAdder[] buckets = new LongAdder[ERRORS.size() + 1];
        final DoubleAdder sum = new DoubleAdder();

        Cell() {
            for (int i = 0; i < buckets.length; i++) {
                buckets[i] = new LongAdder();
            }
        }
    }

    private static final String[] SIDES = {"over", "under"};

    private final Map<Figure, Map<EngineRole, Cell[]>> cells = new EnumMap<>(Figure.class);

    public PredictionErrors() {
        for (Figure figure : Figure.values()) {
            Map<EngineRole, Cell[]> roles = new EnumMap<>(EngineRole.class);
            for (EngineRole role : EngineRole.values()) {
                roles.put(role, new Cell[] {new Cell(), new Cell()});
            }
            cells.put(figure, roles);
        }
    }

    private Cell cell(Figure figure, EngineRole role, int side) {
        return cells.get(figure).get(role)[side];
    }

    /** A prediction came true or did not; one of nothing, or of what cannot be measured, is left out. */
    public void observe(Figure figure, EngineRole role, double predictedNanos, double observedNanos) {
        if (!(predictedNanos > 0) || !(observedNanos > 0)) {
            return;
        }
        double error = predictedNanos / observedNanos - 1;
        Cell cell = cell(figure, role, error >= 0 ? 0 : 1);
        int bucket = 0;
        while (bucket < ERRORS.size() && Math.abs(error) > ERRORS.get(bucket)) {
            bucket++;
        }
        cell.buckets[bucket].increment();
        cell.sum.add(Math.abs(error));
    }

    /** Those in which something was counted. */
    public List<Histogram> histograms() {
        List<Histogram> all = new ArrayList<>();
        for (Figure figure : Figure.values()) {
            for (EngineRole role : EngineRole.values()) {
                for (int side = 0; side < SIDES.length; side++) {
                    Cell cell = cell(figure, role, side);
                    List<Long> counts = new ArrayList<>(cell.buckets.length);
                    for (LongAdder bucket : cell.buckets) {
                        counts.add(bucket.sum());
                    }
                    if (counts.stream().anyMatch(n -> n > 0)) {
                        all.add(new Histogram(lower(figure), lower(role), SIDES[side], counts, cell.sum.sum()));
                    }
                }
            }
        }
        return all;
    }

    private static String lower(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }
}
