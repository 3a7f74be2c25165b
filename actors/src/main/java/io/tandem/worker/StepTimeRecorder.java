package io.tandem.worker;

import io.tandem.routing.StepTimeModel;
import io.tandem.routing.StepTimes;

/**
 * Learns on the engine's thread how long its steps take; any thread reads what was learned. The first steps after a start
 * are left out: Java is compiling meanwhile.
 */
final class StepTimeRecorder {
    private static final int STEPS_LEFT_OUT = 3;
    private static final int STEPS_BETWEEN_COPIES = 8;

    private final StepTimeModel model;
    private long steps;
    private volatile StepTimes learned = StepTimes.NOTHING;

    /** @param model the engine's thread alone uses it from now on */
    StepTimeRecorder(StepTimeModel model) {
        this.model = model;
    }

    void observe(int newTokens, long before, int decodes, long contextTokens, long nanos) {
        steps++;
        if (steps <= STEPS_LEFT_OUT) {
            return;
        }
        model.observe(newTokens, before, decodes, contextTokens, nanos);
        if (newTokens > 0 || steps % STEPS_BETWEEN_COPIES == 0) {
            learned = model.learned();
        }
    }

    StepTimes learned() {
        return learned;
    }
}
