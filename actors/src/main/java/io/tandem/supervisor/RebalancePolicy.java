package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.supervisor.LayoutModel.Layout;
import io.tandem.supervisor.LayoutModel.Strain;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Which role each worker should have. Compares the present layout with others by {@link LayoutModel} and moves towards a
 * better one, a small step at a time: only when the present one strains its targets, when the other is better by a margin, several
 * rounds running, when the latest change had time to show its effect, and never a worker that has changed lately. At least one
 * worker takes prompts and one decodes at any time; when a loss leaves neither, it is mended after a grace without any of
 * these brakes.
 *
 * <p>Plain arithmetic without clock or randomness. What must outlive a supervisor is not in {@link State}: roles, their age and
 * what they were before come from the workers, demand from the nodes where requests arrive. A supervisor that starts with
 * {@link State#START} only counts its confirmations anew.
 */
public final class RebalancePolicy {
    /** A change that would undo the worker's latest one within this many dwells needs as many times the confirmations. */
    private static final int REVERSAL = 4;

    private static final int REACH = 4;
    private static final EngineRole[] ROLES = EngineRole.values();

    private final RebalanceSettings settings;

    public RebalancePolicy(RebalanceSettings settings) {
        this.settings = settings;
    }

    /** One worker's change of role. */
    public record Flip(String gpuId, EngineRole from, EngineRole to) {}

    /**
     * What the policy remembers between rounds.
     *
     * @param wanted the change that the latest rounds agreed on, or empty
     * @param rounds how many of them
     * @param pending changes told and not seen done
     * @param pendingSinceNanos when they were told
     * @param incompleteSinceNanos since when no worker takes prompts, or none decodes; 0 = both kinds are there
     */
    public record State(
            String wanted, int rounds, List<Flip> pending, long pendingSinceNanos, long incompleteSinceNanos) {
        public static final State START = new State("", 0, List.of(), 0, 0);

        public State {
            pending = List.copyOf(pending);
        }

        private State confirm(String change) {
            return new State(change, change.equals(wanted) ? rounds + 1 : 1, List.of(), 0, 0);
        }
    }

    /**
     * A decision for people.
     *
     * @param layout now, such as 2P2D or 0P0D4M
     * @param promptStrain predicted for it; 1 = at the TTFT target
     * @param decodeStrain predicted for it; 1 = at the ITL target
     * @param wanted the best layout known
     * @param reason one sentence
     */
    public record Verdict(String layout, double promptStrain, double decodeStrain, String wanted, String reason) {}

    /** The answer: what to remember, what to do, what to say. */
    public record Outcome(State state, List<Flip> flips, Verdict verdict) {
        public Outcome {
            flips = List.copyOf(flips);
        }
    }

    /** One round; to be called once an interval. */
    public Outcome decide(State state, List<WorkerView> all, Demand demand, long nowNanos) {
        List<WorkerView> workers = all.stream().filter(WorkerView::available).toList();
        Layout layout = layout(workers);
        if (workers.isEmpty()) {
            return rest(State.START, layout, new Strain(0, 0), layout, "no worker is there");
        }
        List<Flip> pending = stillPending(state, workers, nowNanos);
        LayoutModel model = new LayoutModel(demand, workers, settings);
        Strain now = layout.servesAll() ? model.strain(layout) : new Strain(0, 0);
        if (!pending.isEmpty()) {
            State same = new State("", 0, pending, state.pendingSinceNanos(), state.incompleteSinceNanos());
            return rest(same, layout, now, layout, "waits until " + pending.getFirst() + " is done");
        }
        if (!layout.servesAll()) {
            return mend(state, workers, layout, nowNanos);
        }
        return improve(state, workers, layout, model, now, nowNanos);
    }

    private List<Flip> stillPending(State state, List<WorkerView> workers, long nowNanos) {
        if (nowNanos - state.pendingSinceNanos() >= settings.flipTimeout().toNanos()) {
            return List.of();
        }
        return state.pending().stream()
                .filter(f -> workers.stream().anyMatch(w -> w.gpuId().equals(f.gpuId()) && w.role() != f.to()))
                .toList();
    }

    /** A kind is missing: one worker alone does both, of several the fittest changes. */
    private Outcome mend(State state, List<WorkerView> workers, Layout layout, long nowNanos) {
        long since = state.incompleteSinceNanos() == 0 ? nowNanos : state.incompleteSinceNanos();
        State waiting = new State("", 0, List.of(), 0, since);
        EngineRole missing = layout.prefill() == 0 ? EngineRole.PREFILL : EngineRole.DECODE;
        String lacks = "no worker takes " + (missing == EngineRole.PREFILL ? "prompts" : "decodes");
        Strain none = new Strain(0, 0);
        if (nowNanos - since < settings.settleTime().toNanos()) {
            return rest(waiting, layout, none, layout, lacks + "; waits a moment for one to come back");
        }
        EngineRole to = workers.size() == 1 ? EngineRole.MIXED : missing;
        EngineRole from = workers.getFirst().role();
        Flip flip = flips(workers, from, to, 1, false).getFirst();
        return act(List.of(flip), nowNanos, layout, none, layout.flip(from, to, 1), lacks);
    }

    private Outcome improve(
            State state, List<WorkerView> workers, Layout layout, LayoutModel model, Strain now, long nowNanos) {
        if (now.score() < settings.actAbove()) {
            return rest(State.START, layout, now, layout, "the targets are met with room");
        }
        List<Layout> better = better(layout, model, now.score() * (1 - settings.margin()));
        if (better.isEmpty()) {
            return rest(State.START, layout, now, layout, "no layout is better by the margin");
        }
        Layout best = better.getFirst();
        Step step = null;
        for (int i = 0; i < better.size() && step == null; i++) {
            best = better.get(i);
            step = step(layout, best, model, now.score());
        }
        if (step == null) {
            return rest(State.START, layout, now, better.getFirst(), "a single change would make it worse");
        }
        int count = Math.min(step.count(), atOnce(step.count(), workers.size(), now));
        List<Flip> flips = flips(workers, step.from(), step.to(), count, true);
        if (flips.isEmpty()) {
            return rest(State.START, layout, now, best, "every " + step.from() + " worker has changed lately");
        }
        String change = step.from() + " to " + step.to();
        State confirmed = state.confirm(change);
        int needed = settings.confirmations() * (reverses(workers, flips.getFirst()) ? REVERSAL : 1);
        String why =
                String.format(Locale.ROOT, "%s: predicted %.2f instead of %.2f", change, step.score(), now.score());
        Optional<String> watched = watched(workers);
        if (watched.isPresent()) {
            why = "watches the effect of " + watched.get() + "'s change; then " + why;
            return rest(confirmed, layout, now, best, why);
        }
        if (confirmed.rounds() < needed) {
            return rest(confirmed, layout, now, best, why + ", round " + confirmed.rounds() + " of " + needed);
        }
        return act(flips, nowNanos, layout, now, best, why);
    }

    /** Whose change shows no effect yet. Rounds confirm meanwhile, nothing else is changed. */
    private Optional<String> watched(List<WorkerView> workers) {
        return workers.stream()
                .filter(w ->
                        w.changed() && w.roleAgeNanos() < settings.settleTime().toNanos())
                .map(WorkerView::gpuId)
                .findFirst();
    }

    /** A share of the workers; where a target is nearly missed half of the way, rounded up, so that the way does not take an hour. */
    private int atOnce(int way, int workers, Strain now) {
        boolean urgent = now.score() > (1 + settings.actAbove()) / 2;
        return Math.max(1, Math.max(urgent ? (way + 1) / 2 : 0, (int) (settings.changeShare() * workers)));
    }

    private boolean reverses(List<WorkerView> workers, Flip flip) {
        return workers.stream()
                .anyMatch(w -> w.gpuId().equals(flip.gpuId())
                        && w.changed()
                        && w.previousRole() == flip.to()
                        && w.roleAgeNanos() < REVERSAL * settings.minDwell().toNanos());
    }

    private static Outcome rest(State state, Layout layout, Strain now, Layout wanted, String why) {
        return new Outcome(state, List.of(), verdict(layout, now, wanted, why));
    }

    private static Outcome act(List<Flip> flips, long nowNanos, Layout layout, Strain now, Layout wanted, String why) {
        return new Outcome(new State("", 0, flips, nowNanos, 0), flips, verdict(layout, now, wanted, why));
    }

    private static Verdict verdict(Layout layout, Strain now, Layout wanted, String why) {
        return new Verdict(layout.toString(), now.prompts(), now.decodes(), wanted.toString(), why);
    }

    static Layout layout(List<WorkerView> workers) {
        return new Layout(
                count(workers, EngineRole.PREFILL),
                count(workers, EngineRole.DECODE),
                count(workers, EngineRole.MIXED));
    }

    private static int count(List<WorkerView> workers, EngineRole role) {
        return (int) workers.stream().filter(w -> w.role() == role).count();
    }

    /** Of every split into two kinds, all MIXED, and what a few changes reach from here: those below a score, the best first. */
    private static List<Layout> better(Layout from, LayoutModel model, double than) {
        Set<Layout> candidates = new LinkedHashSet<>();
        int n = from.workers();
        for (int p = 1; p < n; p++) {
            candidates.add(new Layout(p, n - p, 0));
        }
        candidates.add(new Layout(0, 0, n));
        for (int p = -REACH; p <= REACH; p++) {
            for (int d = -REACH; d <= REACH; d++) {
                candidates.add(new Layout(from.prefill() + p, from.decode() + d, from.mixed() - p - d));
            }
        }
        Map<Layout, Double> scores = new LinkedHashMap<>();
        for (Layout c : candidates) {
            if (Math.min(c.prefill(), Math.min(c.decode(), c.mixed())) >= 0 && c.servesAll() && !c.equals(from)) {
                double score = model.strain(c).score();
                if (score <= than) {
                    scores.put(c, score);
                }
            }
        }
        return scores.entrySet().stream()
                .sorted(Map.Entry.comparingByValue())
                .map(Map.Entry::getKey)
                .toList();
    }

    private record Step(EngineRole from, EngineRole to, int count, double score) {}

    /** The change to make next: of those that lead to the target the one with the best layout after it; null when none helps. */
    private static Step step(Layout layout, Layout target, LayoutModel model, double score) {
        Step best = null;
        for (EngineRole from : ROLES) {
            for (EngineRole to : ROLES) {
                int count = Math.min(layout.of(from) - target.of(from), target.of(to) - layout.of(to));
                if (count > 0 && layout.flip(from, to, 1).servesAll()) {
                    double after = model.strain(layout.flip(from, to, 1)).score();
                    best = better(best, new Step(from, to, count, after));
                }
            }
        }
        return best != null && best.score() < score ? best : null;
    }

    private static Step better(Step a, Step b) {
        return a == null || b.score() < a.score() ? b : a;
    }

    /** The workers that suit the new role best, among equals those with least to give up. */
    private List<Flip> flips(List<WorkerView> workers, EngineRole from, EngineRole to, int count, boolean dwell) {
        boolean towardsPrompts = to == EngineRole.PREFILL || to == EngineRole.MIXED && from == EngineRole.DECODE;
        Comparator<WorkerView> fitness = Comparator.comparingDouble(w -> Math.rint(20 * Math.log(skill(w))));
        Comparator<WorkerView> order = towardsPrompts ? fitness.reversed() : fitness;
        List<Flip> flips = new ArrayList<>(count);
        workers.stream()
                .filter(w -> w.role() == from && !(dwell && dwells(w)))
                .sorted(order.thenComparingDouble(w -> w.decodes() + w.waitingPromptTokens() / 512.0)
                        .thenComparing(WorkerView::gpuId))
                .limit(count)
                .forEach(w -> flips.add(new Flip(w.gpuId(), from, to)));
        return flips;
    }

    /** A role that was never changed is nobody's decision of late: nothing is undone by giving it up. */
    private boolean dwells(WorkerView w) {
        return w.changed() && w.roleAgeNanos() < settings.minDwell().toNanos();
    }

    /** How much better a worker is at prompts than at decodes; only the ratio between workers means something. */
    private static double skill(WorkerView w) {
        return Math.max(1e-9, w.steps().decodeNanos(32, 32_768) / Math.max(1, LayoutModel.tokenNanos(w)));
    }
}
