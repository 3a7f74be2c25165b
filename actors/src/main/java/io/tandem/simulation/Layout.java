package io.tandem.simulation;

/**
 * Which workers do what: the first {@code prefillWorkers} only prompts, the others only outputs; 0 = every worker both.
 *
 * @param workers all of them
 * @param prefillWorkers 0, or 1 to {@code workers - 1}
 */
public record Layout(int workers, int prefillWorkers) {
    public Layout {
        if (workers < 1 || prefillWorkers < 0 || prefillWorkers >= workers) {
            throw new IllegalArgumentException("a layout needs at least one worker of each role, not " + prefillWorkers
                    + " for prefill among " + workers);
        }
    }

    /** Reads {@code agg:8} or {@code pd:4:4}. */
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
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("layout '" + text + "' has a part that is no number", e);
        }
        throw new IllegalArgumentException(
                "layout '" + text + "' is neither agg:WORKERS nor pd:PREFILL:DECODE, such as agg:8 or pd:4:4");
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
        return split() ? "pd:" + prefillWorkers + ":" + (workers - prefillWorkers) : "agg:" + workers;
    }
}
