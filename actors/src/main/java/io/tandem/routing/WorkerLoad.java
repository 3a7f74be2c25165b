package io.tandem.routing;

import org.agrona.collections.Long2ObjectHashMap;

/**
 * What a router believes of one worker: requests it has sent there are booked at once, so a burst sees its own effect, and
 * finished steps correct the picture. Plain state; time comes as an argument. Not thread-safe.
 */
public final class WorkerLoad {
    private final String gpuId;
    private final StepTimeModel steps;
    private final Long2ObjectHashMap<Booking> bookings = new Long2ObjectHashMap<>();
    private double backlogTokens;
    private long backlogSinceNanos;
    private int decodes;
    private double contextTokens;
    private double openPromptTokens;
    private long reportedNanos;
    private final PromptShare promptShare = new PromptShare();
    private final ContextDrift drift = new ContextDrift();

    /** Of requests that other routers sent there. */
    private int othersDecodes;

    private double othersContextTokens;
    private double othersBacklogTokens;

    private static final class Booking {
        long prefillNanos;
        double prefillTokens;
        double contextTokens;
    }

    public WorkerLoad(String gpuId, StepTimeModel steps) {
        this.gpuId = gpuId;
        this.steps = steps;
    }

    public String gpuId() {
        return gpuId;
    }

    public StepTimeModel steps() {
        return steps;
    }

    /** Sequences that decode here or will when their prompt is computed. */
    public int decodes() {
        return decodes + othersDecodes;
    }

    /** Their context, grown by half their expected output, and more if those that run have turned out longer. */
    public double contextTokens() {
        return contextTokens * drift.factor() + othersContextTokens;
    }

    /** Prompt tokens sent here and not computed yet. */
    public double backlogTokens() {
        return backlogTokens;
    }

    /** A request's prompt goes here. */
    public void bookPrefill(long request, int uncachedTokens, long nowNanos) {
        if (backlogTokens <= 0) {
            backlogSinceNanos = nowNanos;
        }
        Booking booking = booking(request);
        booking.prefillTokens = uncachedTokens;
        booking.prefillNanos = nowNanos;
        backlogTokens += uncachedTokens;
        openPromptTokens += uncachedTokens;
    }

    /** A request's output will be computed here. */
    public void bookDecode(long request, double expectedContextTokens) {
        booking(request).contextTokens = expectedContextTokens;
        contextTokens += expectedContextTokens;
        decodes++;
    }

    private Booking booking(long request) {
        Booking found = bookings.get(request);
        if (found == null) {
            found = new Booking();
            bookings.put(request, found);
        }
        return found;
    }

    /** Context that a request's output was booked with; 0 = it decodes elsewhere. */
    double bookedContextTokens(long request) {
        Booking booking = bookings.get(request);
        return booking == null ? 0 : booking.contextTokens;
    }

    /** The prompt is computed, or will not be. */
    public void prefillEnded(long request) {
        Booking booking = bookings.get(request);
        if (booking == null) {
            return;
        }
        openPromptTokens -= booking.prefillTokens;
        booking.prefillTokens = 0;
        if (booking.contextTokens == 0) {
            bookings.remove(request);
        }
        // What a prompt was booked with and what it took differ when blocks came or went meanwhile. Prompts are
        // computed in
        // turn, so behind one that has just ended at most the rest of its step is done.
        double open = Math.max(0, openPromptTokens);
        backlogTokens =
                Math.clamp(backlogTokens, Math.max(0, open - steps.maxBatchTokens()), open + othersBacklogTokens);
        settle();
    }

    /** The request is over, whatever it still had here. */
    public void finished(long request) {
        Booking booking = bookings.remove(request);
        if (booking == null) {
            return;
        }
        backlogTokens -= booking.prefillTokens;
        openPromptTokens -= booking.prefillTokens;
        if (booking.contextTokens > 0) {
            contextTokens -= booking.contextTokens;
            decodes--;
        }
        settle();
    }

    /** Nothing booked is nothing to do: rounding and lost reports end here. */
    private void settle() {
        if (bookings.isEmpty()) {
            backlogTokens = othersBacklogTokens;
            openPromptTokens = 0;
            contextTokens = 0;
            decodes = 0;
        }
        backlogTokens = Math.max(0, backlogTokens);
        contextTokens = Math.max(0, contextTokens);
    }

