package io.tandem.worker;

import io.tandem.engine.EngineRole;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Who waits for what of one worker: a role that a step is to run in, or that nothing runs here any more. Each is answered once, with the
 * worker as it is then, or not at all: a role that was overtaken by another one before it ran. Time as an argument. Not thread-safe.
 */
final class AwaitedAnswers {
    private record RoleAsked(EngineRole role, long sinceNanos, Consumer<WorkerMessage.Done> asker) {}

    private record DrainAsked(long sinceNanos, Consumer<WorkerMessage.Done> asker) {}

    private final String gpuId;
    private final List<RoleAsked> roles = new ArrayList<>();
    private final List<DrainAsked> drains = new ArrayList<>();
    private boolean draining;

    /** @param draining whether the worker is drained already when it starts */
    AwaitedAnswers(String gpuId, boolean draining) {
        this.gpuId = gpuId;
        this.draining = draining;
    }

    boolean draining() {
        return draining;
    }

    /** The engine was told to take a role; {@code asker} hears when a step ran in it. */
    void roleAsked(EngineRole role, long nowNanos, Consumer<WorkerMessage.Done> asker) {
        roles.add(new RoleAsked(role, nowNanos, asker));
    }

    /** A step ran in a role: whoever asked for it hears so, whoever asked for another one before was overtaken. */
    void onRoleRuns(EngineRole role, long nowNanos) {
        int last = roles.size() - 1;
        while (last >= 0 && roles.get(last).role() != role) {
            last--;
        }
        List<RoleAsked> over = roles.subList(0, last + 1);
        List<RoleAsked> told = over.stream().filter(a -> a.role() == role).toList();
        over.clear();
        told.forEach(a -> a.asker().accept(done(role, nowNanos - a.sinceNanos())));
    }

    /** The worker is to be drained: {@code asker} hears when it is, or when it is put back before. */
    void drainAsked(long nowNanos, Consumer<WorkerMessage.Done> asker) {
        draining = true;
        drains.add(new DrainAsked(nowNanos, asker));
    }

    /** The worker takes work again: nobody may believe that it ran dry. */
    void undrainAsked(EngineRole role, long nowNanos, Consumer<WorkerMessage.Done> asker) {
        draining = false;
        answerDrains(role, nowNanos);
        asker.accept(done(role, 0));
    }

    /** Nothing runs here, or will any more. */
    void onIdle(EngineRole role, long nowNanos) {
        answerDrains(role, nowNanos);
    }

    /** Whether somebody waits for the worker to run dry. */
    boolean drainAwaited() {
        return !drains.isEmpty();
    }

    private void answerDrains(EngineRole role, long nowNanos) {
        List<DrainAsked> told = List.copyOf(drains);
        drains.clear();
        told.forEach(a -> a.asker().accept(done(role, nowNanos - a.sinceNanos())));
    }

    private WorkerMessage.Done done(EngineRole role, long nanos) {
        return new WorkerMessage.Done(gpuId, role, draining, nanos);
    }
}
