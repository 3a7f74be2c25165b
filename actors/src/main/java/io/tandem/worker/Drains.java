package io.tandem.worker;

import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Which GPUs of this process are drained. A worker whose engine is lost starts anew, and nobody may find work for it then that an
 * operator has kept from it: so this outlives the worker's actor, and ends with the process. Safe for any thread.
 */
public final class Drains {
    private final ConcurrentHashMap<String, Boolean> moveWorkByGpu = new ConcurrentHashMap<>();

    /** @param moveWork whether what runs there is to run elsewhere, rather than to its end */
    void begin(String gpuId, boolean moveWork) {
        moveWorkByGpu.put(gpuId, moveWork);
    }

    void end(String gpuId) {
        moveWorkByGpu.remove(gpuId);
    }

    boolean has(String gpuId) {
        return moveWorkByGpu.containsKey(gpuId);
    }

    /** Whether work is to leave a drained GPU; empty when it is not drained. */
    Optional<Boolean> movesWork(String gpuId) {
        return Optional.ofNullable(moveWorkByGpu.get(gpuId));
    }
}
