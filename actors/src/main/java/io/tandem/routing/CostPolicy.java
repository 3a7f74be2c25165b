package io.tandem.routing;

import io.tandem.engine.EngineRole;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.BiPredicate;

/**
 * One decision for prefill GPU, decode GPU and "don't split", by predicted time. A plan costs its predicted TTFT, plus the GPU
 * time its prompt takes from others (so cached prefixes count), plus the delay of every decode beside the prompt, plus a
 * steep penalty for TTFT near or beyond its target and, over an expected output, for ITL near or beyond what its class allows.
 *
 * <p>A prompt that would push decodes beside it over their ITL target counts their delay {@code latePenalty} times. The plan's
 * predicted ITL is the worst of those it touches, so a caller that refuses requests beyond their targets protects both. A request
 * of one output token has no ITL of its own and nothing to decode: it is served whole wherever its prompt is soonest done.
 *
 * <p>On MIXED workers decodes are packed: onto the fullest GPU whose predicted ITL stays within the headroom, else onto the
 * fastest one. Decode time grows slowly with context while every prompt chunk beside decodes delays all of them, so packing leaves
 * whole GPUs to prompts; the headroom grows with the queue of prompts, so the ratio of the two kinds follows the load.
 *
 * <p>Plain arithmetic over the state given: no clock, no randomness; ties go by a hash of seed, request and GPU.
 */
public final class CostPolicy {
    private static final double OUTPUT_WEIGHT = 0.01;

    private final CostSettings settings;
    private final long seed;
    private double expectedOutputTokens;
    private double outputTokensSquared;

    public CostPolicy(CostSettings settings, long seed) {
        this.settings = settings;
        this.seed = seed;
        expectedOutputTokens = settings.expectedOutputTokens();
        outputTokensSquared = expectedOutputTokens * expectedOutputTokens;
    }

    /** A request ended with so many output tokens; the latest hundred or so set what is expected of the next. */
    public void outputEnded(int tokens) {
        expectedOutputTokens += OUTPUT_WEIGHT * (tokens - expectedOutputTokens);
        outputTokensSquared += OUTPUT_WEIGHT * ((double) tokens * tokens - outputTokensSquared);
    }

    /** Output tokens expected of a request. */
    public double expectedOutputTokens() {
        return expectedOutputTokens;
    }

    /** GPU time of an output as long as expected, beside others: what it adds to their steps. */
    public double outputNanos(StepTimeModel steps, Request request) {
        return expectedSteps(request) * (steps.decodeNanos(1, request.promptTokens()) - steps.decodeNanos(1, 0));
    }

    /** Decode steps expected of a request: the prompt's own step chooses the first of its tokens. */
    private double expectedSteps(Request request) {
        return Math.min(expectedOutputTokens, request.maxNewTokens() - 1);
    }

    /**
     * A request to route.
     *
     * @param id its number, for bookings and ties
     * @param promptTokens all of them
     * @param ttftTargetNanos that it should have
     * @param itlTargetNanos that it should have
     * @param itlLimitNanos of its class: beyond it the request has failed
     * @param maxNewTokens its output at most
     */
    public record Request(
            long id,
            int promptTokens,
            long ttftTargetNanos,
            long itlTargetNanos,
            long itlLimitNanos,
            int maxNewTokens) {
        /** Of a class that promises what it should have, and of any length. */
        public Request(long id, int promptTokens, long ttftTargetNanos, long itlTargetNanos) {
            this(id, promptTokens, ttftTargetNanos, itlTargetNanos, itlTargetNanos, Integer.MAX_VALUE);
        }

        /** Whether there is anything to decode: a single token comes with the prompt, and no time lies between it and another. */
        boolean decodes() {
            return maxNewTokens > 1;
        }
    }

    /**
     * A GPU that may serve it.
     *
     * @param load what is believed of it
     * @param role PREFILL takes prompts only, DECODE takes outputs and whole requests, MIXED takes all
     * @param cachedTokens leading prompt tokens that need not be computed there
     * @param transferNanos to bring the prompt's blocks to it from another GPU
     * @param directNanos the same where they go from device to device
     * @param freeTokens room in its KV pool, after eviction and after all that is booked; below 0 = what is booked waits itself
     * @param dedicated whether it is there for decodes, whatever it may do for this request: prompts on it were exceptions
     */
    public record Candidate(
            WorkerLoad load,
            EngineRole role,
            int cachedTokens,
            double transferNanos,
            double directNanos,
            long freeTokens,
            boolean dedicated) {
        /** One that does for this request what it is there for. */
        public Candidate(
                WorkerLoad load,
                EngineRole role,
                int cachedTokens,
                double transferNanos,
                double directNanos,
                long freeTokens) {
            this(load, role, cachedTokens, transferNanos, directNanos, freeTokens, role == EngineRole.DECODE);
        }

        /** Where all blocks go the same way. */
        public Candidate(WorkerLoad load, EngineRole role, int cachedTokens, double transferNanos, long freeTokens) {
            this(load, role, cachedTokens, transferNanos, transferNanos, freeTokens);
        }
    }

