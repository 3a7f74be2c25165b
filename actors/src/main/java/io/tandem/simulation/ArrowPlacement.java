package io.tandem.simulation;

import io.tandem.engine.EngineRole;

/**
 * The dynamic roles of Arrow as xLLM's service carries them out: a role is an index entry and flips at once. Prompts go to the
 * prefill worker with the least backlog, or to a decode worker with time to spare when all are behind; outputs to the first
 * decode worker whose step stays within the target. A prefill worker becomes a decode worker when no decode worker met the
 * target and prompts can spare it; a decode worker without requests becomes a prefill worker. No hysteresis, as in the original.
 * Its limits of 1000 ms and 50 ms are half the TTFT target and the ITL target here.
 */
public final class ArrowPlacement implements Placement {
    private final RoleBoard roles;
    private final int blockTokens;
    private final EngineProfile profile;
    private final double backlogLimitNanos;
    private final double itlNanos;
    private final double[] backlogNanos;
    private final int[] decodes;
    private final long[] contextTokens;
    private final int[] inputTokens;
    private final double[] bookedNanos;
    private final int[] decodeAt;

    public ArrowPlacement(Scenario s, RoleBoard roles) {
        this.roles = roles;
        blockTokens = s.cluster().blockTokens();
        profile = new EngineProfile(s);
        backlogLimitNanos = s.slo().ttftNanos() / 2.0;
        itlNanos = (double) s.slo().itlNanos();
        backlogNanos = new double[roles.workers()];
        decodes = new int[roles.workers()];
        contextTokens = new long[roles.workers()];
        inputTokens = s.trace().inputTokens();
        bookedNanos = new double[s.trace().size()];
        decodeAt = new int[s.trace().size()];
    }

    @Override
    public Plan place(Arrival arrival) {
        int prefill = prefillChoice();
        int decode = decodeChoice(arrival);
        int uncached = Math.max(1, arrival.inputTokens() - arrival.depths()[prefill] * blockTokens);
        bookedNanos[arrival.request()] = profile.prefillNanos(uncached);
        backlogNanos[prefill] += bookedNanos[arrival.request()];
        decodes[decode]++;
        contextTokens[decode] += arrival.inputTokens();
        decodeAt[arrival.request()] = decode;
        return new Plan(prefill, decode);
    }

    private int prefillChoice() {
        int best = -1;
        int spare = -1;
        for (int w = 0; w < roles.workers(); w++) {
            if (roles.role(w) == EngineRole.PREFILL) {
                best = best < 0 || backlogNanos[w] < backlogNanos[best] ? w : best;
            } else {
                spare = spare < 0 || step(w, 0) < step(spare, 0) ? w : spare;
            }
        }
        int decoders = roles.count(EngineRole.DECODE);
        boolean behind = backlogNanos[best] > backlogLimitNanos;
        boolean helps =
                step(spare, 0) < itlNanos * (decoders - 1) / decoders && backlogNanos[spare] < backlogNanos[best];
        return behind && helps ? spare : best;
    }

    private int decodeChoice(Arrival arrival) {
        int lightest = -1;
        for (int w = 0; w < roles.workers(); w++) {
            if (roles.role(w) != EngineRole.DECODE) {
                continue;
            }
            if (step(w, arrival.inputTokens()) <= itlNanos) {
                return w;
            }
            lightest = lightest < 0 || step(w, arrival.inputTokens()) < step(lightest, arrival.inputTokens())
                    ? w
                    : lightest;
        }
        recruit(arrival.nowNanos());
        return lightest;
    }

    private double step(int w, int moreContext) {
        return profile.stepNanos(decodes[w] + (moreContext > 0 ? 1 : 0), contextTokens[w] + moreContext);
    }

    /** No decode worker met the target: a prefill worker becomes one if prompts can spare it. */
    private void recruit(long nowNanos) {
        int prefills = roles.count(EngineRole.PREFILL);
        if (prefills < 2) {
            return;
        }
        double sum = 0;
        int idlest = -1;
        for (int w = 0; w < roles.workers(); w++) {
            if (roles.role(w) == EngineRole.PREFILL) {
                sum += backlogNanos[w];
                idlest = idlest < 0 || backlogNanos[w] < backlogNanos[idlest] ? w : idlest;
            }
        }
        boolean spare = sum / prefills < backlogLimitNanos * (prefills - 1) / prefills;
        if (spare || roles.count(EngineRole.DECODE) < prefills) {
            roles.flip(idlest, EngineRole.DECODE, nowNanos);
        }
    }

    @Override
    public void prefillEnded(int request, int worker, long nowNanos) {
        backlogNanos[worker] = Math.max(0, backlogNanos[worker] - bookedNanos[request]);
    }

    @Override
    public void finished(int request, int worker, long nowNanos) {
        int at = decodeAt[request];
        decodes[at]--;
        contextTokens[at] -= inputTokens[request];
        boolean idle = decodes[at] == 0 && roles.role(at) == EngineRole.DECODE;
        if (idle && roles.count(EngineRole.DECODE) > 1) {
            roles.flip(at, EngineRole.PREFILL, nowNanos);
        }
    }
}
