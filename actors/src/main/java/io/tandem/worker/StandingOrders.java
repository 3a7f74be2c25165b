package io.tandem.worker;

import io.tandem.engine.EngineRole;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What the GPUs of this process are told to be, whoever their worker is: their roles, and which are drained. A worker whose engine is lost starts anew, and nobody
 * may find it in another role then, or find work for it that an operator has kept from it: so this outlives the worker's actor, and
 * ends with the process. Time as an argument. Safe for any thread.
 */
public final class StandingOrders {

    /**
     * The role of a GPU.
     *
     * @param previous before the latest change; the present one when it never changed
     * @param sinceNanos of the latest change, or of the start
     */
    public record Role(EngineRole now, EngineRole previous, long sinceNanos) {}

    private final ConcurrentHashMap<String, Role> roles = new ConcurrentHashMap<>();
    private final ConcurrentHashMap<String, Long> epochs = new ConcurrentHashMap<>();
    private final ConcurrentHashMap<String, Boolean> moveWorkByDrained = new ConcurrentHashMap<>();

    /** The number of the next incarnation of a GPU's worker: the time, but never that of one before, whatever the clock says. */
    long nextEpoch(String gpuId, long nowMillis) {
        return epochs.merge(gpuId, nowMillis, (last, now) -> Math.max(last + 1, now));
    }

    /** The role of a GPU; at first the one it is configured with. */
    Role role(String gpuId, EngineRole configured, long nowNanos) {
        return roles.computeIfAbsent(gpuId, g -> new Role(configured, configured, nowNanos));
    }

    /** A GPU is to have a role from now on; the same one again changes nothing. */
    Role changeRole(String gpuId, EngineRole to, long nowNanos) {
        return roles.compute(
                gpuId,
                (g, before) -> before == null
                        ? new Role(to, to, nowNanos)
                        : before.now() == to ? before : new Role(to, before.now(), nowNanos));
    }

    /** @param moveWork whether what runs there is to run elsewhere, rather than to its end */
    void drain(String gpuId, boolean moveWork) {
        moveWorkByDrained.put(gpuId, moveWork);
    }

    void undrain(String gpuId) {
        moveWorkByDrained.remove(gpuId);
    }

    boolean isDrained(String gpuId) {
        return moveWorkByDrained.containsKey(gpuId);
    }

    /** Whether work is to leave a drained GPU; empty when it is not drained. */
    Optional<Boolean> movesWork(String gpuId) {
        return Optional.ofNullable(moveWorkByDrained.get(gpuId));
    }
}
