package io.tandem.simulation;

import io.tandem.engine.EngineRole;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** Which role each simulated worker has, since when, and every change. A role is a matter of routing alone, so it changes at once. */
public final class RoleBoard {
    private final EngineRole[] roles;
    private final EngineRole[] previous;
    private final long[] sinceNanos;
    private final int[] decodes;
    private final Map<EngineRole, Tally> tallies = new EnumMap<>(EngineRole.class);
    private final List<Counts> history = new ArrayList<>();
    private int flips;

    private static final class Tally {
        int workers;
        long workerNanos;
        long busyNanos;
    }

    /** Workers of each role from some time on. */
    public record Counts(long fromNanos, int prefill, int decode, int mixed) {}

    public RoleBoard(Layout layout) {
        for (EngineRole role : EngineRole.values()) {
            tallies.put(role, new Tally());
        }
        roles = new EngineRole[layout.workers()];
        for (int w = 0; w < roles.length; w++) {
            roles[w] = !layout.split()
                    ? EngineRole.MIXED
                    : w < layout.prefillWorkers() ? EngineRole.PREFILL : EngineRole.DECODE;
            of(roles[w]).workers++;
        }
        previous = roles.clone();
        sinceNanos = new long[roles.length];
        decodes = new int[roles.length];
        remember(0);
    }

    private Tally of(EngineRole role) {
        return tallies.get(role);
    }

    private void remember(long nowNanos) {
        history.add(new Counts(nowNanos, count(EngineRole.PREFILL), count(EngineRole.DECODE), count(EngineRole.MIXED)));
    }

    public int workers() {
        return roles.length;
    }

    public EngineRole role(int worker) {
        return roles[worker];
    }

    /** Before the latest change; the present one when there was none. */
    public EngineRole previousRole(int worker) {
        return previous[worker];
    }

    public long sinceNanos(int worker) {
        return sinceNanos[worker];
    }

    public int count(EngineRole role) {
        return of(role).workers;
    }

    /** Gives a worker another role. */
    public void flip(int worker, EngineRole to, long nowNanos) {
        EngineRole from = roles[worker];
        if (from == to) {
            return;
        }
        of(from).workerNanos += nowNanos - sinceNanos[worker];
        of(from).workers--;
        of(to).workers++;
        previous[worker] = from;
        roles[worker] = to;
        sinceNanos[worker] = nowNanos;
        flips++;
        remember(nowNanos);
    }

    /** A pass ended; so many sequences decode on. */
    void busy(int worker, long nanos, int decodesLeft) {
        of(roles[worker]).busyNanos += nanos;
        decodes[worker] = decodesLeft;
    }

    /** Sequences whose prompt is computed and which decode there, as of its latest pass. */
    public int decodes(int worker) {
        return decodes[worker];
    }

    /** Role changes so far. */
    public int flips() {
        return flips;
    }

    /** Workers of each role over time. */
    public List<Counts> history() {
        return List.copyOf(history);
    }

    /** Share of a role's worker time in which its workers computed, until {@code endNanos}; NaN when nobody had it. */
    public double use(EngineRole role, long endNanos) {
        long time = of(role).workerNanos;
        for (int w = 0; w < roles.length; w++) {
            time += roles[w] == role ? endNanos - sinceNanos[w] : 0;
        }
        return time == 0 ? Double.NaN : (double) of(role).busyNanos / time;
    }
}
