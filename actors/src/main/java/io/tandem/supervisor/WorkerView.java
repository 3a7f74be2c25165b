package io.tandem.supervisor;

import io.tandem.engine.EngineRole;
import io.tandem.routing.StepTimeModel;

/**
 * One worker as {@link RebalancePolicy} sees it. Role and its age come from the worker itself, so they outlive every
 * supervisor.
 *
 * @param available takes work: it lives and is not drained
 * @param role now
 * @param previousRole before the latest change; {@code role} when it never changed
 * @param roleAgeNanos since it has this role, or since its start
 * @param steps how long its steps take
 * @param waitingPromptTokens prompt tokens here that are not computed
 * @param decodes sequences that decode here
 * @param kvTokens tokens its KV pool holds
 */
public record WorkerView(
        String gpuId,
        boolean available,
        EngineRole role,
        EngineRole previousRole,
        long roleAgeNanos,
        StepTimeModel steps,
        long waitingPromptTokens,
        int decodes,
        long kvTokens) {

    /** Whether its role was changed since it started. */
    boolean changed() {
        return role != previousRole;
    }
}