    /**
     * How blocks get from one GPU to another, by their ids.
     *
     * @param parted whether they find no way
     * @param direct whether they go from device to device
     */
    public record Ways(BiPredicate<String, String> parted, BiPredicate<String, String> direct) {
        /** Everywhere by the stream. */
        public static final Ways ALIKE = new Ways((from, to) -> false, (from, to) -> false);
    }

    /** Empty when no candidate may decode. The caller books the plan by {@link #book}. */
    public Optional<RoutingDecision> decide(Request request, List<Candidate> candidates, long nowNanos) {
        return decide(request, candidates, Ways.ALIKE, nowNanos);
    }

    /** The same where not all can hand blocks to one another, or not alike. */
    public Optional<RoutingDecision> decide(Request request, List<Candidate> candidates, Ways ways, long nowNanos) {
        Candidate decode = decodeChoice(request, candidates, nowNanos);
        if (request.decodes() ? decode == null : candidates.isEmpty()) {
            return Optional.empty();
        }
        List<RoutingDecision.Plan> plans = new ArrayList<>(candidates.size());
        double company = decodesEach(candidates);
        int best = -1;
        for (Candidate prefill : candidates) {
            Candidate target = prefill.role() == EngineRole.DECODE || !request.decodes()
                    ? prefill
                    : reached(request, prefill, decode, candidates, ways.parted(), nowNanos);
            if (target == null) {
                continue;
            }
            plans.add(plan(request, prefill, target, company, ways, nowNanos));
            int last = plans.size() - 1;
            if (best < 0 || better(request, plans.get(last), plans.get(best))) {
                best = last;
            }
        }
        return best < 0
                ? decide(request, candidates, new Ways(Ways.ALIKE.parted(), ways.direct()), nowNanos)
                : Optional.of(new RoutingDecision(plans, best, reason(plans.get(best), plans)));
    }

    /** The GPU to decode on, or the best of those that blocks reach from the prefill GPU; null when there is none. */
    private Candidate reached(
            Request request,
            Candidate prefill,
            Candidate decode,
            List<Candidate> candidates,
            BiPredicate<String, String> parted,
            long nowNanos) {
        String from = prefill.load().gpuId();
        if (!parted.test(from, decode.load().gpuId())) {
            return decode;
        }
        List<Candidate> others = candidates.stream()
                .filter(c -> !parted.test(from, c.load().gpuId()))
                .toList();
        return decodeChoice(request, others, nowNanos);
    }

    /** Decodes of a DECODE GPU, in the mean. */
    private static double decodesEach(List<Candidate> candidates) {
        int all = 0;
        int gpus = 0;
        for (Candidate c : candidates) {
            if (c.role() == EngineRole.DECODE) {
                all += c.load().decodes();
                gpus++;
            }
        }
        return gpus == 0 ? 0 : (double) all / gpus;
    }

    /** @param company decodes that a DECODE GPU has in the mean: one that is idle now will have them beside its prompt soon */
    private RoutingDecision.Plan plan(
            Request request, Candidate prefill, Candidate decode, double company, Ways ways, long nowNanos) {
        WorkerLoad at = prefill.load();
        int uncached = Math.max(1, request.promptTokens() - prefill.cachedTokens());
        double wait = at.prefillEndNanos(0, nowNanos);
        double end = at.prefillEndNanos(uncached, nowNanos);
        double work = Math.max(0, end - wait);
        boolean split = !decode.load().gpuId().equals(at.gpuId());
        double ownItl = request.decodes() ? cautiousItl(request, decode, 1, expectedContext(request), 0, nowNanos) : 0;
        double transfer = split ? transferNanos(at.gpuId(), decode, ways) : 0;
        double joined = at.joinedNanos(uncached, nowNanos);
        double ttft = readyNanos(wait + joined, work, split, roomWait(request, decode));
        if (split && settings.firstTokenFromDecode()) {
            ttft += transfer + ownItl;
        }
        int beside = at.decodes();
        double interference = work * (prefill.role() == EngineRole.DECODE ? Math.max(beside, company) : beside);
        double besideItl = beside == 0 ? 0 : cautiousItl(request, prefill, 0, 0, uncached, nowNanos);
        double predictedItl = Math.max(ownItl, besideItl);
        double harm = besideItl > request.itlTargetNanos() ? settings.latePenalty() : 1;
        double late = Math.max(0, ttft - settings.ttftHeadroom() * request.ttftTargetNanos());
        double slow = expectedSteps(request)
                * Math.max(0, predictedItl - settings.itlHeadroomMax() * request.itlLimitNanos());
        double cost = ttft
                + settings.workWeight() * work
                + settings.interferenceWeight() * harm * interference
                + (settings.latePenalty() - 1) * late
                + (settings.latePenalty() - 1) * slow
                + transfer;
        return new RoutingDecision.Plan(
                at.gpuId(),
                decode.load().gpuId(),
                prefill.cachedTokens(),
                uncached,
                ttft,
                predictedItl,
                work,
                interference,
                late,
                slow,
                transfer,
                cost);
    }

