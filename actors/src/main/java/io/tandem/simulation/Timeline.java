package io.tandem.simulation;

import io.tandem.simulation.RoleBoard.Counts;
import java.util.List;

/**
 * A run over time, in even steps of arrival time.
 *
 * @param stepSeconds length of a step
 * @param arrivals requests that arrived in the step
 * @param good those of them that met the targets in the end
 * @param prefill workers with that role at the step's end
 */
public record Timeline(double stepSeconds, int[] arrivals, int[] good, int[] prefill, int[] decode, int[] mixed) {
    private static final int STEPS = 60;

    static Timeline of(Scenario s, SimulationResult r) {
        long[] arrivalNanos = s.trace().arrivalNanos();
        long step = Math.max(1, Math.ceilDiv(arrivalNanos[arrivalNanos.length - 1] + 1, STEPS));
        Timeline t = new Timeline(
                step / 1e9, new int[STEPS], new int[STEPS], new int[STEPS], new int[STEPS], new int[STEPS]);
        for (int i = 0; i < arrivalNanos.length; i++) {
            int at = (int) (arrivalNanos[i] / step);
            t.arrivals[at]++;
            t.good[at] += r.good(i, s.slo()) ? 1 : 0;
        }
        List<Counts> history = r.roles().history();
        int next = 0;
        for (int i = 0; i < STEPS; i++) {
            while (next + 1 < history.size() && history.get(next + 1).fromNanos() <= (i + 1) * step) {
                next++;
            }
            t.prefill[i] = history.get(next).prefill();
            t.decode[i] = history.get(next).decode();
            t.mixed[i] = history.get(next).mixed();
        }
        return t;
    }
}
