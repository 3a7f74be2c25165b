package io.tandem.request;

import io.tandem.GenerationException.Kind;
import io.tandem.engine.FinishReason;
import io.tandem.request.RequestLifecycle.Phase;
import io.tandem.routing.Route;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The attempts of one request, one after the other: how each ends, and whether another one follows. {@link RequestLifecycle} decides when.
 * Whatever ends an attempt, its workers are told to let go.
 */
final class Attempts {
    private final RequestOutput output;
    private final RunningFigures figures;
    private final LiveMoves moves;
    private final int maxFailures;
    private final Set<String> avoid = new HashSet<>();
    private Phase phase = Phase.WAITING;

    /** The latest one; null before the first. */
    private Attempt latest;

    private int failures;

    /** @param maxFailures in a row that bring no token */
    Attempts(RequestOutput output, RunningFigures figures, LiveMoves moves, int maxFailures) {
        this.output = output;
        this.figures = figures;
        this.moves = moves;
        this.maxFailures = maxFailures;
    }

    Phase phase() {
        return phase;
    }

    /** Null before the first. */
    Attempt latest() {
        return latest;
    }

    /** GPUs that refused or failed one, or gave it back. */
    Set<String> avoid() {
        return avoid;
    }

    boolean runs() {
        return phase != Phase.WAITING && phase != Phase.OVER;
    }

    boolean decodes() {
        return phase == Phase.TOGETHER || phase == Phase.ADOPTED;
    }

    /** Whether what is said of an attempt means nothing any more. */
    boolean stale(int ofAttempt) {
        return !runs() || ofAttempt != latest.number();
    }

    // ---- what becomes of one

    void begin(Route route, RequestTarget target) {
        latest = new Attempt(route, target);
        phase = route.split() ? Phase.SPLIT : Phase.TOGETHER;
    }

    /** The decode GPU has its blocks. */
    void adopted() {
        phase = Phase.ADOPTED;
    }

    /** It goes on where it was moved to. */
    void moved(Attempt there) {
        latest = there;
        phase = Phase.TOGETHER;
    }

    /** It brought a token. */
    void bringsTokens() {
        failures = 0;
    }

    /** It is to end for want of room, which is no failure. */
    void findsNoRoom() {
        failures--;
    }

    // ---- its end

    /** Given back unstarted, or by a worker that is smaller than others: that is no failure. */
    void giveBack(List<RequestEffect> effects, String gpu, String why) {
        letGo(effects, gpu);
        uncount(effects);
        avoid.add(gpu);
        figures.goesOnSince(why);
        phase = Phase.WAITING;
        effects.add(new RequestEffect.Reroute());
    }

    void resume(List<RequestEffect> effects, String failedGpu, String why) {
        resume(effects, failedGpu, why, new RequestEffect.RetryLater());
    }

    /** Ends it and asks for another route, unless all is there already or there were too many. */
    void resume(List<RequestEffect> effects, String failedGpu, String why, RequestEffect next) {
        if (output.isComplete()) {
            finish(effects, output.reason(), failedGpu);
            return;
        }
        letGo(effects, "");
        uncount(effects);
        if (!failedGpu.isEmpty()) {
            avoid.add(failedGpu);
        }
        failures++;
        if (failures >= maxFailures) {
            phase = Phase.OVER;
            Kind kind = output.count() == 0 ? Kind.OVERLOADED : Kind.INTERNAL;
            effects.add(new RequestEffect.Fail(kind, "gave up after " + failures + " attempts; the last: " + why));
            return;
        }
        if (output.count() > 0) {
            figures.resumed();
        }
        figures.goesOnSince(why);
        phase = Phase.WAITING;
        effects.add(next);
    }

    // ---- the end of all

    void finish(List<RequestEffect> effects, FinishReason why, String endedOn) {
        end(effects, endedOn, new RequestEffect.Finish(why));
    }

    void fail(List<RequestEffect> effects, Kind kind, String why, String endedOn) {
        end(effects, endedOn, new RequestEffect.Fail(kind, why));
    }

    /** From outside; nothing happens where all is over. */
    List<RequestEffect> endEverywhere(RequestEffect terminal) {
        List<RequestEffect> effects = new ArrayList<>();
        if (phase != Phase.OVER) {
            end(effects, "", terminal);
        }
        return effects;
    }

    /** @param endedOn where the sequence has ended by itself */
    private void end(List<RequestEffect> effects, String endedOn, RequestEffect terminal) {
        letGo(effects, endedOn);
        uncount(effects);
        phase = Phase.OVER;
        effects.add(terminal);
    }

    private void uncount(List<RequestEffect> effects) {
        if (runs()) {
            latest.uncount(effects, phase == Phase.SPLIT);
        }
    }

    /** Tells every worker of this attempt to let go, except the one where the sequence has ended by itself. */
    private void letGo(List<RequestEffect> effects, String endedOn) {
        if (runs()) {
            moves.drop(effects);
            latest.letGo(effects, endedOn, phase == Phase.SPLIT);
        }
    }
}
