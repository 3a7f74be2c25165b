package io.tandem.admission;

import io.tandem.admission.FairQueue.Entry;
import io.tandem.admission.Verdict.Cause;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Decides over every request of a node before a GPU works for it: at once to its GPUs, into the queue, or refused because the
 * prediction misses its class's targets. Waiting requests leave in the order of {@link FairQueue} as soon as their GPUs have
 * little enough before them; late binding keeps the order here instead of in the workers' own queues.
 *
 * <p>Predictions are those for the time of the first token: they count what was sent and does not decode yet, and whoever can
 * wait for decodes that will be over by then does, instead of being refused. Rejecting on the load of now would oscillate, because
 * work that was let in shows only after its prompt. An idle cluster never refuses, so a wrong model cannot lock everybody out:
 * what it serves corrects the model.
 *
 * <p>Plain state, time as an argument, verdicts as results. Not thread-safe.
 */
public final class AdmissionPolicy {
    /** Forecasts of one round, at most, that end in "not now". */
    private static final int BLOCKED_MAX = 16;

    /** Of these of one class. */
    private static final int BLOCKED_OF_CLASS_MAX = 5;

    private static final int IDLE_TENANTS_MAX = 1024;
    private static final long UNKNOWN_RETRY_NANOS = 1_000_000_000L;

    private final AdmissionSettings settings;
    private final Forecaster forecaster;
    private final FairQueue queue;
    private final DrainRate drain = new DrainRate();
    private final OutputLengths lengths;
    private final Map<Long, Entry> waiting = new HashMap<>();
    private final Map<Long, Running> running = new HashMap<>();
    private final DecodeEnds ends = new DecodeEnds();
    private final SizeGuard[] sizes;
    private final int[] runningByClass;
    private final boolean[] classClosed;
    private final int[] blockedOfClass;

    /** @param decodeGpu where it decodes or will; not the forecast's when it moved */
    private record Running(Entry entry, Forecast forecast, String decodeGpu) {}

    /** What may be done with a waiting request now. */
    private enum Gate {
        GO,
        /** Its GPUs have enough before them. */
        LATER,
        /** Decodes are too many for its class. */
        LATER_FOR_ITL,
        /** Decodes would be too many for a tighter class beside it. */
        LATER_FOR_OTHERS,
        MISSES_TTFT,
        MISSES_ITL
    }

    public AdmissionPolicy(AdmissionSettings settings, Forecaster forecaster) {
        this.settings = settings;
        this.forecaster = forecaster;
        int classes = settings.classes().size();
        queue = new FairQueue(classes, settings::weight, IDLE_TENANTS_MAX);
        lengths = new OutputLengths(classes, settings.expectedOutputTokens());
        sizes = settings.classes().stream()
                .map(c -> new SizeGuard(
                        settings.sizeLimit(),
                        (double) c.ttftTargetNanos(),
                        (double) c.itlTargetNanos(),
                        settings.rejectAbove()))
                .toArray(SizeGuard[]::new);
        runningByClass = new int[classes];
        classClosed = new boolean[classes];
        blockedOfClass = new int[classes];
    }

    /** A request arrives; its verdict comes now, or it waits. If it displaces another, that one's verdict comes as well. */
    public void arrive(Applicant applicant, long nowNanos, List<Verdict> out) {
        drain.advance(nowNanos, queue.size() > 0);
        Forecast forecast = forecaster.forecast(applicant, nowNanos);
        int classIndex = settings.classes().indexOf(applicant.serviceClass());
        int uncached = forecast.credible() ? forecast.uncachedTokens() : applicant.promptTokens();
        double output = lengths.expected(classIndex, applicant.maxNewTokens());
        double tokens = uncached + settings.outputTokenWeight() * output;
        Entry entry = queue.add(applicant, classIndex, tokens, forecast.workNanos());
        waiting.put(applicant.id(), entry);
        boolean alone = queue.size() == 1;
        if (!settings.enabled()) {
            dispatch(entry, forecast, nowNanos, out);
            return;
        }
        if (forecast.credible()
                && !(alone && exempt(forecast))
                && refusedAtOnce(entry, forecast, alone, nowNanos, out)) {
            return;
        }
        if (alone || isNext(entry)) {
            act(entry, forecast, gate(entry, forecast, Double.POSITIVE_INFINITY, nowNanos), nowNanos, out);
        }
        if (waiting.containsKey(applicant.id())) {
            enforceBounds(entry, forecast, nowNanos, out);
        }
        drain.advance(nowNanos, queue.size() > 0);
    }