    private static double transferNanos(String from, Candidate to, Ways ways) {
        return ways.direct().test(from, to.load().gpuId()) ? to.directNanos() : to.transferNanos();
    }

    /** When the prompt is computed and has room where it decodes: elsewhere room gets free meanwhile, here it comes first. */
    private static double readyNanos(double wait, double work, boolean split, double roomWait) {
        double end = Math.max(0, wait + work);
        return split ? Math.max(end, roomWait) : Math.max(end, roomWait + work);
    }

    /**
     * Time between tokens of a worker's decodes, the prompts that delay them included: those of late, or those that wait there
     * spread over the time of an expected output, if that is more.
     */
    private double itl(
            Request request, Candidate c, int more, double moreContext, int morePromptTokens, long nowNanos) {
        return stepNanos(c, more, moreContext) / (1 - promptShare(request, c, morePromptTokens, nowNanos));
    }

    private double promptShare(Request request, Candidate c, int morePromptTokens, long nowNanos) {
        WorkerLoad load = c.load();
        double window = expectedOutputTokens * (double) request.itlTargetNanos();
        double coming = load.steps().prefillNanos(load.backlogTokens() + morePromptTokens) / window;
        // A prompt was computed on a DECODE GPU because nothing would suffer: no sign of more to come.
        double lately = c.dedicated() ? 0 : load.promptShare(nowNanos);
        return Math.min(0.95, Math.max(lately, coming));
    }

    /** The same for a decode that has worse luck than most: how many prompts of this size come beside it is chance. */
    private double cautiousItl(
            Request request, Candidate c, int more, double moreContext, int morePromptTokens, long nowNanos) {
        double share = promptShare(request, c, morePromptTokens, nowNanos);
        double mean = stepNanos(c, more, moreContext) / (1 - share);
        if (mean <= 0) {
            return 0;
        }
        StepTimeModel steps = c.load().steps();
        double chunk = steps.prefillNanos(Math.min(steps.maxBatchTokens(), request.promptTokens()));
        return mean * (1 + Math.sqrt(share * chunk / Math.max(1, expectedOutputTokens * mean)));
    }

    /** A step of a worker's decodes and {@code more}. */
    private static double stepNanos(Candidate c, int more, double moreContext) {
        double context = runningShare(c) * c.load().contextTokens();
        return c.load().steps().decodeNanos(runningDecodes(c) + more, context + moreContext);
    }

    private static int runningDecodes(Candidate c) {
        return (int) Math.rint(runningShare(c) * c.load().decodes());
    }

    /** Of what is booked. What is booked beyond the room waits for it and is in no step. */
    private static double runningShare(Candidate c) {
        double booked = c.load().contextTokens();
        return c.freeTokens() >= 0 || booked <= 0 ? 1 : Math.max(0, booked + c.freeTokens()) / booked;
    }

    /**
     * Context of a decode that is met under way. Long outputs are met more often than short ones, so what it has is not half of a mean
     * output but half of the mean square over the mean (the inspection paradox of renewal theory).
     */
    private double expectedContext(Request request) {
        double output = outputTokensSquared / expectedOutputTokens;
        return request.promptTokens() + Math.min(output, request.maxNewTokens() - 1) / 2;
    }

    /**
     * Where the output goes: the fastest of the DECODE GPUs, which have nothing better to do; else the fullest of the others
     * that stays within the ITL headroom and has room; else, of those within the ITL target, the one with room soonest; else
     * the one with the least ITL. Null if none may decode.
     */
    private Candidate decodeChoice(Request request, List<Candidate> candidates, long nowNanos) {
        double limit = headroom(request, candidates) * request.itlTargetNanos();
        Candidate dedicated = null;
        Candidate fullest = null;
        Candidate last = null;
        for (Candidate c : candidates) {
            if (c.role() == EngineRole.PREFILL) {
                continue;
            }
            if (c.role() == EngineRole.DECODE) {
                boolean fits = hasRoom(request, c) && within(request, c, limit, nowNanos);
                dedicated = fits && (dedicated == null || faster(request, c, dedicated, nowNanos)) ? c : dedicated;
            } else if (fits(request, c, limit, nowNanos) && (fullest == null || fuller(request, c, fullest))) {
                fullest = c;
            }
            if (last == null || sooner(request, c, last, nowNanos)) {
                last = c;
            }
        }
        return dedicated != null ? dedicated : fullest != null ? fullest : last;
    }

