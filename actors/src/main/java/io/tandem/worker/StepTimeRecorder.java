package io.tandem.worker;

import io.tandem.routing.PromptShare;
import io.tandem.routing.StepTimeModel;
import io.tandem.routing.StepTimes;

/**
 * Learns on the engine's thread how long its steps take; any thread reads what was learned. The first steps after a start
 * are left out: Java is compiling meanwhile.
 */
public final class StepTimeRecorder {
    private static final int STEPS_LEFT_OUT = 3;
    private static final int STEPS_BETWEEN_COPIES = 8;

    private final StepTimeModel model;
    private final PromptShare share = new PromptShare();
    private long steps;
    private volatile StepTimes learned = StepTimes.NOTHING;

    /** @param model the engine's thread alone uses it from now on */
    public StepTimeRecorder(StepTimeModel model) {
        this.model = model;
    }

    public void observe(int newTokens, long before, int decodes, long contextTokens, long nanos, long nowNanos) {
        steps++;
        if (steps <= STEPS_LEFT_OUT) {
            return;
        }
        model.observe(newTokens, before, decodes, contextTokens, nanos);
        double prompts = newTokens == 0 ? 0 : nanos - model.decodeNanos(decodes, (double) contextTokens);
        synchronized (share) {
            share.stepEnded(prompts, nanos, nowNanos);
        }
        if (newTokens > 0 || steps % STEPS_BETWEEN_COPIES == 0) {
            learned = model.learned();
        }
    }

    /** Share of its time that prompts took lately. */
    public double promptShare(long nowNanos) {
        synchronized (share) {
            return share.share(nowNanos);
        }
    }

    /** The worker has another role from now on. */
    public void roleChanged(long nowNanos) {
        synchronized (share) {
            share.roleChanged(nowNanos);
        }
    }

    public StepTimes learned() {
        return learned;
    }
}