    /** Whether it is first of all; the others' turn comes with the next {@link #pump}, which costs a forecast for each. */
    private boolean isNext(Entry entry) {
        newRound();
        return queue.next(classClosed) == entry;
    }

    private void newRound() {
        queue.newRound();
        Arrays.fill(classClosed, false);
        Arrays.fill(blockedOfClass, 0);
    }

    private boolean exempt(Forecast forecast) {
        return settings.serveWhenIdle() && forecast.idle();
    }

    private boolean refusedAtOnce(Entry entry, Forecast f, boolean alone, long now, List<Verdict> out) {
        double queueNanos = alone ? 0 : queue.workAheadNanos(entry) / drain.of(f.workers());
        double ttft = now - entry.applicant.arrivalNanos() + queueNanos + f.ttftNanos();
        double target = ttftLimit(entry);
        double gpu = f.workNanos() + f.outputNanos();
        SizeGuard guard = sizes[entry.classIndex];
        if (guard.refuses(f.workNanos(), f.outputNanos(), ttft, f.itlNanos(), now)) {
            refuse(entry, Cause.SIZE, f, ttft, guard.untilAdmittedNanos(gpu), now, out);
            return true;
        }
        if (ttft > target) {
            refuse(entry, Cause.TTFT, f, ttft, ttft - target, now, out);
            return true;
        }
        double beyond = itlWithinNanos(entry, f, now) - now - f.ttftNanos() - slack(entry, f, now);
        if (beyond > 0) {
            refuse(entry, Cause.ITL, f, ttft, beyond, now, out);
        }
        return beyond > 0;
    }

    /** How much later than now the prompt may start. */
    private double slack(Entry entry, Forecast f, long now) {
        double due = entry.applicant.arrivalNanos() + ttftLimit(entry);
        return Math.max(0, due - now - (f.ttftNanos() - f.waitNanos()));
    }

    private double ttftLimit(Entry entry) {
        return settings.rejectAbove() * entry.applicant.serviceClass().ttftTargetNanos();
    }

    private double itlLimit(Entry entry) {
        return settings.rejectItlAbove() * entry.applicant.serviceClass().itlTargetNanos();
    }

    /** Whether its tokens would come too slowly; one alone has no time between it and another. */
    private boolean tooSlow(Entry entry, Forecast f) {
        return entry.applicant.decodes() && f.itlNanos() > itlLimit(entry);
    }

    /** When time between tokens is within the class's target, by the expected ends of decodes; infinite = not by these. */
    private double itlWithinNanos(Entry entry, Forecast f, long now) {
        if (!tooSlow(entry, f)) {
            return now;
        }
        int over = 0;
        double context = 0;
        for (DecodeEnds.Decode decode : ends.byEnd(f.decodeGpu(), now)) {
            over++;
            context += decode.contextTokens();
            if (forecaster.itlNanos(entry.applicant, f, over, context) <= itlLimit(entry)) {
                return decode.endNanos(now);
            }
        }
        return Double.POSITIVE_INFINITY;
    }

    /** Too many wait: the cheapest sheddable request gives its place to a dearer one, else the new one goes. */
    private void enforceBounds(Entry entry, Forecast forecast, long now, List<Verdict> out) {
        ServiceClass own = entry.applicant.serviceClass();
        if (queue.size(entry.classIndex) > own.queueMaxRequests()) {
            refuse(entry, Cause.FULL, forecast, predicted(entry, forecast, now), untilDrained(forecast), now, out);
        } else if (queue.size() > settings.queueMaxRequests()) {
            Entry cheaper = queue.displaceable(own.price());
            Entry victim = cheaper == null ? entry : cheaper;
            Cause cause = cheaper == null ? Cause.FULL : Cause.DISPLACED;
            refuse(victim, cause, forecast, predicted(victim, forecast, now), untilDrained(forecast), now, out);
        }
    }