    private boolean sooner(Request request, Candidate a, Candidate b, long nowNanos) {
        double target = (double) request.itlTargetNanos();
        boolean left = within(request, a, target, nowNanos);
        if (left != within(request, b, target, nowNanos)) {
            return left;
        }
        int byRoom = left ? Double.compare(roomWait(request, a), roomWait(request, b)) : 0;
        return byRoom < 0 || byRoom == 0 && faster(request, a, b, nowNanos);
    }

    /** Decodes are spread while GPUs are idle, and packed as prompts queue. */
    private double headroom(Request request, List<Candidate> candidates) {
        double backlog = 0;
        int takers = 0;
        for (Candidate c : candidates) {
            if (c.role() == EngineRole.MIXED) {
                backlog += c.load().steps().prefillNanos(c.load().backlogTokens());
                takers++;
            }
        }
        double full = settings.pressureShare() * request.ttftTargetNanos() * Math.max(1, takers);
        double pressure = Math.min(1, backlog / full);
        return settings.itlHeadroomMin() + pressure * (settings.itlHeadroomMax() - settings.itlHeadroomMin());
    }

    private boolean fits(Request request, Candidate c, double limit, long nowNanos) {
        WorkerLoad load = c.load();
        return load.decodes() > 0
                && hasRoom(request, c)
                && within(request, c, limit, nowNanos)
                && load.steps().prefillNanos(load.backlogTokens()) <= settings.decodeBacklogNanosMax();
    }

    private boolean hasRoom(Request request, Candidate c) {
        return c.freeTokens() >= request.promptTokens() + expectedSteps(request);
    }

    /**
     * Until enough of a full GPU is free: what runs there goes in the time of an output, what waits there goes before.
     * The mean of so many ends and twice their standard deviation, as if they came at random: of what is predicted by the mean, half
     * would be late.
     */
    private double roomWait(Request request, Candidate c) {
        double missing = request.promptTokens() - c.freeTokens();
        double running = c.load().contextTokens() + Math.min(0, c.freeTokens());
        if (missing <= 0 || running <= 0) {
            return 0;
        }
        double share = missing / running;
        double ends = Math.max(1, share * runningDecodes(c));
        return share * expectedOutputTokens * stepNanos(c, 0, 0) * (1 + 2 / Math.sqrt(ends));
    }

    private boolean within(Request request, Candidate c, double limit, long nowNanos) {
        return itl(request, c, 1, expectedContext(request), 0, nowNanos) <= limit;
    }

    private boolean fuller(Request request, Candidate a, Candidate b) {
        double left = a.load().contextTokens();
        double right = b.load().contextTokens();
        return left > right
                || left == right && tie(request, a.load().gpuId(), b.load().gpuId());
    }

    private boolean faster(Request request, Candidate a, Candidate b, long nowNanos) {
        double left = itl(request, a, 1, expectedContext(request), 0, nowNanos);
        double right = itl(request, b, 1, expectedContext(request), 0, nowNanos);
        return left < right
                || left == right && tie(request, a.load().gpuId(), b.load().gpuId());
    }

    private boolean better(Request request, RoutingDecision.Plan a, RoutingDecision.Plan b) {
        return a.cost() < b.cost() || a.cost() == b.cost() && tie(request, a.prefillGpu(), b.prefillGpu());
    }

    private boolean tie(Request request, String a, String b) {
        return hash(request, a) < hash(request, b);
    }

    private long hash(Request request, String gpu) {
        long z = seed ^ request.id() * 0x9E3779B97F4A7C15L ^ (long) gpu.hashCode() << 32;
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }

    /** Books the chosen plan, so that the next decision sees it. */
    public void book(Request request, RoutingDecision.Plan plan, WorkerLoad prefill, WorkerLoad decode, long nowNanos) {
        prefill.bookPrefill(request.id(), plan.uncachedTokens(), nowNanos);
        if (request.decodes()) {
            decode.bookDecode(request.id(), expectedContext(request));
        }
    }

    private static String reason(RoutingDecision.Plan chosen, List<RoutingDecision.Plan> plans) {
        return String.format(
                Locale.ROOT,
                "%s: least cost of %d plans, predicted TTFT %.0f ms and ITL %.1f ms, %d of %d prompt tokens cached",
                chosen.split() ? "split" : "one GPU",
                plans.size(),
                chosen.predictedTtftNanos() / 1e6,
                chosen.predictedItlNanos() / 1e6,
                chosen.cachedTokens(),
                chosen.cachedTokens() + chosen.uncachedTokens());
    }
}
