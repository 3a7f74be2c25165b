package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.routing.StepTimeModel;
import java.util.List;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;

/**
 * Predicts how close to its targets a cluster is with so many workers of each role, for one demand. Two strains: of
 * prompts, the tail of the wait for a prefill GPU as a share of what a prompt's own time leaves of the TTFT target; of decodes,
 * the step time above that of an empty GPU as a share of what the ITL target allows. 1 is at the target; both stay finite and
 * grow beyond saturation, so that overloaded layouts compare as well.
 *
 * <p>Prompts: a queue with as many servers as prefill GPUs (M/G/c by Sakasegawa's approximation, 1977), or the prompts that wait
 * now if that is more, grown by what comes beyond what they compute for as long as a layout is kept: many short prompts wait little
 * one behind the other, and still for ever longer when they are too many. Decodes: the batch follows from Little's law,
 * {@code batch = tokens/s x step time}, or is the one that runs now if that is more. A MIXED worker's steps carry both: its decodes
 * wait while chunks are computed, and the other way round. Prompts fill a prefill GPU's steps; on a MIXED one, where decodes may not
 * wait for company, each pays a step's fixed cost alone.
 */
final class LayoutModel {
    private static final double TAIL = 2.3; // e^-2.3 = 0.1: the wait that one request in ten exceeds
    private static final double SLACK_MIN = 0.25;
    private static final double UTILISATION_MAX = 0.95;
    private static final int SPLITS = 10;
    private static final int BATCH_MAX = 4096;

    /** Workers of each role. */
    record Layout(int prefill, int decode, int mixed) {
        int workers() {
            return prefill + decode + mixed;
        }

        boolean servesAll() {
            return prefill + mixed > 0 && decode + mixed > 0;
        }

        int of(EngineRole role) {
            return switch (role) {
                case PREFILL -> prefill;
                case DECODE -> decode;
                case MIXED -> mixed;
            };
        }

        Layout flip(EngineRole from, EngineRole to, int count) {
            return new Layout(
                    prefill + change(EngineRole.PREFILL, from, to, count),
                    decode + change(EngineRole.DECODE, from, to, count),
                    mixed + change(EngineRole.MIXED, from, to, count));
        }

        private static int change(EngineRole of, EngineRole from, EngineRole to, int count) {
            return (of == to ? count : 0) - (of == from ? count : 0);
        }

        @Override
        public String toString() {
            return mixed == 0 ? prefill + "P" + decode + "D" : prefill + "P" + decode + "D" + mixed + "M";
        }
    }

    /** Both strains of a layout. */
    record Strain(double prompts, double decodes) {
        /** The worse one counts; the other one decides between equals. */
        double score() {
            return Math.max(prompts, decodes) + 0.05 * Math.min(prompts, decodes);
        }
    }

    private final double requestsPerNano;
    private final double promptNanos;
    private final double loneNanos;
    private final double variation;
    private final double longPromptNanos;
    private final double longPromptSteps;
    private final double ttftSlackNanos;
    private final double outputPerNano;
    private final double emptyStepNanos;
    private final double slopeNanos;
    private final double itlSlackNanos;
    private final double batchMax;
    private final double backlogNanos;
    private final double decodesNow;
    private final double targetItlNanos;
    private final double horizonNanos;