    private double predicted(Entry entry, Forecast f, long now) {
        double rate = drain.of(Math.max(1, f.workers()));
        return now - entry.applicant.arrivalNanos() + queue.workAheadNanos(entry) / rate + f.ttftNanos();
    }

    private double untilDrained(Forecast f) {
        return queue.workNanos() / drain.of(Math.max(1, f.workers()));
    }

    /** Lets go what can go now and refuses what cannot be in time any more; to be called when anything changed, and often. */
    public void pump(long nowNanos, List<Verdict> out) {
        drain.advance(nowNanos, queue.size() > 0);
        expire(nowNanos, out);
        newRound();
        double itlCap = Double.POSITIVE_INFINITY;
        int blocked = 0;
        while (blocked < BLOCKED_MAX) {
            Entry entry = queue.next(classClosed);
            if (entry == null) {
                break;
            }
            Forecast forecast = forecaster.forecast(entry.applicant, nowNanos);
            Gate gate = gate(entry, forecast, itlCap, nowNanos);
            switch (gate) {
                case GO, MISSES_TTFT, MISSES_ITL -> act(entry, forecast, gate, nowNanos, out);
                case LATER, LATER_FOR_OTHERS -> {
                    passOver(entry);
                    blocked++;
                }
                case LATER_FOR_ITL -> {
                    // Whoever comes after it in fair order must not take the room that it waits for.
                    itlCap = Math.min(itlCap, itlLimit(entry));
                    passOver(entry);
                    blocked++;
                }
            }
        }
        drain.advance(nowNanos, queue.size() > 0);
    }

    private void passOver(Entry entry) {
        queue.passOver(entry);
        classClosed[entry.classIndex] = ++blockedOfClass[entry.classIndex] >= BLOCKED_OF_CLASS_MAX;
    }

    private Gate gate(Entry entry, Forecast f, double itlCap, long now) {
        if (f.workers() == 0) {
            return Gate.GO;
        }
        if (!f.credible()) {
            return running.size() < (long) settings.coldRequestsPerWorker() * f.workers() ? Gate.GO : Gate.LATER;
        }
        if (exempt(f)) {
            return Gate.GO;
        }
        Applicant applicant = entry.applicant;
        if (now - applicant.arrivalNanos() + f.ttftNanos() > ttftLimit(entry)) {
            return Gate.MISSES_TTFT;
        }
        double itl = f.itlNanos();
        if (tooSlow(entry, f)) {
            double latest = now + f.ttftNanos() + slack(entry, f, now);
            return itlWithinNanos(entry, f, now) > latest ? Gate.MISSES_ITL : Gate.LATER_FOR_ITL;
        }
        if (applicant.decodes() && itl > itlCap) {
            return Gate.LATER_FOR_OTHERS;
        }
        if (f.waitNanos() > settings.dispatchAheadNanos()) {
            return Gate.LATER;
        }
        boolean patient =
                now - applicant.arrivalNanos() < applicant.serviceClass().ttftTargetNanos() / 2;
        return patient && itl > ends.tightestItlNanos(f.decodeGpu(), settings.classes())
                ? Gate.LATER_FOR_OTHERS
                : Gate.GO;
    }

    private void act(Entry entry, Forecast forecast, Gate gate, long now, List<Verdict> out) {
        switch (gate) {
            case GO -> dispatch(entry, forecast, now, out);
            case MISSES_TTFT -> {
                double ttft = now - entry.applicant.arrivalNanos() + forecast.ttftNanos();
                refuse(entry, Cause.TTFT, forecast, ttft, untilDrained(forecast), now, out);
            }
            case MISSES_ITL -> {
                double ttft = now - entry.applicant.arrivalNanos() + forecast.ttftNanos();
                double later = itlWithinNanos(entry, forecast, now) - now - forecast.ttftNanos();
                refuse(entry, Cause.ITL, forecast, ttft, later, now, out);
            }
            case LATER, LATER_FOR_ITL, LATER_FOR_OTHERS -> {}
        }
    }