    /** A step ended on the worker. */
    public void stepEnded(
            long newTokens, long prefixTokens, int stepDecodes, long stepContext, long durationNanos, long nowNanos) {
        steps.observe(newTokens, prefixTokens, stepDecodes, stepContext, durationNanos);
        backlogTokens = Math.max(0, backlogTokens - newTokens);
        backlogSinceNanos = nowNanos;
        met(stepDecodes, stepContext, durationNanos);
        double prompts = newTokens == 0 ? 0 : durationNanos - steps.decodeNanos(stepDecodes, (double) stepContext);
        promptShare.stepEnded(prompts, durationNanos, nowNanos);
    }

    private void met(int sequences, long context, long elapsedNanos) {
        if (sequences > 0 && decodes > 0) {
            drift.met(context / (double) sequences, contextTokens / decodes, (double) elapsedNanos);
        }
    }

    /** Share of its time that the worker gave to prompts lately, in [0, 1]; it fades while no step is seen. */
    public double promptShare(long nowNanos) {
        return promptShare.share(nowNanos);
    }

    /** Its role is another from now on. */
    public void roleChanged(long nowNanos) {
        promptShare.roleChanged(nowNanos);
    }

    /** The worker's own measure of it, for a router that does not see its steps. */
    public void promptShareReported(double share, long nowNanos) {
        promptShare.adopt(share, nowNanos);
    }

    /**
     * Room in the KV pool after all that is booked, in tokens; below 0 = what is booked waits itself.
     *
     * @param capacityTokens of the pool
     * @param maxSequences that run there at most; near it, a sequence that may still join counts like those there
     */
    public long freeTokens(long capacityTokens, int maxSequences) {
        long byPool = capacityTokens - (long) contextTokens();
        int all = decodes();
        return all < maxSequences / 2 || all == 0
                ? byPool
                : Math.min(byPool, (long) ((maxSequences - all) * contextTokens() / all));
    }

    /** The prompt is computed, and no step was reported that did it. */
    public void promptComputed(long request) {
        Booking booking = bookings.get(request);
        if (booking != null) {
            backlogTokens -= booking.prefillTokens;
            prefillEnded(request);
        }
    }

    /**
     * The worker's own count of what it has to do, for a router that does not see its steps: what other routers sent there
     * becomes known, and what was believed wrongly ends.
     *
     * @param promptTokens not computed yet there
     * @param sequences that decode there or will
     * @param context of those
     * @param asOfNanos prompts booked later had not reached it
     */
    public void reported(long promptTokens, int sequences, long context, long asOfNanos, long nowNanos) {
        double underWay = 0;
        double arrived = 0;
        for (Booking booking : bookings.values()) {
            if (booking.prefillNanos > asOfNanos) {
                underWay += booking.prefillTokens;
            } else {
                arrived += booking.prefillTokens;
            }
        }
        othersBacklogTokens = Math.max(0, promptTokens - arrived);
        double before = backlogTokens;
        backlogTokens = promptTokens + underWay;
        if (before <= 0 || backlogTokens < before) {
            backlogSinceNanos = nowNanos;
        }
        met(sequences, context, nowNanos - reportedNanos);
        reportedNanos = nowNanos;
        othersDecodes = Math.max(0, sequences - decodes);
        othersContextTokens = sequences == 0 ? 0 : othersDecodes * ((double) context / sequences);
    }

    /** Until the prompts sent here and {@code more} tokens are computed, decodes in between. */
    public double prefillEndNanos(double more, long nowNanos) {
        double all = backlogTokens + more;
        double busy = steps.prefillNanos(all) + steps.steps(all) * decodeStepNanos(0, 0);
        double running = backlogTokens <= 0 ? 0 : nowNanos - backlogSinceNanos;
        double firstStep = steps.prefillNanos(Math.min(backlogTokens, steps.maxBatchTokens()));
        return busy - Math.min(running, firstStep);
    }

    /**
     * By how much later than {@link #prefillEndNanos} the last of {@code more} tokens is done because prompts that come while it waits
     * join its step: as many as the worker computes in that time, if it is busy all of it.
     */
    public double joinedNanos(double more, long nowNanos) {
        double all = backlogTokens + more;
        double last = all - (steps.steps(all) - 1) * steps.maxBatchTokens();
        double joined = Math.min(steps.maxBatchTokens() - last, promptShare(nowNanos) * backlogTokens);
        return Math.max(0, steps.prefillStepNanos(last + joined, 0) - steps.prefillStepNanos(last, 0));
    }

    /** A step of the decodes here and {@code more} of them. */
    public double decodeStepNanos(int more, double moreContext) {
        return steps.decodeNanos(decodes() + more, contextTokens() + moreContext);
    }
}