    LayoutModel(Demand demand, List<WorkerView> workers, RebalanceSettings settings) {
        requestsPerNano = demand.requestsPerSecond() / 1e9;
        horizonNanos = (double) settings.minDwell().toNanos();
        double context = Math.max(1, demand.meanContextTokens());
        targetItlNanos = (double) settings.itlTarget().toNanos();
        double longTokens = demand.uncached().quantile(0.9);
        List<WorkerView> prompters = thatKnow(workers, StepTimeModel::prefillLearned, EngineRole.DECODE);
        List<WorkerView> decoders = thatKnow(workers, StepTimeModel::decodeLearned, EngineRole.PREFILL);
        double tokenNanos = median(prompters, LayoutModel::tokenNanos);
        double longNanos = median(prompters, w -> w.steps().prefillNanos(longTokens));
        double slope = median(decoders, w -> slope(w, context, targetItlNanos));
        double one = median(
                decoders, w -> Math.max(0, w.steps().decodeNanos(1, context) - slope(w, context, targetItlNanos)));
        promptNanos = demand.uncached().mean() * tokenNanos;
        double mean = demand.uncached().mean();
        loneNanos = Math.max(promptNanos, median(prompters, w -> w.steps().prefillNanos(mean)));
        variation = demand.uncached().squaredVariation();
        longPromptNanos = longNanos;
        longPromptSteps = mean(workers, w -> w.steps().steps(longTokens));
        double ttft = (double) settings.ttftTarget().toNanos();
        ttftSlackNanos = Math.max(SLACK_MIN * ttft, ttft - longNanos);
        outputPerNano = demand.outputTokensPerSecond() / 1e9;
        emptyStepNanos = one;
        slopeNanos = slope;
        itlSlackNanos = Math.max(SLACK_MIN * targetItlNanos, targetItlNanos - one);
        batchMax = Math.max(1, mean(workers, WorkerView::kvTokens) / context);
        backlogNanos = tokenNanos * sum(workers, WorkerView::waitingPromptTokens);
        decodesNow = sum(workers, WorkerView::decodes);
    }

    /**
     * The workers whose own times are measured, those first that do not have the other role: one that never did the work has but a
     * prior, and one that did a little of it beside the other a curve through a few small samples, which may be many times off at a
     * full step. All, when none has measured. Of these the median counts, since one that has only begun is still off.
     */
    private static List<WorkerView> thatKnow(
            List<WorkerView> workers, Predicate<StepTimeModel> learned, EngineRole other) {
        List<WorkerView> know =
                workers.stream().filter(w -> learned.test(w.steps())).toList();
        List<WorkerView> daily = know.stream().filter(w -> w.role() != other).toList();
        return !daily.isEmpty() ? daily : !know.isEmpty() ? know : workers;
    }

    private static double mean(List<WorkerView> workers, ToDoubleFunction<WorkerView> of) {
        return sum(workers, of) / Math.max(1, workers.size());
    }

    private static double median(List<WorkerView> workers, ToDoubleFunction<WorkerView> of) {
        double[] sorted = workers.stream().mapToDouble(of).sorted().toArray();
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }

    private static double sum(List<WorkerView> workers, ToDoubleFunction<WorkerView> of) {
        return workers.stream().mapToDouble(of).sum();
    }

    /** GPU time of a prompt token when steps are full. */
    static double tokenNanos(WorkerView w) {
        int full = w.steps().maxBatchTokens();
        return w.steps().prefillNanos(full) / full;
    }

    /** What one more decode adds to a step, averaged up to the batch at which the step takes as long as it may. */
    private static double slope(WorkerView w, double context, double targetNanos) {
        int batch = batchAt(w, context, targetNanos);
        int to = Math.max(2, batch);
        return Math.max(0, (w.steps().decodeNanos(to, to * context) - w.steps().decodeNanos(1, context)) / (to - 1));
    }