    private void dispatch(Entry entry, Forecast forecast, long now, List<Verdict> out) {
        Applicant applicant = entry.applicant;
        queue.dispatch(entry);
        waiting.remove(applicant.id());
        drain.dispatched(forecast.workNanos());
        running.put(applicant.id(), new Running(entry, forecast, forecast.decodeGpu()));
        runningByClass[entry.classIndex]++;
        double output = lengths.expected(entry.classIndex, applicant.maxNewTokens());
        double duration = forecast.ttftNanos() + output * forecast.itlNanos();
        double context = applicant.promptTokens() + output / 2;
        if (applicant.decodes()) {
            ends.add(
                    forecast.decodeGpu(),
                    applicant.id(),
                    new DecodeEnds.Decode(entry.classIndex, now, duration, context));
        }
        forecaster.book(applicant, forecast, now);
        out.add(new Verdict.Dispatch(applicant, forecast, now - applicant.arrivalNanos()));
    }

    private void refuse(
            Entry entry, Cause cause, Forecast f, double ttft, double retryNanos, long now, List<Verdict> out) {
        leave(entry);
        if (cause == Cause.TTFT || cause == Cause.ITL) {
            sizes[entry.classIndex].missed(entry.workNanos, now);
        }
        boolean known = retryNanos > 0 && retryNanos < Double.POSITIVE_INFINITY;
        long retry = known ? (long) retryNanos : UNKNOWN_RETRY_NANOS;
        Applicant applicant = entry.applicant;
        out.add(new Verdict.Reject(applicant, cause, f, ttft, retry, now - applicant.arrivalNanos()));
    }

    private void leave(Entry entry) {
        queue.remove(entry);
        waiting.remove(entry.applicant.id());
    }

    private void expire(long now, List<Verdict> out) {
        Entry first = queue.earliestDue();
        while (first != null && first.dueNanos <= now) {
            Applicant applicant = first.applicant;
            long waited = now - applicant.arrivalNanos();
            if (waited >= applicant.timeoutNanos()) {
                leave(first);
                out.add(new Verdict.Expire(applicant, waited));
            } else {
                Forecast last = Forecast.cold(1);
                refuse(first, Cause.TTFT, last, waited + first.workNanos, untilDrained(last), now, out);
            }
            first = queue.earliestDue();
        }
    }

    /** The client wants no more; answers whether the request waited here (and is gone now). */
    public boolean cancel(long id) {
        Entry entry = waiting.get(id);
        if (entry != null) {
            leave(entry);
        }
        return entry != null;
    }

    /** A dispatched request decodes on another GPU than was foreseen, or will: it moved there, or began anew. */
    public void moved(long id, String decodeGpu) {
        Running moved = running.get(id);
        if (moved != null) {
            ends.move(moved.decodeGpu, decodeGpu, id);
            running.put(id, new Running(moved.entry, moved.forecast, decodeGpu));
        }
    }

    /**
     * A dispatched request is over; idempotent.
     *
     * @param outputTokens what it made
     * @param whole whether it ended by itself, so that its length says something about others
     */
    public void ended(long id, int outputTokens, boolean whole) {
        Running over = running.remove(id);
        if (over == null) {
            return;
        }
        Entry entry = over.entry;
        int uncached = over.forecast.credible() ? over.forecast.uncachedTokens() : entry.applicant.promptTokens();
        queue.settle(entry, uncached + settings.outputTokenWeight() * outputTokens);
        runningByClass[entry.classIndex]--;
        ends.remove(over.decodeGpu, id);
        if (whole && entry.applicant.decodes()) {
            lengths.observe(entry.classIndex, outputTokens);
        }
    }

    /** Ids of all that waits. */
    public List<Long> waitingIds() {
        return new ArrayList<>(waiting.keySet());
    }

    public int queued() {
        return queue.size();
    }

    public int queued(int classIndex) {
        return queue.size(classIndex);
    }

    public int running() {
        return running.size();
    }

    public int running(int classIndex) {
        return runningByClass[classIndex];
    }

    /** The tenants that wait or run, those with most requests first, at most {@code max}. */
    public List<FairQueue.TenantView> tenants(int max) {
        return queue.tenants(max);
    }
}
