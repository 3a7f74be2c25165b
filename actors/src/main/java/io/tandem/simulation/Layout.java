package io.tandem.simulation;

/**
 * Which workers do what at the start: the first {@code prefillWorkers} only prompts, the others only outputs; 0 = every worker both.
 *
 * @param workers all of them
 * @param prefillWorkers 0, or 1 to {@code workers - 1}
 * @param dynamic whether roles may change while it runs
 */
public record Layout(int workers, int prefillWorkers, boolean dynamic) {
    private static final int WORKERS_MAX = 16_384;

    public Layout {
        if (workers > WORKERS_MAX) {
            throw new IllegalArgumentException("a layout has at most " + WORKERS_MAX + " workers, not " + workers
                    + "; the simulator holds all in memory");
        }
        if (workers < 1 || prefillWorkers < 0 || prefillWorkers >= workers) {
            throw new IllegalArgumentException("a layout needs at least one worker of each role, not " + prefillWorkers
                    + " for prefill among " + workers);
        }
        if (dynamic && prefillWorkers == 0) {
            throw new IllegalArgumentException("a dynamic layout begins with both roles, so it needs two workers");
        }
    }

    /** Roles that stay. */
    public Layout(int workers, int prefillWorkers) {
        this(workers, prefillWorkers, false);
    }

    /** Reads {@code agg:8}, {@code pd:4:4}, {@code dynamic:8} or, beginning with 2 for prefill, {@code dynamic:8:2}. */
    public static Layout parse(String text) {
        String[] parts = text.split(":", -1);
        try {
            if (parts.length == 2 && parts[0].equals("agg")) {
                return new Layout(Integer.parseInt(parts[1]), 0);
            }
            if (parts.length == 3 && parts[0].equals("pd")) {
                int prefill = Integer.parseInt(parts[1]);
                if (prefill > 0) {
                    return new Layout(prefill + Integer.parseInt(parts[2]), prefill);
                }
            }
            if ((parts.length == 2 || parts.length == 3) && parts[0].equals("dynamic")) {
                int workers = Integer.parseInt(parts[1]);
                return new Layout(workers, parts.length == 3 ? Integer.parseInt(parts[2]) : workers / 2, true);
            }
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("layout '" + text + "' has a part that is no number", e);
        }
        throw new IllegalArgumentException("layout '" + text
                + "' is none of agg:WORKERS, pd:PREFILL:DECODE, dynamic:WORKERS[:PREFILL], such as agg:8 or pd:4:4");
    }

    public boolean split() {
        return prefillWorkers > 0;
    }

    /** The first worker that takes prompts is 0; this is the first that does not. */
    int prefillEnd() {
        return split() ? prefillWorkers : workers;
    }

    @Override
    public String toString() {
        if (dynamic) {
            return "dynamic:" + workers + (prefillWorkers == workers / 2 ? "" : ":" + prefillWorkers);
        }
        return split() ? "pd:" + prefillWorkers + ":" + (workers - prefillWorkers) : "agg:" + workers;
    }
}