    /**
     * The largest batch whose step stays within the target, of those that fit the KV pool; at most 4096. Doubles up to the first one
     * that does not, then halves between: a fitted curve may bend down again far beyond any batch it was fitted to.
     */
    static int batchAt(WorkerView w, double context, double targetNanos) {
        int most = (int) Math.clamp(w.kvTokens() / context, 1, BATCH_MAX);
        int low = 0;
        int high = 1;
        while (high <= most && w.steps().decodeNanos(high, high * context) <= targetNanos) {
            low = high;
            high *= 2;
        }
        high = Math.min(high, most + 1);
        while (high - low > 1) {
            int middle = (low + high) >>> 1;
            if (w.steps().decodeNanos(middle, middle * context) <= targetNanos) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return low;
    }

    /** Prompt tokens a second that a worker computes. */
    static double prefillVelocity(WorkerView w) {
        double nanos = tokenNanos(w);
        return nanos <= 0 ? 0 : 1e9 / nanos;
    }

    /** Output tokens a second that a worker yields when its steps take just as long as the ITL target allows. */
    static double decodeVelocity(WorkerView w, double context, double targetNanos) {
        double at = Math.max(1, context);
        int batch = (int) Math.min(batchAt(w, at, targetNanos), Math.max(1, w.kvTokens() / at));
        double step = w.steps().decodeNanos(batch, batch * at);
        return step <= 0 ? 0 : batch * 1e9 / step;
    }

    /** The strains when MIXED workers take the share of each kind that suits best. */
    Strain strain(Layout layout) {
        Strain best = null;
        for (double prompts : shares(layout.prefill(), layout.mixed())) {
            for (double decodes : shares(layout.decode(), layout.mixed())) {
                Strain s = strain(layout, prompts, decodes);
                best = best == null || s.score() < best.score() ? s : best;
            }
        }
        return best;
    }

    /** Shares of a kind that MIXED workers may take: a grid, and as much as one of the others takes. */
    private static double[] shares(int others, int mixed) {
        if (mixed == 0) {
            return new double[] {0};
        }
        if (others == 0) {
            return new double[] {1};
        }
        double[] shares = new double[SPLITS + 2];
        for (int i = 0; i <= SPLITS; i++) {
            shares[i] = i / (double) SPLITS;
        }
        shares[SPLITS + 1] = mixed / (double) (mixed + others);
        return shares;
    }

    private Strain strain(Layout layout, double promptsMixed, double decodesMixed) {
        double prompts = 0;
        double decodes = 0;
        if (promptsMixed < 1) {
            prompts = promptStrain(layout.prefill(), 1 - promptsMixed, promptNanos, 0);
        }
        if (decodesMixed < 1) {
            decodes = decodeStrain(layout.decode(), 1 - decodesMixed, 0);
        }
        if (promptsMixed > 0) {
            double itl = decodesMixed > 0 ? stepNanos(layout.mixed(), decodesMixed, 0) : 0;
            prompts = Math.max(prompts, promptStrain(layout.mixed(), promptsMixed, loneNanos, itl));
        }
        if (decodesMixed > 0) {
            double busy = promptsMixed > 0 ? utilisation(layout.mixed(), promptsMixed, loneNanos) : 0;
            decodes = Math.max(decodes, decodeStrain(layout.mixed(), decodesMixed, busy));
        }
        return new Strain(prompts, decodes);
    }

    private double utilisation(int servers, double share, double nanosEach) {
        return share * requestsPerNano * nanosEach / servers;
    }

    /**
     * @param nanosEach GPU time of a prompt
     * @param besideNanos what each step takes longer for the decodes in it
     */
    private double promptStrain(int servers, double share, double nanosEach, double besideNanos) {
        double slowed = longPromptSteps * besideNanos;
        double stretch = longPromptNanos <= 0 ? 1 : 1 + slowed / longPromptNanos;
        double rho = utilisation(servers, share, nanosEach) * stretch;
        double queue = Math.pow(Math.min(rho, 1), Math.sqrt(2.0 * (servers + 1)) - 1) / servers * inverse(1 - rho);
        double wait = queue * nanosEach * stretch * (1 + variation) / 2;
        double waitThen = share * backlogNanos / servers * stretch + Math.max(0, rho - 1) * horizonNanos;
        return (Math.max(TAIL * wait, waitThen) + slowed) / ttftSlackNanos;
    }

    /** Step time by Little's law; {@code busy} is the share of time that goes to prompts. */
    private double stepNanos(int servers, double share, double busy) {
        double rate = share * outputPerNano / servers;
        double free = 1 / inverse(1 - busy);
        double step = emptyStepNanos * inverse(1 - slopeNanos * rate / free);
        double stepNow = emptyStepNanos + slopeNanos * share * decodesNow / servers;
        return Math.max(step, stepNow) * inverse(1 - busy);
    }

    private double decodeStrain(int servers, double share, double busy) {
        double step = stepNanos(servers, share, busy);
        double batch = Math.max(share * outputPerNano / servers * step, share * decodesNow / servers);
        return Math.max((step - emptyStepNanos) / itlSlackNanos, batch / batchMax);
    }

    /** {@code 1 / free}, and beyond the largest utilisation its tangent: finite, smooth and growing. */
    private static double inverse(double free) {
        double least = 1 - UTILISATION_MAX;
        return free >= least ? 1 / free : 1 / least + (least - free) / (least * least);
    }
}
